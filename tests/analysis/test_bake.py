"""The canary alone at 100 %: absolute limits, and what cannot be judged there."""

from __future__ import annotations

import numpy as np
import pytest

from coalmine.records import ArmCounts, Evaluation, Finding, MetricCounts
from tests.analysis.looks import BOUNDS, bare_size, errors, judge, latency, look, objective, silent


def alone(rng: np.random.Generator, share: float, requests: int = 2000, name: str = "errors") -> MetricCounts:
    return MetricCounts(metric=name, canary=ArmCounts(total=requests, events=int(rng.binomial(requests, share))))


def slow(rng: np.random.Generator, factor: float, requests: int = 2000) -> MetricCounts:
    seconds = 0.08 * factor * np.exp(0.6 * rng.standard_normal(requests))
    buckets = np.bincount(np.searchsorted(BOUNDS, seconds), minlength=len(BOUNDS) + 1)
    return MetricCounts(
        metric="latency", bounds=BOUNDS, canary=ArmCounts(total=requests, buckets=[int(v) for v in buckets])
    )


def bake(judge_: object, looks: list[list[MetricCounts]]) -> list[Evaluation]:
    done: list[Evaluation] = []
    for counts in looks:
        done.append(look(judge_, counts, done[-1].evidence if done else None, stage="bake"))  # type: ignore[arg-type]
    return done


def test_below_the_limit_the_bake_may_end() -> None:
    rng = np.random.default_rng(1)
    done = bake(judge(errors(max=0.02)), [[alone(rng, 0.015)] for _ in range(60)])
    assert {one.finding for one in done} == {Finding.NO_HARM}
    assert done[-1].verdicts[0].verdict == "pass"
    assert not done[-1].verdicts[0].no_harm
    assert "no absolute limit is violated: errors: 1." in done[-1].reason
    assert "at most 2 % allowed" in done[-1].reason


def test_above_the_limit_it_rolls_back() -> None:
    rng = np.random.default_rng(2)
    done = bake(judge(errors(max=0.02)), [[alone(rng, 0.04)] for _ in range(10)])
    at = [one.finding for one in done].index(Finding.HARM)
    assert at <= 4
    assert done[at].reason.startswith("limit violated: errors: ")


def test_at_the_limit_it_is_hardly_ever_violated() -> None:
    rng = np.random.default_rng(3)
    violated = sum(
        any(
            one.finding is Finding.HARM
            for one in bake(judge(errors(max=0.02)), [[alone(rng, 0.02)] for _ in range(40)])
        )
        for _ in range(20)
    )
    assert violated <= 1


def test_a_late_violation_is_found() -> None:
    rng = np.random.default_rng(4)
    shares = [0.01] * 60 + [0.06] * 8
    findings = [one.finding for one in bake(judge(errors(max=0.02)), [[alone(rng, share)] for share in shares])]
    assert Finding.HARM not in findings[:60]
    assert findings[60:].index(Finding.HARM) <= 5


def test_a_crash_needs_one_look() -> None:
    found = look(judge(errors(max=0.02)), [alone(np.random.default_rng(5), 0.99, 100)], stage="bake")
    assert found.finding is Finding.CRASH


def test_the_crash_guard_stands_without_a_limit() -> None:
    limited = judge(errors(), latency(objective=objective(0.25, 0.95)))
    rng = np.random.default_rng(6)
    found = look(limited, [alone(rng, 0.99, 100), slow(rng, 1.0)], stage="bake")
    assert found.finding is Finding.CRASH
    fine = look(limited, [alone(rng, 0.3, 100), slow(rng, 1.0)], stage="bake")
    assert fine.finding is Finding.NO_HARM
    assert fine.verdicts[0].verdict == "inconclusive"
    assert "no absolute limit: shown only" in fine.verdicts[0].sentence


def test_the_latency_objective_is_judged_at_its_bound() -> None:
    rng = np.random.default_rng(7)
    limited = judge(latency(objective=objective(0.25, 0.95)))
    fine = bake(limited, [[slow(rng, 1.0)] for _ in range(20)])
    assert fine[-1].finding is Finding.NO_HARM
    assert "above 250 ms, at most 5 % allowed" in fine[-1].reason
    broken = bake(limited, [[slow(rng, 1.7)] for _ in range(5)])
    assert Finding.HARM in {one.finding for one in broken}


def test_an_objective_between_bounds_uses_the_one_below_and_says_so() -> None:
    rng = np.random.default_rng(8)
    found = look(judge(latency(objective=objective(0.3, 0.95))), [slow(rng, 1.0)], stage="bake")
    assert "above 250 ms (the bound below the objective's 300 ms" in found.reason


def test_an_objective_below_all_bounds_cannot_be_judged() -> None:
    rng = np.random.default_rng(9)
    found = look(judge(latency(objective=objective(0.001, 0.95))), [slow(rng, 1.0)], stage="bake")
    assert found.finding is Finding.NO_DATA
    assert "no bucket bound at or below the objective's 1 ms" in found.reason


def test_missing_data_is_no_bet_and_no_pass() -> None:
    rng = np.random.default_rng(10)
    limited = judge(errors(max=0.02))
    done = bake(limited, [[alone(rng, 0.021)] for _ in range(2)])
    gap = look(limited, [silent()], done[-1].evidence, stage="bake")
    assert gap.finding is Finding.NO_DATA
    assert gap.log_e_harm == pytest.approx(done[-1].log_e_harm, abs=0.05)
    nobody = look(limited, [alone(rng, 0.0, 0)], done[-1].evidence, stage="bake")
    assert nobody.finding is Finding.NO_DATA
    assert "the canary gets no requests" in nobody.reason


def test_a_signal_over_its_limit_only_holds() -> None:
    rng = np.random.default_rng(11)
    retries = errors(max=0.02, role="signal").model_copy(update={"name": "retries"})
    done = bake(judge(errors(max=0.02), retries), [[alone(rng, 0.001), alone(rng, 0.2, name="retries")]] * 6)
    assert done[-1].finding is Finding.SIGNAL
    assert "retries" in done[-1].reason


def test_the_evidence_stays_small() -> None:
    rng = np.random.default_rng(12)
    limited = judge(errors(max=0.02), latency(objective=objective(0.25, 0.95)))
    done = bake(limited, [[alone(rng, 0.015), slow(rng, 1.0)] for _ in range(40)])
    assert bare_size(done[-1].evidence) < 2000


@pytest.mark.parametrize("turned", [False, True])
def test_requests_are_those_of_the_metric_the_steps_count_by_too(turned: bool) -> None:
    """A guardrail before a signal, whatever their places are."""
    rng = np.random.default_rng(5)
    metrics = [errors(max=0.02), errors(max=0.02).model_copy(update={"name": "cached", "role": "signal"})]
    counts = [alone(rng, 0.01, requests=2000), alone(rng, 0.01, requests=500, name="cached")]
    if turned:
        metrics, counts = metrics[::-1], counts[::-1]
    assert bake(judge(*metrics), [counts])[0].canary_requests == 2000
