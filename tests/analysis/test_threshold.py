"""Plain limits: counted, not judged."""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.analysis.comparison import Comparison
from coalmine.errors import InputError
from coalmine.records import Evaluation, Finding, MetricCounts
from coalmine.spec.metrics import Limits, Metric
from tests.analysis.looks import bare_size, errors, fold, judge, look, ratio, silent


def queue(role: Literal["guardrail", "signal"] = "guardrail", **limits: Any) -> Metric:
    return Metric(name="queue", kind="threshold", query="q", limits=Limits(**limits), role=role, suffix="jobs")


def answer(value: float | None) -> MetricCounts:
    return MetricCounts(metric="queue", value=value)


def looks(values: list[float], metric: Metric, stage: Literal["compare", "bake"] = "compare") -> list[Evaluation]:
    return fold(judge(metric), [[answer(value)] for value in values], stage=stage)


@pytest.mark.parametrize("stage", ["compare", "bake"])
def test_so_many_failed_looks_are_too_many(stage: Literal["compare", "bake"]) -> None:
    found = looks([10, 600, 20, 700, 800], queue(max=500, failures=3), stage)
    assert [one.finding is Finding.HARM for one in found] == [False, False, False, False, True]
    assert found[-1].reason == (
        "a limit is broken: queue: 800 jobs, at most 500 jobs allowed; 3 of 5 looks failed, 3 are too many"
    )
    assert found[-1].verdicts[0].verdict == "fail"
    assert found[-1].verdicts[0].canary == 800


def test_in_a_row_one_good_look_starts_anew() -> None:
    metric = queue(max=500, failures=2, consecutive=True)
    found = looks([600, 10, 600, 10, 600, 600], metric)
    assert [one.finding is Finding.HARM for one in found] == [False] * 5 + [True]
    assert "4 of 6 looks failed, 2 in a row, 2 in a row are too many" in found[-1].reason


def test_limits_are_inclusive_on_both_sides() -> None:
    metric = queue(min=1, max=5)
    assert [one.finding for one in looks([1, 5, 3], metric)] == [Finding.NO_HARM] * 3
    assert looks([0.999], metric)[-1].finding is Finding.HARM
    assert looks([5.001], metric)[-1].finding is Finding.HARM


def test_while_outside_it_does_not_show_no_harm() -> None:
    found = looks([600, 400], queue(max=500, failures=3))
    assert [one.finding for one in found] == [Finding.UNDECIDED, Finding.NO_HARM]
    assert [one.verdicts[0].verdict for one in found] == ["inconclusive", "pass"]
    assert "within the limits" in found[1].reason


def test_as_a_signal_it_only_holds() -> None:
    rows = [[ratio(1, 200, 9, 1800), answer(600)]]
    assert fold(judge(errors(), queue("signal", max=500)), rows)[-1].finding is Finding.SIGNAL


def test_it_takes_no_weight_from_the_others() -> None:
    with_limit, alone = Comparison(judge(errors(), queue(max=5))), Comparison(judge(errors()))
    assert with_limit.harm_weights == alone.harm_weights
    assert with_limit.crash_weights == alone.crash_weights
    rows = [[ratio(9, 200, 9, 1800), answer(1)] for _ in range(3)]
    both, one = fold(judge(errors(), queue(max=5)), rows)[-1], fold(judge(errors()), [row[:1] for row in rows])[-1]
    assert both.log_e_harm == one.log_e_harm


def test_no_answer_is_no_data_and_no_failure() -> None:
    metric = queue(max=500, failures=2)
    judge_ = judge(metric)
    found = fold(judge_, [[answer(600)], [silent("queue")], [answer(None)]])
    assert [one.finding for one in found] == [Finding.UNDECIDED, Finding.NO_DATA, Finding.NO_DATA]
    assert "the query has no answer" in found[-1].reason
    assert "1 of 1 looks failed" in found[-1].verdicts[0].sentence


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=6), st.booleans())
def test_whatever_comes_it_counts(values: list[float], consecutive: bool) -> None:
    found = looks(values, queue(min=-10, max=10, failures=3, consecutive=consecutive))[-1]
    shown = found.verdicts[0].canary
    assert shown is not None
    assert math.isfinite(shown)
    failed = [not -10 <= value <= 10 for value in values]
    expected = any(all(failed[at : at + 3]) for at in range(len(failed) - 2)) if consecutive else sum(failed) >= 3
    if not consecutive:
        assert (found.finding is Finding.HARM) == expected


def test_what_is_no_number_is_refused_by_name() -> None:
    for value in (math.nan, math.inf):
        with pytest.raises(InputError, match=r"counts\.queue\.value: (nan|inf) is no number"):
            look(judge(queue(max=1)), [answer(value)])
    with pytest.raises(InputError, match=r"metrics\.queue\.limits: missing"):
        look(judge(Metric(name="queue", kind="threshold", query="q")), [answer(1.0)])


def test_the_state_is_a_few_numbers() -> None:
    rows = [[ratio(1, 200, 9, 1800), answer(1e30)] for _ in range(5)]
    both, one = fold(judge(errors(), queue(max=5)), rows), fold(judge(errors()), [row[:1] for row in rows])
    assert bare_size(both[-1].evidence) - bare_size(one[-1].evidence) <= 100
