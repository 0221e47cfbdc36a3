"""One decision: what each situation must lead to."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

from coalmine.analysis.packed_bounds import unpack_bounds
from coalmine.errors import InputError
from coalmine.records import Evaluation, Finding
from tests.analysis.looks import (
    draw_latency,
    draw_ratio,
    errors,
    fold,
    histogram,
    history,
    judge,
    latency,
    look,
    objective,
    ratio,
    silent,
)


def first(evaluations: list[Evaluation], finding: Finding) -> int | None:
    return next((number for number, one in enumerate(evaluations, 1) if one.finding is finding), None)


def test_a_dead_canary_is_found_at_the_first_look() -> None:
    found = look(judge(), [ratio(20, 20, 2, 1980)])
    assert found.finding is Finding.CRASH
    assert "the canary crashes" in found.reason
    assert found.verdicts[0].verdict == "fail"
    assert found.canary_requests == 20


def test_an_outage_of_both_arms_rolls_nothing_back() -> None:
    rng = np.random.default_rng(1)
    looks = [[draw_ratio(rng, share, share)] for share in [0.01] * 5 + [0.8] * 20 + [0.01] * 5]
    findings = {one.finding for one in fold(judge(no_history="roll_back"), looks)}
    assert findings <= {Finding.UNDECIDED, Finding.NO_HARM}


def test_ten_times_the_errors_are_found_within_two_looks() -> None:
    rng = np.random.default_rng(2)
    evaluations = fold(judge(), [[draw_ratio(rng, 0.05, 0.005)] for _ in range(5)])
    assert first(evaluations, Finding.HARM) in (1, 2, 3)
    said = next(one for one in evaluations if one.finding is Finding.HARM)
    assert re.search(
        r"errors: canary [\d.]+ % against [\d.]+ % \(x[\d.]+, at least x[\d.]+; margin x1\.20\)", said.reason
    )
    assert "100 to 1 needed (alpha 1 %)" in said.reason
    verdict = said.verdicts[0]
    assert verdict.interval is not None
    assert verdict.effect is not None
    assert verdict.interval[0] > 1.5
    assert verdict.interval[0] < verdict.effect < verdict.interval[1]


def test_without_history_one_window_alone_never_rolls_back_but_with_history_it_may() -> None:
    counts = [ratio(30, 200, 2, 1800)]
    assert look(judge(), counts).finding is Finding.UNDECIDED
    known = judge(history=history())
    assert look(known, counts).finding is Finding.HARM


def test_small_harm_without_history_asks_a_human_and_with_it_rolls_back() -> None:
    rng = np.random.default_rng(3)
    looks = [[draw_ratio(rng, 0.018, 0.01, weight=0.5)] for _ in range(40)]
    unsure = fold(judge(), looks)
    assert first(unsure, Finding.HARM_UNSURE) is not None
    assert first(unsure, Finding.HARM_UNSURE) < (first(unsure, Finding.HARM) or 999)  # type: ignore[operator]
    said = next(one for one in unsure if one.finding is Finding.HARM_UNSURE)
    assert "not known yet" in said.reason
    bold = fold(judge(no_history="roll_back"), looks)
    assert first(bold, Finding.HARM_UNSURE) is None
    assert first(bold, Finding.HARM) is not None
    known = fold(judge(history=history()), looks)
    assert first(known, Finding.HARM_UNSURE) is None
    assert first(known, Finding.HARM) is not None


def test_too_short_a_history_is_none() -> None:
    counts = [ratio(30, 200, 2, 1800)]
    assert look(judge(history=history(looks=59)), counts).finding is Finding.UNDECIDED


def test_the_margin_is_wider_without_history() -> None:
    assert look(judge(), [ratio(1, 200, 9, 1800)]).verdicts[0].margin == 1.2
    assert look(judge(history=history()), [ratio(1, 200, 9, 1800)]).verdicts[0].margin == 1.1
    assert look(judge(errors(margin=3.0)), [ratio(1, 200, 9, 1800)]).verdicts[0].margin == 3.0


def test_three_errors_against_none_are_not_harm_and_the_floor_holds() -> None:
    assert fold(judge(), [[ratio(3, 2000, 0, 2000)]] + [[ratio(0, 2000, 0, 2000)]] * 3)[-1].finding is not Finding.HARM
    rng = np.random.default_rng(4)
    looks = [[draw_ratio(rng, 0.0004, 0.00002, weight=0.5, requests=20_000)] for _ in range(40)]
    policy = judge(errors(no_harm=1.5), no_history="roll_back")
    assert first(fold(policy, looks), Finding.HARM) is None
    lower = judge(errors(floor=0.0), no_history="roll_back")
    assert first(fold(lower, looks), Finding.HARM) is not None


def test_a_service_almost_without_errors_is_promoted_after_some_1100_clean_requests() -> None:
    known = judge(history=history(rate=0.0005))
    evaluations = fold(known, [[ratio(0, 100, 0, 1900)] for _ in range(20)])
    promoted = first(evaluations, Finding.NO_HARM)
    assert promoted is not None
    assert 900 <= 100 * promoted <= 1300
    assert evaluations[promoted - 1].verdicts[0].verdict == "pass"
    cold = first(fold(judge(), [[ratio(0, 100, 0, 1900)] for _ in range(20)]), Finding.NO_HARM)
    assert cold is not None
    assert promoted <= cold <= 16


def test_a_canary_at_the_no_harm_margin_is_hardly_ever_promoted() -> None:
    rng = np.random.default_rng(5)
    promoted = sum(
        first(fold(judge(), [[draw_ratio(rng, 0.0149, 0.01, weight=0.5)] for _ in range(25)]), Finding.NO_HARM)
        is not None
        for _ in range(25)
    )
    assert promoted <= 4


def test_no_harm_needs_every_guardrail() -> None:
    rng = np.random.default_rng(6)
    both = judge(errors(), latency(), history=history(errors(), latency()))
    clean = [[ratio(0, 100, 0, 1600), draw_latency(rng, weight=0.2)] for _ in range(40)]
    evaluations = fold(both, clean)
    proven = first(evaluations, Finding.NO_HARM)
    assert proven is not None
    before = evaluations[proven - 2]
    assert before.finding is Finding.UNDECIDED
    assert {verdict.verdict for verdict in before.verdicts} == {"pass", "inconclusive"}


def test_slower_latency_rolls_back_and_names_it() -> None:
    rng = np.random.default_rng(7)
    both = judge(errors(), latency(), history=history(errors(), latency()))
    looks = [[draw_ratio(rng, 0.005, 0.005), draw_latency(rng, slower=1.4)] for _ in range(20)]
    evaluations = fold(both, looks)
    at = first(evaluations, Finding.HARM)
    assert at is not None
    assert at <= 4
    found = evaluations[at - 1]
    assert [verdict.verdict for verdict in found.verdicts] == ["inconclusive", "fail"]
    assert "latency: p99" in found.reason
    assert "errors" not in found.reason
    assert found.verdicts[1].canary is not None
    assert found.verdicts[1].canary > (found.verdicts[1].baseline or 0)


def test_a_shift_of_all_buckets_without_history_asks_first() -> None:
    rng = np.random.default_rng(8)
    looks = [[draw_latency(rng, slower=1.12, weight=0.5)] for _ in range(12)]
    evaluations = fold(judge(latency(margin=1.0)), looks)
    assert first(evaluations, Finding.HARM_UNSURE) is not None
    assert first(evaluations, Finding.HARM) is None


def test_signals_only_hold() -> None:
    rng = np.random.default_rng(9)
    metrics = [errors(), errors(role="signal").model_copy(update={"name": "retries"})]
    evaluations = fold(
        judge(*metrics),
        [
            [draw_ratio(rng, 0.005, 0.005), draw_ratio(rng, 0.9, 0.01).model_copy(update={"metric": "retries"})]
            for _ in range(6)
        ],
    )
    assert first(evaluations, Finding.CRASH) is None
    assert first(evaluations, Finding.HARM) is None
    at = first(evaluations, Finding.SIGNAL)
    assert at is not None
    assert at <= 3
    assert "retries" in evaluations[at - 1].reason


def test_guardrails_of_a_kind_share_its_weight() -> None:
    rng = np.random.default_rng(10)
    alone = fold(judge(), [[draw_ratio(rng, 0.02, 0.005)]])[0].log_e_harm
    rng = np.random.default_rng(10)
    twins = [errors(), errors().model_copy(update={"name": "timeouts"})]
    counts = draw_ratio(rng, 0.02, 0.005)
    double = look(judge(*twins), [counts, counts.model_copy(update={"metric": "timeouts"})]).log_e_harm
    assert double == pytest.approx(alone, abs=1e-6)


def test_missing_data_is_no_bet_and_harm_elsewhere_still_wins() -> None:
    rng = np.random.default_rng(11)
    both = judge(errors(), latency())
    start = fold(both, [[draw_ratio(rng, 0.005, 0.005), draw_latency(rng)] for _ in range(8)])[-1]
    gap = look(both, [silent("errors"), draw_latency(rng)], start.evidence)
    assert gap.finding is Finding.NO_DATA
    assert "errors: stale: no sample for 2m" in gap.reason
    assert gap.verdicts[0].verdict == "no_data"
    assert gap.verdicts[0].log_e_harm == pytest.approx(start.verdicts[0].log_e_harm, abs=0.05)
    assert gap.verdicts[0].effect == pytest.approx(start.verdicts[0].effect, rel=0.02)
    assert gap.verdicts[0].canary_requests == start.verdicts[0].canary_requests
    worse = fold(both, [[draw_ratio(rng, 0.08, 0.005), silent("latency")] for _ in range(4)])[-1]
    assert worse.finding is Finding.HARM


def test_no_data_at_all_is_no_data() -> None:
    found = look(judge(errors(), latency()), [])
    assert found.finding is Finding.NO_DATA
    assert [verdict.verdict for verdict in found.verdicts] == ["no_data", "no_data"]
    assert found.canary_requests == 0


def test_a_canary_nobody_reaches_is_told_from_low_traffic() -> None:
    starving = look(judge(), [ratio(0, 0, 9, 1800)], share=0.1)
    assert starving.finding is Finding.NO_DATA
    assert "the canary gets no requests" in starving.reason
    quiet = judge()
    trickle = fold(quiet, [[ratio(0, 0, 0, 20)]] * 60, share=0.01)
    assert trickle[0].finding is Finding.UNDECIDED
    assert trickle[-1].finding is Finding.NO_DATA
    back = look(quiet, [ratio(0, 1, 0, 20)], trickle[-1].evidence, share=0.01)
    assert back.finding is Finding.UNDECIDED


def test_a_silent_baseline_or_no_traffic_at_all_is_no_data() -> None:
    found = look(judge(), [ratio(9, 900, 0, 0)], share=0.5)
    assert found.finding is Finding.NO_DATA
    assert "the baseline gets no requests" in found.reason
    assert "no requests in either arm" in look(judge(), [ratio(0, 0, 0, 0)], share=0.5).reason
    busy = look(judge(), [ratio(0, 90, 0, 90)], share=0.5)
    assert "no requests in either arm" in look(judge(), [ratio(0, 0, 0, 0)], busy.evidence, share=0.5).reason
    quiet = look(judge(), [ratio(0, 2, 0, 2)], share=0.5)
    assert look(judge(), [ratio(0, 0, 0, 0)], quiet.evidence, share=0.5).finding is Finding.UNDECIDED


def test_a_metric_the_history_does_not_know_asks_first() -> None:
    rng = np.random.default_rng(17)
    both = judge(errors(), latency(margin=1.0), history=history(errors()))
    looks = [[draw_ratio(rng, 0.005, 0.005, 0.5), draw_latency(rng, slower=1.12, weight=0.5)] for _ in range(12)]
    evaluations = fold(both, looks)
    assert first(evaluations, Finding.HARM_UNSURE) is not None
    assert first(evaluations, Finding.HARM) is None


def test_a_wrong_sample_ratio_comes_before_harm_and_a_right_one_never() -> None:
    rng = np.random.default_rng(12)
    wrong = fold(judge(), [[draw_ratio(rng, 0.01, 0.005, weight=0.14)] for _ in range(12)], share=0.1)
    assert wrong[-1].finding is Finding.SAMPLE_RATIO
    assert re.search(r"the canary got 1[34]\.\d % of 24,000 requests instead of 10\.0 %", wrong[-1].reason)
    right = fold(judge(), [[draw_ratio(rng, 0.01, 0.01)] for _ in range(60)], share=0.1)
    assert first(right, Finding.SAMPLE_RATIO) is None
    near = fold(judge(), [[draw_ratio(rng, 0.01, 0.01, weight=0.108)] for _ in range(60)], share=0.1)
    assert first(near, Finding.SAMPLE_RATIO) is None
    unknown = fold(judge(), [[draw_ratio(rng, 0.01, 0.01, weight=0.14)] for _ in range(12)], share=None)
    assert first(unknown, Finding.SAMPLE_RATIO) is None


def test_the_sample_ratio_begins_anew_with_each_weight() -> None:
    rng = np.random.default_rng(13)
    evidence = None
    for weight in (0.01, 0.05, 0.1, 0.5):
        for _ in range(10):
            found = look(judge(), [draw_ratio(rng, 0.01, 0.01, weight=weight)], evidence, share=weight)
            evidence = found.evidence
            assert found.finding is not Finding.SAMPLE_RATIO
    wrong = fold(judge(), [[draw_ratio(rng, 0.01, 0.01, weight=0.3)] for _ in range(6)], share=0.5)
    assert wrong[-1].finding is Finding.SAMPLE_RATIO


def test_a_late_fault_is_found_in_a_new_step_in_the_plan_and_beyond_it() -> None:
    every: list[dict[str, Any]] = [{}, {"new_step": True}, {"extension": True}]
    for options in every:
        rng = np.random.default_rng(14)
        plan = judge(history=history())
        evaluations = fold(plan, [[draw_ratio(rng, 0.005, 0.005)] for _ in range(50)])
        evidence = evaluations[-1].evidence
        findings = []
        for _ in range(4):
            found = look(plan, [draw_ratio(rng, 0.05, 0.005)], evidence, **options)
            evidence, options = found.evidence, {} if "new_step" in options else options
            findings.append(found.finding)
        assert Finding.HARM in findings, options


def test_one_long_window_after_an_outage_catches_up() -> None:
    rng = np.random.default_rng(15)
    known = judge(history=history())
    start = fold(known, [[draw_ratio(rng, 0.005, 0.005)] for _ in range(10)])
    after = look(known, [draw_ratio(rng, 0.005, 0.005, requests=60_000)], start[-1].evidence)
    assert after.finding in (Finding.UNDECIDED, Finding.NO_HARM)
    assert after.canary_requests > 5000
    bad = look(known, [draw_ratio(rng, 0.03, 0.005, requests=60_000)], start[-1].evidence)
    assert bad.finding is Finding.HARM


def test_the_same_request_gives_the_same_bytes() -> None:
    rng = np.random.default_rng(16)
    both = judge(errors(), latency(objective=objective(0.25, 0.95)))
    looks = [[draw_ratio(rng, 0.01, 0.005), draw_latency(rng, 1.1)] for _ in range(5)]
    once, twice = (fold(both, looks, share=0.1)[-1].model_dump_json() for _ in range(2))
    assert once == twice
    json.loads(once)
    assert "NaN" not in once
    assert "Infinity" not in once
    assert Evaluation.model_validate_json(once).model_dump_json() == once


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([ratio(1, 5, 1, 5), ratio(1, 5, 1, 5)], "twice"),
        ([ratio(1, 5, 1, 5, name="cpu")], "'cpu' is not a metric of this judge"),
        ([ratio(1, -5, 1, 5)], r"counts.errors.canary.total: -5 is negative"),
        ([ratio(-1, 5, 1, 5)], r"counts.errors.canary.events: -1 is negative"),
        ([histogram([1, 2], [1, 2], [0.1, 0.2])], r"counts.latency.canary.buckets: 2 buckets for 2 bounds"),
        ([histogram([1, 2, 3], [1, 2], [0.1, 0.2])], r"counts.latency.baseline.buckets: 2 buckets for 2 bounds"),
        ([histogram([1, 2, 3], [1, 2, 3], [0.2, 0.1])], r"counts.latency.bounds: \[0.2, 0.1\] do not rise"),
        ([histogram([1, -2, 3], [1, 2, 3], [0.1, 0.2])], r"counts.latency.canary.buckets: -2 is negative"),
    ],
)
def test_counts_that_cannot_be_are_refused_by_name(counts: list[object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        look(judge(errors(), latency()), counts)  # type: ignore[arg-type]


def test_events_that_run_ahead_of_requests_are_clipped() -> None:
    assert look(judge(), [ratio(7, 5, 1, 500)]).verdicts[0].canary == 1.0


def test_a_histogram_without_bounds_is_no_data() -> None:
    found = look(judge(latency()), [histogram([7], [9], [])])
    assert found.finding is Finding.NO_DATA
    assert "no bounds" in found.reason


def test_bounds_that_change_under_way_are_merged_to_the_common_ones() -> None:
    start = look(judge(latency()), [histogram([5, 3, 2, 1], [50, 30, 20, 10], [0.1, 0.2, 0.4])])
    after = look(judge(latency()), [histogram([5, 5, 1], [50, 50, 10], [0.1, 0.4])], start.evidence)
    assert unpack_bounds(after.evidence.state["bounds"])["latency"] == (0.1, 0.4)
    assert after.verdicts[0].canary_requests == 22
    again = look(judge(latency()), [histogram([5, 3, 2, 1], [50, 30, 20, 10], [0.1, 0.2, 0.4])], after.evidence)
    assert again.verdicts[0].canary_requests == 33
    foreign = look(judge(latency()), [histogram([5, 5], [50, 50], [0.3])], again.evidence)
    assert foreign.finding is Finding.NO_DATA
    assert "share none" in foreign.reason


def test_a_watched_bound_of_zero_that_goes_gives_way_to_the_lowest_left() -> None:
    """Where nearly all requests take no measurable time; a bound of 0 has no logarithm to be near by."""
    start = look(judge(latency()), [histogram([95, 3, 1, 1], [950, 30, 10, 10], [0.0, 0.1, 0.4])])
    after = look(judge(latency()), [histogram([98, 1, 1], [980, 10, 10], [0.1, 0.4])], start.evidence)
    assert unpack_bounds(after.evidence.state["bounds"])["latency"] == (0.1, 0.4)
    assert after.verdicts[0].canary_requests == 200


def test_evidence_of_another_stage_or_other_metrics_is_refused() -> None:
    start = look(judge(), [ratio(1, 100, 1, 100)])
    with pytest.raises(InputError, match="each stage starts"):
        look(judge(errors(max=0.1)), [ratio(1, 100, 1, 100)], start.evidence, stage="bake")
    with pytest.raises(InputError, match="other metrics"):
        look(judge(errors(), errors().model_copy(update={"name": "more"})), [], start.evidence)
