"""What a test that looks once would say, beside the judge's own interval."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from coalmine.fixed_sample import Table, odds_ratio
from coalmine.records import LedgerEntry
from coalmine.report import as_html, as_markdown, tell
from coalmine.report.fixed import read_once
from tests.report.stories import NOON, Book, verdict


def look(weight: float, *metrics: dict[str, Any], stage: str = "compare") -> LedgerEntry:
    data = {"stage": stage, "weight": weight, "counts": list(metrics)}
    return LedgerEntry(kind="look", rollout_id="a/b/1/1", sequence=1, at=NOON, reason="", data=data)


def counted(name: str, *numbers: int, **more: Any) -> dict[str, Any]:
    x_c, n_c, x_b, n_b = numbers
    return {"metric": name, "canary": {"events": x_c, "total": n_c}, "baseline": {"events": x_b, "total": n_b}} | more


def test_looks_of_one_weight_are_one_stratum() -> None:
    looks = [look(5, counted("errors", 9, 100, 20, 900)), look(5, counted("errors", 11, 100, 15, 900))]
    looks += [look(50, counted("errors", 30, 500, 12, 500)), look(100, counted("errors", 1, 9, 0, 9), stage="bake")]
    said = read_once(looks, {"errors": "ratio"}, 0.01)["errors"]
    expected = odds_ratio([Table(20, 200, 35, 1800), Table(30, 500, 12, 500)], 0.01)
    assert expected.effect is not None
    assert said.startswith(
        f"A test that looks once, at the end: x{expected.effect:.3g}, between x{expected.low:.3g} and"
    )
    assert "(99 % of such intervals hold the truth), p " in said
    assert "Holm" not in said


def test_p_values_of_several_metrics_are_adjusted() -> None:
    looks = [look(10, counted("errors", 20, 500, 60, 4500), counted("carts", 8, 500, 60, 4500))]
    said = read_once(looks, {"errors": "ratio", "carts": "ratio", "latency": "latency"}, 0.05)
    assert set(said) == {"errors", "carts"}
    alone = odds_ratio([Table(20, 500, 60, 4500)], 0.05).chance
    assert alone is not None
    assert f"p = {2 * alone:.2g}, adjusted for 2 metrics (Holm)" in said["errors"]
    assert "95 % of such intervals" in said["errors"]


def test_few_events_have_no_interval_and_none_have_nothing_to_say() -> None:
    few = read_once([look(10, counted("errors", 2, 100, 1, 900))], {"errors": "ratio"}, 0.01)["errors"]
    assert few.endswith("; too few events for an interval.")
    assert read_once([look(10, counted("errors", 0, 100, 0, 900))], {"errors": "ratio"}, 0.01) == {"errors": ""}


@pytest.mark.parametrize(
    "counts",
    [
        None,
        "x",
        [7],
        [counted("other", 1, 2, 3, 4)],
        [counted("errors", 1, 2, 3, 4, status="no_data")],
        [counted("errors", 1, 2, 3, 4) | {"canary": None}],
        [counted("errors", -1, 2, 3, 4)],
        [{"metric": "errors", "canary": {"total": 5}, "baseline": {"events": 1, "total": 2}}],
    ],
)
def test_looks_without_such_counts_are_left_out(counts: Any) -> None:
    entry = look(10)
    entry.data["counts"] = counts
    assert read_once([entry], {"errors": "ratio"}, 0.01) == {}


def test_it_stands_on_the_page_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book()
    book.admit()
    book.look(1, [verdict()])
    book.entries[-1].data["counts"] = [counted("errors", 20, 500, 60, 4500)]
    story = tell(book.entries)
    for page in (as_html(story), as_markdown(story)):
        assert "A test that looks once, at the end: x" in page
    monkeypatch.setitem(sys.modules, "statsmodels.stats.multitest", None)
    assert "pip install 'coalmine[statistics]'" in tell(book.entries).metrics[0].read_once
