"""Every field of the answer to one look, to the letter and to the last digit that is promised."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from coalmine.analysis.comparison import Comparison
from coalmine.analysis.metrics import HistogramCounts
from coalmine.analysis.packed_bounds import pack_bounds, unpack_bounds
from coalmine.errors import InputError
from coalmine.records import Evidence, Finding, ServiceHistory
from coalmine.spec.metrics import Metric
from tests.analysis import oracles
from tests.analysis.looks import BOUNDS as LOOK_BOUNDS
from tests.analysis.looks import (
    counted,
    draw_latency,
    errors,
    fold,
    histogram,
    judge,
    latency,
    look,
    objective,
    ratio,
    silent,
)

BAD, FINE = (20, 200, 9, 900), (2, 200, 9, 900)
BOUNDS = [0.1, 0.2, 0.4]
SLOW = histogram([900, 50, 40, 90], [1800, 100, 80, 20], BOUNDS)


def named(name: str, metric: Metric) -> Metric:
    return metric.model_copy(update={"name": name})


def known(**metrics: list[str]) -> ServiceHistory:
    """Long enough, and without any noise."""
    noise = {"tau2": 0.0, "rho": 0.0}
    return ServiceHistory.model_validate(
        {"looks": 100, "channels": {name: dict.fromkeys(channels, noise) for name, channels in metrics.items()}}
    )


QUIET = known(errors=["events"], latency=["normal", "savage", "above_p97", "above_p999", "above_p90"])


def test_the_first_look_at_a_ratio() -> None:
    found = look(judge(), [ratio(*BAD)], share=0.2)
    rule = oracles.Rule(1.2, 0.0005, 1.5, None, math.log(100), 6)
    weights = oracles.investments(60, 1)
    oracle, guard = oracles.ratio([BAD], weights, rule), oracles.crash([BAD], weights, 1.2)
    assert found.finding is Finding.UNDECIDED
    sentence = "errors: canary 10.0 % against 1 % (x11.0, at least x1.94; margin x1.20) after 200 canary requests"
    assert found.reason == f"neither harm nor no harm is shown yet: {sentence}"
    assert found.canary_requests == 200
    together = float(np.logaddexp(oracle.harm + math.log(12 / 13), guard - math.log(13)))
    assert found.log_e_harm == round(together, 4)
    verdict = found.verdicts[0].model_dump()
    effect, interval = verdict.pop("effect"), verdict.pop("interval")
    assert effect == pytest.approx(oracles.peak(oracle.curve), rel=1e-4)
    assert effect == round(effect, 4)
    assert interval == pytest.approx((1.9387, 94.5120), abs=6e-5)
    assert verdict == {
        "verdict": "inconclusive",
        "metric": "errors",
        "kind": "ratio",
        "role": "guardrail",
        "sentence": sentence,
        "margin": 1.2,
        "measure": "odds ratio",
        "worse": "up",
        "forgiven": False,
        "no_harm": False,
        "log_e_harm": pytest.approx(oracle.harm, abs=6e-5),
        "log_e_no_harm": pytest.approx(oracle.no_harm, abs=6e-5),
        "baseline": 0.01,
        "canary": 0.1,
        "baseline_requests": 900,
        "canary_requests": 200,
    }


def test_numbers_are_rounded_where_they_are_shown() -> None:
    found = look(judge(), [ratio(1, 3, 2, 7)])
    assert (found.verdicts[0].canary, found.verdicts[0].baseline) == (0.333333, 0.285714)
    later = look(judge(), [ratio(*BAD)])
    for value in (later.log_e_harm, later.verdicts[0].log_e_harm, later.verdicts[0].log_e_no_harm):
        assert value == round(value, 4)


def test_what_the_evidence_says_of_itself() -> None:
    both = judge(errors(), latency(objective=objective(0.2, 0.9)))
    found = look(both, [ratio(*BAD), SLOW], share=0.2)
    state = found.evidence.state
    assert found.evidence.looks == 1
    assert set(state) == {*("stage", "version", "looks", "packed", "spent", "bounds", "due", "split")}
    assert {name: state[name] for name in ("stage", "version", "looks", "spent", "bounds", "due")} == {
        "stage": "compare",
        "version": 6,
        "looks": 1,
        "spent": 0.75,
        "bounds": pack_bounds({"latency": tuple(BOUNDS)}),
        "due": {},
    }
    # Behind those of both metrics come the split's: the ratio's window, which counts every request.
    counts = counted(both, found.evidence)
    assert (counts[:4], counts[-2:]) == ([200, 20, 900, 9], [200, 900])
    assert state["split"] == {"share": 0.2, "tests": 1}
    again = look(both, [ratio(*BAD), SLOW], found.evidence, share=0.2)
    assert again.evidence.looks == again.evidence.state["looks"] == 2
    assert again.evidence.state["spent"] == pytest.approx(oracles.investments(60, 2).sum())
    assert counted(both, again.evidence)[:4] == [400, 40, 1800, 18]
    stepped = look(both, [ratio(*BAD), SLOW], found.evidence, share=0.2, new_step=True)
    assert stepped.evidence.state["spent"] == 0.875
    beyond = look(both, [ratio(*BAD), SLOW], found.evidence, share=0.2, extension=True)
    assert beyond.evidence.state["spent"] == pytest.approx(0.75 + 0.25 / 61)


def test_a_latency_metric_in_words_and_numbers() -> None:
    found = look(judge(latency()), [SLOW])
    verdict = found.verdicts[0]
    assert verdict.sentence == (
        "latency: p99 400 ms against 400 ms; above 400 ms: canary 8.33 % against 1 % "
        "(x9.0, at least x3.1; margin x1.20) after 1,080 canary requests"
    )
    x_c, n_c, x_b, n_b = 90, 1080, 20, 2000
    curve = oracles.likelihood((x_c, n_c, x_b, n_b), np.geomspace(1 / 30, 400, 41))
    assert verdict.effect == pytest.approx(oracles.peak(curve), rel=1e-4)
    assert (verdict.canary, verdict.baseline) == (0.4, 0.4)
    assert (verdict.canary_requests, verdict.baseline_requests) == (1080, 2000)


def test_the_bound_shown_is_the_strongest_or_else_the_first() -> None:
    # Worse above 100 ms alone: p90's slot is shown, though p97's comes first.
    shifted = histogram([700, 300, 30, 10], [1800, 120, 60, 20], BOUNDS)
    found = look(judge(latency()), [shifted])
    assert "; above 100 ms: canary 32.7 % against 10.0 % (" in found.verdicts[0].sentence
    # Nothing speaks for harm: the first slot is shown, an objective's before p97's.
    even = histogram([900, 60, 30, 10], [1800, 120, 60, 20], BOUNDS)
    assert "; above 200 ms: canary 4 % against 4 % (" in look(judge(latency()), [even]).verdicts[0].sentence
    slow = judge(latency(objective=objective(0.4, 0.9)))
    assert "; above 400 ms: canary 1 % against 1 % (" in look(slow, [even]).verdicts[0].sentence


def test_a_latency_metric_without_a_bound_to_watch() -> None:
    found = look(judge(latency()), [histogram([90, 0, 0, 0], [900, 0, 0, 0], BOUNDS)])
    verdict = found.verdicts[0]
    assert verdict.sentence == "latency: p99 99 ms against 99 ms, no bound to compare at yet, after 90 canary requests"
    assert (verdict.effect, verdict.interval) == (None, None)
    assert (verdict.canary, verdict.baseline) == (0.099, 0.099)
    assert (verdict.canary_requests, verdict.baseline_requests) == (90, 900)
    nothing = look(judge(latency()), [histogram([0] * 4, [0] * 4, BOUNDS)]).verdicts[0]
    assert nothing.sentence == (
        "latency: p99 unknown against unknown, no bound to compare at yet, after 0 canary requests; "
        "no data in this look: no requests in either arm"
    )


def test_a_ratio_without_requests() -> None:
    found = look(judge(), [ratio(0, 0, 0, 0)])
    assert found.verdicts[0].sentence == (
        "errors: canary unknown against unknown (too few events to compare; margin x1.20) after 0 canary requests; "
        "no data in this look: no requests in either arm"
    )
    assert (found.verdicts[0].canary, found.verdicts[0].baseline, found.canary_requests) == (None, None, 0)
    assert found.reason == "no data: errors: no requests in either arm"


def threshold(log_e: float, side: float) -> float:
    """The alpha that ``log_e`` just reaches (side +1) or just misses (side -1)."""
    return math.exp(-log_e + side * 2e-4)


def test_harm_is_at_alpha_exactly() -> None:
    # A quiet history: dispersion 1, and a cap of 2.5 ln(1/alpha) that none of these windows reaches.
    counts = [ratio(12, 200, 9, 900)]
    log_e = look(judge(history=QUIET), counts).log_e_harm
    assert 2.0 < log_e < 8.0
    assert look(judge(history=QUIET, alpha=threshold(log_e, +1)), counts).finding is Finding.HARM
    missed = look(judge(history=QUIET, alpha=threshold(log_e, -1)), counts)
    assert missed.finding is Finding.UNDECIDED
    assert missed.verdicts[0].verdict == "inconclusive"


@pytest.mark.parametrize(
    ("arms", "shown"),
    [((8, 20_000, 0, 200_000), "0.5 %"), ((0, 20_000, 0, 20_000), "0.5 %"), ((90, 20_000, 90, 20_000), "x1.50")],
)
def test_what_is_shown_does_not_contradict_the_effect(arms: tuple[int, int, int, int], shown: str) -> None:
    """Rare events are no harm whatever their ratio: nothing is said of a ratio that nothing was shown of."""
    found = fold(judge(), [[ratio(*arms)]] * 5)[-1].verdicts[0]
    assert found.no_harm
    assert found.sentence.endswith(f" canary requests: below {shown} is shown")


def test_what_is_shown_of_a_latency_is_said_of_the_bounds_that_are_asked_for_proof() -> None:
    quick, slow = [19_000, 990, 8, 2], [19_000, 980, 16, 4]
    for metric, where in ((latency(), "bound of p97"), (latency(objective=objective(0.2, 0.9)), "bounds of the ")):
        found = fold(judge(metric), [[histogram(slow, quick, BOUNDS)]] * 4)[-1].verdicts[0]
        assert found.no_harm
        assert found.effect is not None
        assert found.effect > 1.5
        assert f" canary requests: below x1.50 or 0.5 % at the {where}" in found.sentence


@pytest.mark.parametrize(
    ("arms", "forgiven"),
    [((8, 20_000, 0, 200_000), True), ((1, 200, 0, 180_000), True), ((8, 2_000, 0, 20_000), False), (FINE, False)],
)
def test_what_nothing_speaks_for_is_forgiven(arms: tuple[int, int, int, int], forgiven: bool) -> None:
    """A level up to the floor, fewer than five events: the interval may lie beyond the margin, and it is no harm."""
    found = fold(judge(), [[ratio(*arms)]] * 3)[-1].verdicts[0]
    assert found.forgiven is forgiven
    if forgiven:
        assert found.interval is not None
        assert found.interval[0] > 1.2
        assert found.log_e_harm <= 0


def test_no_harm_is_at_beta_exactly() -> None:
    counts = [ratio(2, 900, 9, 900)]
    log_e = look(judge(history=QUIET), counts).verdicts[0].log_e_no_harm
    assert log_e > 1.0
    shown = look(judge(history=QUIET, beta=threshold(log_e, +1)), counts)
    assert shown.finding is Finding.NO_HARM
    assert shown.verdicts[0].verdict == "pass"
    assert shown.verdicts[0].no_harm
    assert shown.verdicts[0].sentence.endswith(" after 900 canary requests: below x1.50 is shown")
    missed = look(judge(history=QUIET, beta=threshold(log_e, -1)), counts)
    assert missed.finding is Finding.UNDECIDED
    assert missed.verdicts[0].verdict == "inconclusive"
    assert "is shown" not in missed.verdicts[0].sentence


def test_a_signal_is_at_alpha_exactly_and_shares_it() -> None:
    signals = [named("a", errors(role="signal")), named("b", errors(role="signal"))]
    quiet = known(errors=["events"], a=["events"], b=["events"])
    plan = [errors(), *signals]
    counts = [ratio(*FINE), ratio(14, 200, 9, 900, "a"), ratio(2, 200, 9, 900, "b")]
    metrics = {one.metric: one.log_e_harm for one in look(judge(*plan, history=quiet), counts).verdicts}
    log_e = math.log((math.exp(metrics["a"]) + math.exp(metrics["b"])) / 2)
    found = look(judge(*plan, history=quiet, alpha=threshold(log_e, +1)), counts)
    assert found.finding is Finding.SIGNAL
    assert found.reason.startswith("a signal fails: a: canary 7 % against 1 %")
    assert "b:" not in found.reason
    assert [one.verdict for one in found.verdicts] == ["inconclusive", "fail", "inconclusive"]
    assert look(judge(*plan, history=quiet, alpha=threshold(log_e, -1)), counts).finding is Finding.UNDECIDED
    both = look(judge(*plan, history=quiet), [ratio(*FINE), ratio(*BAD, "a"), ratio(*BAD, "b")])
    assert [one.verdict for one in both.verdicts] == ["inconclusive", "fail", "fail"]


def test_only_what_carries_the_harm_fails() -> None:
    plan = [errors(), named("timeouts", errors())]
    quiet = known(errors=["events"], timeouts=["events"])
    found = look(judge(*plan, history=quiet), [ratio(*FINE), ratio(*BAD, "timeouts")])
    assert found.finding is Finding.HARM
    assert [one.verdict for one in found.verdicts] == ["inconclusive", "fail"]
    assert found.reason.startswith("harm: timeouts: canary 10.0 % against 1 %")
    assert "errors:" not in found.reason


def test_a_crash_names_who_crashes() -> None:
    plan = judge(errors(), named("timeouts", errors()), latency())
    counts = [ratio(*FINE), ratio(200, 200, 9, 900, "timeouts"), SLOW]
    found = look(plan, counts)
    assert found.finding is Finding.CRASH
    assert found.reason.startswith("the canary crashes: timeouts: canary 100.0 % against 1 %")
    assert "errors:" not in found.reason
    assert [one.verdict for one in found.verdicts] == ["inconclusive", "fail", "inconclusive"]
    # The guard's evidence counts as harm too, and is carried by the one whose guard it is.
    assert found.log_e_harm > 20


def test_of_two_that_crash_only_the_one_that_carries_it_is_named() -> None:
    """Both are far beyond alpha; 98 failures of 98 weigh a third of 100 of 100, less than an even share."""
    plan = judge(errors(), named("timeouts", errors()))
    found = look(plan, [ratio(98, 98, 0, 1000), ratio(100, 100, 0, 1000, "timeouts")])
    assert found.finding is Finding.CRASH
    assert found.reason.startswith("the canary crashes: timeouts: canary 100.0 % against 0 %")
    assert "errors:" not in found.reason
    assert [one.verdict for one in found.verdicts] == ["inconclusive", "fail"]
    even = look(plan, [ratio(100, 100, 0, 1000), ratio(100, 100, 0, 1000, "timeouts")])
    assert [one.verdict for one in even.verdicts] == ["fail", "fail"]


def test_without_history_harm_must_be_surely_half_as_large_again() -> None:
    rows = [[ratio(20, 1000, 10, 1000)]] * 30
    found = set()
    for one in fold(judge(), rows):
        span = one.verdicts[0].interval
        assert span is not None
        if one.log_e_harm < math.log(100):
            assert one.finding is Finding.UNDECIDED
        elif span[0] >= 1.5:
            assert one.finding is Finding.HARM
            assert "a human decides" not in one.reason
        else:
            assert one.finding is Finding.HARM_UNSURE
            assert one.reason.endswith(
                f"; the service's noise is not known yet and it is only sure to be x{span[0]:.2f}, less than x1.50: "
                "a human decides"
            )
        found.add(one.finding)
    assert found == {Finding.UNDECIDED, Finding.HARM_UNSURE, Finding.HARM}
    bold = fold(judge(no_history="roll_back"), rows)
    assert {one.finding for one in bold} == {Finding.UNDECIDED, Finding.HARM}
    assert "a human decides" not in bold[-1].reason
    sure = fold(judge(history=known(errors=["events"])), rows)
    assert Finding.HARM_UNSURE not in {one.finding for one in sure}


@pytest.mark.parametrize("beside", [[], [errors()]])
def test_harm_that_rests_on_scores_alone_says_so(beside: list[Metric]) -> None:
    """Without the scores, and with the weight of its kind, the evidence falls short: then that is the reason."""
    rng = np.random.default_rng(8)
    rows = [[draw_latency(rng, slower=1.12, weight=0.5)] for _ in range(8)]
    calm = [ratio(0, 1000, 0, 1000)] if beside else []
    seen, core = set(), Comparison(judge(latency(margin=1.0)))
    state: Any = core.start(1, {"latency": tuple(LOOK_BOUNDS)})
    answers = fold(judge(*beside, latency(margin=1.0)), [[*calm, *row] for row in rows])
    for [counts], one in zip(rows, answers, strict=True):
        canary, baseline = (np.array([getattr(counts, arm).buckets]) for arm in ("canary", "baseline"))
        state = core.update(state, [HistogramCounts(canary, baseline, np.ones(1, bool))])
        if one.finding is not Finding.HARM_UNSURE:
            continue
        weight = math.log(0.48) if beside else 0.0
        by_scores = float(core.weigh(state).metrics["latency"].without_scores[0]) + weight < math.log(100)
        seen.add(by_scores)
        why = "it rests on the shift of the whole distribution, no bound alone shows it"
        assert one.reason.endswith(f"; the service's noise is not known yet and {why}: a human decides") == by_scores
        assert ("it is only sure to be x1." in one.reason) != by_scores
    assert seen == {True, False}


def test_requests_are_those_of_the_ratio_that_guards() -> None:
    metrics = [latency(), named("retries", errors(role="signal")), errors()]
    counts = [SLOW, ratio(1, 70, 1, 900, "retries"), ratio(1, 80, 1, 900)]
    assert look(judge(*metrics), counts).canary_requests == 80
    assert look(judge(*metrics), [*counts[:2], silent()]).canary_requests == 70
    assert look(judge(*metrics), [counts[0], silent("retries"), silent()]).canary_requests == 1080
    assert look(judge(*metrics), []).canary_requests == 0
    assert counted(judge(*metrics), look(judge(*metrics), counts, share=0.1).evidence)[-2:] == [80, 900]
    empty = [SLOW, ratio(1, 70, 1, 900, "retries"), ratio(0, 0, 0, 0)]
    assert counted(judge(*metrics), look(judge(*metrics), empty, share=0.1).evidence)[-2:] == [70, 900]


def test_what_is_overdue_is_kept_between_looks() -> None:
    first = look(judge(), [ratio(0, 0, 0, 10)], share=0.1)
    assert first.finding is Finding.UNDECIDED
    assert first.evidence.state["due"] == {"errors": [1.111, 0.0]}
    second = look(judge(), [ratio(0, 0, 0, 50)], first.evidence, share=0.1)
    assert second.evidence.state["due"] == {"errors": [6.667, 0.0]}
    third = look(judge(), [ratio(0, 0, 0, 3)], second.evidence, share=0.1)
    assert third.finding is Finding.NO_DATA
    assert third.reason == "no data: errors: the canary gets no requests"
    settled = look(judge(), [ratio(0, 1, 0, 9)], third.evidence, share=0.1)
    assert settled.evidence.state["due"] == {}
    # A look without counts neither adds to what is due nor settles it.
    gap = look(judge(), [silent()], second.evidence, share=0.1)
    assert gap.evidence.state["due"] == {"errors": [6.667, 0.0]}
    # Latency keeps its own, by what its histogram saw.
    slow = judge(latency())
    seen = look(slow, [histogram([5, 1], [40, 10], [0.1])]).evidence
    waiting = look(slow, [histogram([0, 0], [20, 5], [0.1])], seen)
    assert waiting.evidence.state["due"] == {"latency": [3.0, 0.0]}
    none = look(slow, [histogram([0, 0], [0, 0], [0.1])], waiting.evidence)
    assert none.evidence.state["due"] == {"latency": [6.0, 37.5]}
    assert none.reason == "no data: latency: the baseline gets no requests"


def test_bounds_that_share_none_are_told_apart() -> None:
    start = look(judge(latency()), [histogram([5, 3, 2], [50, 30, 20], [0.1, 0.25])])
    found = look(judge(latency()), [histogram([5, 5], [50, 50], [0.3])], start.evidence)
    assert found.reason == (
        "no data: latency: the histogram's bounds changed and share none with those before (0.1, 0.25)"
    )
    assert found.verdicts[0].canary_requests == 10
    assert unpack_bounds(found.evidence.state["bounds"]) == {"latency": (0.1, 0.25)}


def test_a_bound_of_zero_is_one_when_bounds_change() -> None:
    # OpenTelemetry's own bounds begin with 0, which has no logarithm: what was watched must stay what it was.
    start = look(judge(latency()), [histogram([0, 5, 3, 2], [0, 50, 30, 20], [0.0, 0.1, 0.25])])
    found = look(judge(latency()), [histogram([0, 5, 5], [0, 50, 50], [0.0, 0.1])], start.evidence)
    assert found.finding is not Finding.NO_DATA
    assert unpack_bounds(found.evidence.state["bounds"]) == {"latency": (0.0, 0.1)}
    assert found.verdicts[0].canary_requests == 20


def test_only_silent_guardrails_are_no_data() -> None:
    metrics = [errors(), named("retries", errors(role="signal"))]
    found = look(judge(*metrics), [ratio(*FINE), silent("retries")])
    assert found.finding is Finding.UNDECIDED
    assert found.verdicts[1].verdict == "no_data"
    assert found.verdicts[1].sentence.endswith("; no data in this look: stale: no sample for 2m")


def test_evidence_is_refused_by_stage_and_version() -> None:
    evidence = look(judge(), [ratio(*FINE)]).evidence
    with pytest.raises(InputError) as refused:
        look(judge(errors(max=0.1)), [ratio(*FINE)], evidence, stage="bake")
    assert str(refused.value) == (
        "evidence: is of the stage 'compare', not 'bake': each stage starts with `evidence` absent"
    )
    later = Evidence(looks=1, state=evidence.state | {"version": 7})
    with pytest.raises(InputError) as refused:
        look(judge(), [ratio(*FINE)], later)
    assert str(refused.value) == "evidence: is of version 7, not 6: use the worker that wrote it"
    with pytest.raises(InputError) as refused:
        look(judge(errors(), named("more", errors())), [], evidence)
    assert str(refused.value) == "evidence.state: was written for other metrics: start anew with `evidence` absent"
    broken = Evidence(looks=1, state=evidence.state | {"packed": "?"})
    with pytest.raises(InputError) as refused:
        look(judge(), [ratio(*FINE)], broken)
    assert str(refused.value).startswith("evidence.state: cannot be read (")
    assert str(refused.value).endswith("): pass on what the last evaluation returned")
    assert look(judge(), [ratio(*FINE)], Evidence()).evidence.looks == 1


@pytest.mark.parametrize(
    "counts",
    [
        (10**12 // 2, 10**12, 10**12 // 2, 10**12),
        (10**9 // 2, 10**9, 10**12 // 2, 10**12),
        (0, 1000, 10**12, 10**12),
        (10**6, 10**6, 1, 10**6),
        (1, 10**9, 10**6, 10**6),
    ],
)
def test_the_effect_is_inside_its_interval_however_many_requests(counts: tuple[int, int, int, int]) -> None:
    *_, last = fold(judge(), [[ratio(*counts)]] * 3)
    verdict = last.verdicts[0]
    assert verdict.interval is not None
    assert verdict.effect is not None
    assert verdict.interval[0] <= verdict.effect <= verdict.interval[1]
