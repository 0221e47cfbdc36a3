"""Every field of the answer to one look of the bake, to the letter."""

from __future__ import annotations

import math

import pytest

from coalmine.records import ArmCounts, Evaluation, Finding, Judge, MetricCounts
from coalmine.spec.metrics import Metric
from tests.analysis.looks import errors, judge, latency, look, objective, silent

BOUNDS = [0.1, 0.2, 0.4]


def named(name: str, metric: Metric) -> Metric:
    return metric.model_copy(update={"name": name})


def alone(events: int, total: int, name: str = "errors") -> MetricCounts:
    return MetricCounts(metric=name, canary=ArmCounts(total=total, events=events))


def slow_alone(buckets: list[int], name: str = "latency", bounds: list[float] = BOUNDS) -> MetricCounts:
    return MetricCounts(metric=name, bounds=bounds, canary=ArmCounts(total=sum(buckets), buckets=buckets))


def baked(plan: Judge, *looks: list[MetricCounts]) -> list[Evaluation]:
    done: list[Evaluation] = []
    for counts in looks:
        done.append(look(plan, counts, done[-1].evidence if done else None, stage="bake"))
    return done


def test_the_first_look_of_a_bake() -> None:
    plan = judge(
        errors(max=0.02), latency(objective=objective(0.25, 0.95)), named("slow", latency()), named("x", errors())
    )
    counts = [alone(20, 200), slow_alone([900, 50, 40, 9]), slow_alone([900, 50, 40, 9], "slow"), alone(1, 7, "x")]
    found = baked(plan, counts)[0]
    sentences = [
        "errors: 10.0 %, at most 2 % allowed, after 200 requests at 100 %, which chance and its noise may explain",
        "latency: 4.9 % above 200 ms (the bound below the objective's 250 ms, which is none itself), "
        "at most 5 % allowed, after 999 requests at 100 %",
        "slow: p99 395 ms in this look, no absolute limit: shown only, after 999 requests at 100 %",
        "x: 14.3 %, no absolute limit: shown only, after 7 requests at 100 %",
    ]
    assert found.reason == f"no absolute limit is violated beyond chance: {'; '.join(sentences)}"
    assert found.finding is Finding.NO_HARM
    assert found.canary_requests == 200
    assert [one.sentence for one in found.verdicts] == sentences
    assert [one.verdict for one in found.verdicts] == ["inconclusive", "pass", "inconclusive", "inconclusive"]
    # Of a latency that is no time: the sentence has the share.
    assert [one.canary for one in found.verdicts] == [0.1, None, None, 0.142857]
    assert [one.kind for one in found.verdicts] == ["ratio", "latency", "latency", "ratio"]
    assert [one.canary_requests for one in found.verdicts] == [200, 999, 999, 7]
    assert [one.role for one in found.verdicts] == ["guardrail"] * 4
    assert [one.no_harm for one in found.verdicts] == [False] * 4
    state = found.evidence.state
    assert {name: state[name] for name in ("stage", "version", "looks", "spent", "due", "counts")} == {
        "stage": "bake",
        "version": 1,
        "looks": 1,
        "spent": 0.75,
        "due": {},
        "counts": [200, 20, 999, 49, 999, 0, 7, 1],
    }
    assert found.log_e_harm == round(found.log_e_harm, 4)
    again = baked(plan, counts, counts)[1].evidence
    assert (again.looks, again.state["looks"]) == (2, 2)
    assert again.state["spent"] == pytest.approx(0.75 + 0.25 / 360)
    assert again.state["counts"] == [400, 40, 1998, 98, 1998, 0, 14, 2]


def test_the_objectives_own_bound_needs_no_remark() -> None:
    plan = judge(latency(objective=objective(0.2, 0.95)))
    found = baked(plan, [slow_alone([900, 50, 40, 9])])[0]
    assert found.verdicts[0].sentence == "latency: 4.9 % above 200 ms, at most 5 % allowed, after 999 requests at 100 %"
    near = baked(plan, [slow_alone([900, 50, 40, 9], bounds=[0.1, 0.2 * (1 + 1e-12), 0.4])])[0]
    assert near.verdicts[0].sentence == found.verdicts[0].sentence
    far = baked(plan, [slow_alone([900, 50, 40, 9], bounds=[0.1, 0.2 * (1 - 1e-8), 0.4])])[0]
    assert "(the bound below the objective's 200 ms, which is none itself)" in far.verdicts[0].sentence


def test_an_objective_below_all_bounds() -> None:
    plan = judge(latency(objective=objective(0.05, 0.95)))
    found = baked(plan, [slow_alone([900, 50, 40, 9])])[0]
    why = "no bucket bound at or below the objective's 50 ms (the lowest is 100 ms)"
    assert found.finding is Finding.NO_DATA
    assert found.reason == f"no data: latency: {why}"
    assert found.verdicts[0].sentence == (
        "latency: share above 50 ms unknown, at most 5 % allowed, after 0 requests at 100 %; "
        f"no data in this look: {why}"
    )
    assert found.verdicts[0].verdict == "no_data"
    assert found.verdicts[0].canary is None


def test_a_limit_is_violated_at_alpha_exactly() -> None:
    def plan(alpha: float) -> Judge:
        return judge(errors(max=0.02), alpha=alpha)

    # The cap is ln(1/alpha) too, so the alpha that is just reached is found by halving.
    looks = [[alone(4, 100)]] * 12
    low, high = 1e-6, 0.49
    for _ in range(12):
        middle = math.sqrt(low * high)
        done = baked(plan(middle), *looks)[-1]
        short = math.log(1 / middle) - done.log_e_harm
        low, high = (middle, high) if short > 0 else (low, middle)
        if abs(short) > 1e-4:
            assert done.finding is (Finding.NO_HARM if short > 0 else Finding.HARM)
            assert done.verdicts[0].verdict == ("inconclusive" if short > 0 else "fail")
    assert done.reason.startswith(
        ("limit violated: errors: 4 %,", "no absolute limit is violated beyond chance: errors: 4 %,")
    )
    assert abs(short) < 0.01


def test_in_a_bake_only_what_carries_the_harm_fails() -> None:
    plan = judge(errors(max=0.02), named("timeouts", errors(max=0.02)), named("drops", errors(role="signal", max=0.02)))
    bad, fine = [(15, 100), (1, 100)]
    done = baked(plan, *[[alone(*fine), alone(*bad, "timeouts"), alone(*fine, "drops")]] * 5)[-1]
    assert done.finding is Finding.HARM
    assert [one.verdict for one in done.verdicts] == ["pass", "fail", "pass"]
    done = baked(plan, *[[alone(*fine), alone(*fine, "timeouts"), alone(*bad, "drops")]] * 5)[-1]
    assert done.finding is Finding.SIGNAL
    assert [one.verdict for one in done.verdicts] == ["pass", "pass", "fail"]
    crashed = baked(plan, [alone(*fine), alone(100, 100, "timeouts"), alone(100, 100, "drops")])[-1]
    assert crashed.finding is Finding.CRASH
    assert crashed.reason.startswith("the canary crashes: timeouts: 100.0 %, at most 2 % allowed")
    assert "errors:" not in crashed.reason


def test_two_signals_share_a_bakes_alpha() -> None:
    signals = [named(name, errors(role="signal", max=0.02)) for name in ("a", "b")]
    plan = judge(*signals, named("c", errors(role="signal")))
    looks = [[alone(4, 100, "a"), alone(0, 100, "b"), alone(50, 100, "c")]] * 20
    done = baked(plan, *looks)
    for one in done:
        a, b = (verdict.log_e_harm for verdict in one.verdicts[:2])
        reached = math.log((math.exp(a) + math.exp(b)) / 2) >= math.log(100)
        assert (one.finding is Finding.SIGNAL) == reached
        if reached:
            assert [verdict.verdict for verdict in one.verdicts] == ["fail", "pass", "inconclusive"]
    assert done[-1].finding is Finding.SIGNAL
    assert done[0].finding is not Finding.SIGNAL


def test_a_silent_canary_in_the_bake() -> None:
    plan = judge(errors(max=0.02), named("more", errors()), named("s", errors(role="signal", max=0.02)))
    start = baked(plan, [alone(0, 3), alone(0, 3, "more"), alone(0, 3, "s")])[0]
    waiting = look(plan, [alone(0, 0), alone(0, 3, "more"), alone(0, 3, "s")], start.evidence, stage="bake")
    assert waiting.finding is Finding.NO_HARM
    assert waiting.evidence.state["due"] == {"errors": 3.0}
    gap = look(plan, [silent(), alone(0, 3, "more"), alone(0, 3, "s")], waiting.evidence, stage="bake")
    assert gap.finding is Finding.NO_DATA
    assert gap.reason == "no data: errors: stale: no sample for 2m"
    assert gap.verdicts[0].sentence.endswith("; no data in this look: stale: no sample for 2m")
    assert gap.verdicts[0].verdict == "no_data"
    assert gap.canary_requests == 3
    assert gap.evidence.state["due"] == {"errors": 3.0}
    second = look(plan, [alone(0, 0), alone(0, 3, "more"), alone(0, 3, "s")], waiting.evidence, stage="bake")
    assert second.evidence.state["due"] == {"errors": 4.5}
    # What has no limit, or only signals, may be silent.
    others = look(plan, [alone(0, 3), silent("more"), silent("s")], start.evidence, stage="bake")
    assert others.finding is Finding.NO_HARM
    assert [one.verdict for one in others.verdicts] == ["pass", "no_data", "no_data"]
    assert look(plan, [silent(), silent("more"), silent("s")], stage="bake").canary_requests == 0
    slow = judge(latency(), errors())
    assert look(slow, [slow_alone([900, 50, 40, 9]), alone(1, 7)], stage="bake").canary_requests == 7


def test_of_two_that_crash_only_the_one_that_carries_it_is_named() -> None:
    plan = judge(errors(), named("timeouts", errors()))
    done = baked(plan, [alone(98, 98), alone(100, 100, "timeouts")])[0]
    assert done.finding is Finding.CRASH
    assert done.reason.startswith("the canary crashes: timeouts: 100.0 %, no absolute limit: shown only")
    assert "errors:" not in done.reason
    assert [one.verdict for one in done.verdicts] == ["inconclusive", "fail"]


def test_where_nothing_is_judged_there_is_no_evidence() -> None:
    found = look(judge(latency()), [slow_alone([9, 1, 0, 0])], stage="bake")
    assert found.finding is Finding.NO_HARM
    assert found.log_e_harm == 0.0
