"""The sketch beside the judge: when it rolls back, how much proof it has to ask for, and from where that is taken."""

from __future__ import annotations

import json
from math import log
from typing import Any

import numpy as np
import pytest
from scipy.stats import nchypergeom_fisher

from benchmarks.judge.cells import PUBLISHED_SEED, Cell
from benchmarks.judge.faults import QUIET
from benchmarks.judge.measure import OURS, OURS_NEW
from benchmarks.judge.results import read
from benchmarks.judge.rivals.shared import NEVER
from benchmarks.judge.sketch_results import BY_PROOF, FOR_ALL, IN_ALL
from benchmarks.judge.traffic import LOOKS, Traffic, draw
from benchmarks.report import RESULTS
from benchmarks.sketch import CERTAIN, first, measure, proof_that_holds, proofs_of
from benchmarks.sketch_rollback import HARM, harm
from benchmarks.sketch_rules import BETA, Residuals, Windows, against, dispersion, evidence, stake


def release(kind: str, name: str, weight: float, runs: int) -> Traffic:
    cell = Cell(kind, name, weight, runs)
    return draw(cell.scenario, weight, runs, cell.seeds(PUBLISHED_SEED)[0])


def test_evidence_is_that_of_the_noncentral_hypergeometric() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.binomial(100, 0.1, (1, LOOKS)), rng.binomial(300, 0.05, (1, LOOKS))
    of = Windows(np.full(x.shape, 100.0), np.full(x.shape, 300.0), x.astype(float), (x + y).astype(float))
    found = against(of, HARM[:9], 1.0)
    for look in range(5):
        ratios = [*HARM[:9], 1.0]
        logs = [nchypergeom_fisher.logpmf(x[0, look], 400, x[0, look] + y[0, look], 100, ratio) for ratio in ratios]
        assert found[0, look] == pytest.approx(np.array(logs[:-1]) - logs[-1], abs=1e-6)


def test_capital_is_invested_look_by_look_and_tempered_by_the_dispersion_of_now() -> None:
    increments = np.random.default_rng(5).normal(0.3, 2.0, (1, LOOKS, 2))
    prior, phi = np.log([0.25, 0.75]), np.where(np.arange(LOOKS) < 50, 1.1, 3.7)[None]
    found = evidence(increments, prior, [phi], cap=1.5)[0][0]
    for look, rung in ((0, 1.25), (49, 1.25), (50, 4.0), (LOOKS - 1, 4.0)):
        capital = np.zeros(2)
        for past in range(look + 1):
            capital = (capital + stake(past)) * np.exp(np.minimum(increments[0, past] / rung, 1.5))
        cash = 1.0 - sum(map(stake, range(look + 1)))
        assert np.exp(found[look]) == pytest.approx(capital @ np.exp(prior) + max(cash, 0.0), rel=1e-6)


def test_the_dispersion_of_noise_is_found_and_none_is_one() -> None:
    rng = np.random.default_rng(6)
    variance = np.full((200, LOOKS), 9.0)
    for true in (1.0, 4.0):
        residual = rng.normal(0.0, 3.0 * true**0.5, variance.shape)
        assert dispersion(Residuals(residual, variance), 1.0, 5.0, 1.0)[:, -1].mean() == pytest.approx(true, rel=0.1)


def test_it_rolls_a_crash_back_at_once_and_no_outage_of_both_arms() -> None:
    (crashed, _), (new, _) = harm(release("fault", "crash", 0.1, 4), [release("quiet", "bursts", 0.1, 4), None])
    assert (first(crashed, CERTAIN) == 1).all()
    assert (first(new, CERTAIN) == 1).all()
    ((mended, as_made),) = harm(release("quiet", "shared outage", 0.1, 8), [None])
    assert (first(mended, CERTAIN) == NEVER).all()
    assert (first(as_made, CERTAIN) < NEVER).any()


def test_it_sees_latency_as_well_as_errors() -> None:
    ((bad, _),) = harm(release("fault", "latency +10 %", 0.5, 4), [None])
    assert (first(bad, CERTAIN) <= 10).all()


@pytest.mark.parametrize("share", [0.0, 0.04, 0.05, 0.06, 0.5, 1.0])
def test_the_proof_lets_at_most_one_in_twenty_through(share: float) -> None:
    rng = np.random.default_rng(3)
    peaks = np.where(np.arange(400) < 400 * share, 4.0 + rng.random(400), rng.random(400))
    proof = proof_that_holds(peaks)
    assert np.mean(peaks >= proof) <= BETA
    assert proof >= log(1.0 / BETA)
    if share > BETA:
        # No more than is needed: the next lower one would let too many through.
        assert np.mean(peaks >= peaks[peaks < proof].max()) > BETA


def test_it_lets_as_many_through_as_the_judge_does() -> None:
    peaks = np.arange(3.0, 403.0)
    assert [np.sum(peaks >= proof_that_holds(peaks, allowed)) for allowed in (0, 90, 399, 400, 500)] == [
        *(0, 90, 399),
        *(400, 400),
    ]


def test_equal_peaks_come_through_together_or_not_at_all() -> None:
    assert np.mean(np.full(40, 5.0) >= proof_that_holds(np.full(40, 5.0))) == 0.0


def row(scenario: str, weight: float, proof: float) -> dict[str, Any]:
    equal = {BY_PROOF: {"proof": proof}, IN_ALL: {"proof": proof - 1.0}}
    return {"kind": "margin", "scenario": scenario, "weight": weight, "judges": {OURS: {"equal": equal}}}


def test_it_is_taken_from_the_margin_of_the_same_noise_and_weight() -> None:
    rows = [
        row("errors at 1.5 times the odds, bursts", 0.05, 6.0),
        row("errors at 1.5 times the odds, bursts", 0.1, 7.0),
        row("errors at 1.5 times the odds", 0.1, 8.0),
        row("slow requests at 1.5 times the odds", 0.1, 9.0),
        {"kind": "quiet", "scenario": "bursts", "weight": 0.1, "judges": {OURS: {}}},
    ]
    of_all = {FOR_ALL: 9.0}
    assert proofs_of(Cell("quiet", "bursts", 0.1, 400), rows) == {OURS: {BY_PROOF: 7.0, IN_ALL: 6.0} | of_all}
    assert proofs_of(Cell("quiet", QUIET, 0.1, 400), rows) == {OURS: {BY_PROOF: 9.0, IN_ALL: 8.0} | of_all}
    assert proofs_of(Cell("quiet", "diurnal load", 0.1, 400), rows) == {OURS: of_all}
    assert proofs_of(Cell("quiet", "diurnal load", 0.01, 400), rows) == {}


def test_releases_without_fault_are_counted_at_that_proof_and_run_by_run() -> None:
    cell = Cell("quiet", QUIET, 0.5, 8)
    judges = measure(cell, 4, {OURS: {BY_PROOF: log(1.0 / BETA)}, OURS_NEW: {BY_PROOF: 1e9}})["judges"]
    ours, new = (judges[judge]["equal"][BY_PROOF] for judge in (OURS, OURS_NEW))
    assert ours["promoted"] == judges[OURS]["promoted"] > 0
    assert new["promoted"] == new["only_sketch"] == 0
    assert new["only_coalmine"] == judges[OURS_NEW]["coalmine_promoted"]
    for one in judges.values():
        assert one["promoted"] - one["only_sketch"] == one["coalmine_promoted"] - one["only_coalmine"]


def test_what_is_rolled_back_before_its_proof_is_not_promoted() -> None:
    cell = Cell("margin", "errors at 1.5 times the odds", 0.5, 8)
    wrong = measure(cell, 4, wrong={OURS: 3})["judges"][OURS]
    assert wrong["rolled_back"] == 4
    assert wrong["promoted"] <= wrong["proven"]
    assert wrong["equal"][BY_PROOF]["allowed"] == 3
    assert wrong["equal"][IN_ALL]["allowed"] == wrong["coalmine_promoted"]
    assert wrong["equal"][BY_PROOF]["proof"] >= log(1.0 / BETA)


def test_the_published_sketch_stands_beside_the_published_judge() -> None:
    """It is the same judge on the same traffic, and no more proof is asked of the sketch than lets as much through."""
    judged = read()
    for cell in json.loads((RESULTS / "sketch.json").read_text())["cells"]:
        for judge, one in cell["judges"].items():
            ours = judged.found(cell["kind"], cell["scenario"], cell["weight"], judge)
            assert ours is not None
            assert cell["runs"] == ours.runs
            if cell["kind"] == "margin":
                assert one["equal"][BY_PROOF]["allowed"] == max(int(BETA * ours.runs), ours.figures["promoted"])
                assert one["coalmine_promoted"] <= ours.figures["promoted"]
            else:
                assert one["coalmine_promoted"] == ours.figures["promoted"]
