"""From measured cells to the page: targets, exact limits, resuming; and the slice that every change runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from scipy.optimize import brentq
from scipy.stats import binom

from benchmarks.__main__ import main as run_benchmarks
from benchmarks.judge import page, plots, targets
from benchmarks.judge.__main__ import main, quick
from benchmarks.judge.cells import PUBLISHED_SEED, QUICK_SEED, Cell, all_cells, quick_cells
from benchmarks.judge.limits import limits, upper
from benchmarks.judge.measure import OURS, OURS_NEW, measure
from benchmarks.judge.results import Results, from_document
from benchmarks.judge.rivals import RIVALS
from benchmarks.judge.store import Store

MACHINE = {"date": "2026-01-01", "processor": "none", "cores": 1}


def figures(cell: Cell, rolled_back: int, look: int | None) -> dict[str, Any]:
    """What ``measure`` would say of one judge."""
    requests = None if look is None else 100 * look
    found = {"rolled_back": rolled_back, "early": 0, "median_look": look, "p90_look": look}
    found |= {"median_requests": requests, "p90_requests": requests}
    promoted = cell.runs if cell.kind in ("quiet", "tolerant") else 0
    covered = dict.fromkeys(("errors", "p97", "every bound"), cell.runs)
    return found | {"promoted": promoted, "median_proof": 40, "covered": covered}


def perfect(cells: list[Cell]) -> list[dict[str, Any]]:
    """A run in which every fault is seen at the bound and nothing else is rolled back."""
    documents = []
    for cell in cells:
        fault = cell.fault
        bad = figures(cell, cell.runs, 1 + fault.onset) if fault else figures(cell, 0, None)
        documents.append(
            {
                "kind": cell.kind,
                "scenario": cell.name,
                "weight": cell.weight,
                "runs": cell.runs,
                "bound_looks": 1,
                "onset": fault.onset if fault else 0,
                "judges": dict.fromkeys((OURS, OURS_NEW, *RIVALS), bad),
                "seconds": 1.0,
            }
        )
    return documents


def results(documents: list[dict[str, Any]]) -> Results:
    return from_document(
        {"machine": MACHINE, "seed": PUBLISHED_SEED, "cells_planned": len(all_cells()), "cells": documents}
    )


@pytest.mark.parametrize(("events", "runs"), [(0, 400), (3, 400), (399, 400), (400, 400), (17, 1600)])
def test_the_limits_are_where_the_binomial_tail_is_two_and_a_half_per_cent(events: int, runs: int) -> None:
    low, high = limits(events, runs)
    if events:
        assert low == pytest.approx(brentq(lambda p: binom.sf(events - 1, runs, p) - 0.025, 1e-9, 1 - 1e-9), abs=1e-9)
    else:
        assert low == 0.0
    if events < runs:
        assert high == pytest.approx(brentq(lambda p: binom.cdf(events, runs, p) - 0.025, 1e-9, 1 - 1e-9), abs=1e-9)
        assert upper(events, runs) < high
    else:
        assert high == 1.0


def test_a_perfect_run_reaches_every_target() -> None:
    documents = perfect(all_cells())
    for document in documents:
        if document["kind"] == "fault":
            document["bound_looks"] = document["judges"][OURS]["median_look"]
    assert [target.what for target in targets.targets(results(documents)) if not target.reached] == []


def test_what_misses_is_named_with_its_figures() -> None:
    documents = perfect(all_cells())
    for document in documents:
        if document["scenario"] == "p99 +20 %" and document["weight"] == 0.5:
            document["judges"][OURS] = document["judges"][OURS] | {"median_look": 3}
        if document["scenario"] == "bursts" and document["kind"] == "quiet":
            document["judges"] |= {OURS: document["judges"][OURS] | {"rolled_back": 40}}
    found = [str(target) for target in targets.missed(results(documents))]
    assert any(line.startswith("median looks over the bound, p99 +20 %: 1.0 / 1.0 / 3.0") for line in found)
    assert any("pooled" in line and "160 of 9,600" in line for line in found)
    text = page.text(results(documents))
    assert "**Coalmine** rolls back releases without fault, bursts: 10.0% at 1%" in text
    assert "p99 +20 %: sooner seen by Kayenta at 50% (1 looks against 3)" in text


def test_harm_that_is_promoted_is_a_target_missed_and_a_weakness_with_and_without_history() -> None:
    documents = perfect(all_cells())
    noise = "errors at 1.5 times the odds, autocorrelated arms"
    for document in documents:
        if document["scenario"] == noise and document["weight"] == 0.5:
            document["judges"][OURS_NEW] = document["judges"][OURS_NEW] | {"promoted": document["runs"] // 4}
    assert [target.what for target in targets.missed(results(documents))] == [
        f"false promotions, {noise}, with and without history"
    ]
    line = f"- **Coalmine, new service** promotes releases that are harmful, {noise}: 25.0% at 50%.\n"
    assert line in page.text(results(documents))


def test_no_noise_the_judge_was_tuned_on_is_called_unseen() -> None:
    text = page.text(results(perfect(all_cells())))
    assert "not seen" not in text
    assert "tuned\non slow clients, with other seeds ([what was tried](judging.md#what-was-tried))" in text


def test_the_page_says_what_is_not_measured_yet(tmp_path: Path) -> None:
    some = perfect([cell for cell in all_cells() if cell.kind == "fault"][:3])
    page.write(results(some), tmp_path)
    text = (tmp_path / "benchmark.md").read_text()
    assert f"3 of {len(all_cells())} cells. What is not measured yet is shown as ·." in text
    for plot in ("benchmark-false-rollbacks.svg", "benchmark-requests.svg"):
        ElementTree.fromstring((tmp_path / "images" / plot).read_text())


def test_the_plots_show_every_judge() -> None:
    whole = results(perfect(all_cells()))
    for plot in (plots.false_rollbacks(whole), plots.requests(whole)):
        assert all(judge in plot for judge in (OURS, *RIVALS))


def test_a_cell_is_kept_until_what_it_is_made_of_changes(tmp_path: Path) -> None:
    cell = Cell("fault", "crash", 0.5, 3)
    store = Store(1, tmp_path)
    assert store.read(cell) is None
    store.write(cell, {"kind": "fault"})
    assert Store(1, tmp_path).read(cell) == {"kind": "fault"}
    assert Store(2, tmp_path).read(cell) is None
    assert store.read(Cell("fault", "crash", 0.5, 4)) is None
    assert store.measured([cell, Cell("fault", "crash", 0.1, 3)]) == [{"kind": "fault"}]


def test_a_cell_measured_twice_is_the_same() -> None:
    cell = Cell("fault", "crash", 0.5, 4)
    first, again = (measure(cell, QUICK_SEED) | {"seconds": 0} for _ in range(2))
    assert first == again
    assert first["judges"][OURS]["median_look"] == 1


@pytest.mark.timeout(170)
def test_the_quick_slice_rolls_back_faults_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert quick() == 0
    assert len(capsys.readouterr().out.splitlines()) == len(quick_cells())


def test_the_published_seed_has_the_published_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--runs", "5"])
    assert "--runs 5: at least 1, and only with a --seed of your own" in capsys.readouterr().err


def test_an_option_needs_the_benchmark_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_benchmarks(["--quick"]) == 2
    assert "options belong to one benchmark" in capsys.readouterr().err
    assert run_benchmarks(["judges"]) == 2
