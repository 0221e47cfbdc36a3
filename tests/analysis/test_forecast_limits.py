"""What is exact of absolute limits, against windows counted second by second."""

from __future__ import annotations

from datetime import timedelta

import pytest

from coalmine.analysis.forecast.limits import burns_of, limit_of, limit_warnings
from coalmine.spec.metrics import BurnRate, Limits, Metric, Slo
from coalmine.spec.steps import Step

LOOK = timedelta(seconds=10)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def step(weight: float, lasts: float) -> Step:
    return Step.model_validate({"weight": weight, "for": minutes(lasts)})


def objective(*burn: tuple[float, float, float], good: float = 0.99) -> Metric:
    rates = [BurnRate(rate=rate, long=minutes(long), short=minutes(short)) for rate, long, short in burn]
    return Metric(name="slo", kind="slo", slo=Slo(objective=good, burn=rates))


def counted(times: float, rate: float, window: timedelta, steps: list[Step]) -> int:
    """Looks from the start of the last step until the window's share is enough, a second at a time."""
    before = [one.weight for one in steps[:-1] for _ in range(int(one.for_ / timedelta(seconds=1)))]
    requests, bad = list(before), [0.0] * len(before)
    looks = 0
    while True:
        for _ in range(10):
            requests.append(steps[-1].weight)
            bad.append(steps[-1].weight * times)
        looks += 1
        size = int(window / timedelta(seconds=1))
        if sum(bad[-size:]) >= rate * sum(requests[-size:]) * (1 - 1e-9):
            return looks


@pytest.mark.parametrize("times", [6.0, 7.5, 14.4, 30.0, 100.0])
@pytest.mark.parametrize("weights", [(5,), (5, 5), (50, 60), (1, 10, 90)])
def test_windows_are_those_counted_second_by_second(times: float, weights: tuple[float, ...]) -> None:
    steps = [step(weight, 3 + number) for number, weight in enumerate(weights)]
    metric = objective((6, 12, 2), (14.4, 5, 1))
    found = list(burns_of(metric, steps, LOOK, [times]))
    assert len(found) == 2 * len(steps)
    for burn in found:
        if times < burn.rate:
            assert (burn.in_long, burn.in_short, burn.shown) == (None, None, None)
            continue
        told = [counted(times, burn.rate, window, steps[: burn.step]) for window in (burn.long, burn.short)]
        assert (burn.in_long, burn.in_short) == (told[0] * LOOK, told[1] * LOOK)
        assert burn.shown == max(told) * LOOK


def test_from_the_first_request_on_the_first_look_shows_it() -> None:
    found = list(burns_of(objective((6, 360, 30)), [step(5, 5)], LOOK))
    assert [(one.times, one.shown) for one in found] == [(12.0, LOOK)]


def test_after_hours_of_good_requests_a_window_fills_in_its_rate_over_how_fast_it_burns() -> None:
    found = list(burns_of(objective((6, 60, 5)), [step(5, 120), step(6, 60)], LOOK, [12]))
    (late,) = [one for one in found if one.step == 2]
    # 5 t1 = 6 t2 of the hour: half of its requests are of the step when 5 (60 - t) = 6 t.
    assert late.in_long == pytest.approx(minutes(300 / 11), abs=LOOK)
    assert late.in_short == pytest.approx(minutes(25 / 11), abs=LOOK)


def test_what_cannot_be_is_warned_of() -> None:
    steps = [step(5, 120), step(6, 5)]
    metrics = [
        objective((6, 60, 5), (14.4, 60, 5), good=0.9),
        Metric(name="queue", kind="threshold", limits=Limits(max=3, failures=1000)),
    ]
    burns = [one for metric in metrics for one in burns_of(metric, steps, LOOK)]
    assert {one.times for one in burns} == {10.0}, "with every request bad"
    told = list(limit_warnings(metrics, steps, LOOK, burns))
    assert told == [
        "slo never burns 14.4 times too fast: with every request bad it is 10 times; choose a lower rate",
        "queue fails after 1,000 looks beyond its limits, 2h46m40s, and the steps last 2h5m: let fewer failures do",
        "step 2, 6 % for 5m, is over before slo shows a canary that begins with it to burn 10 times too fast: "
        "the windows of 6, 1h and 5m, need 33m20s",
    ]


def test_a_plain_limit_speaks_at_the_first_look() -> None:
    limit = limit_of(Metric(name="queue", kind="threshold", limits=Limits(max=3)), LOOK)
    assert limit is not None
    assert (limit.looks, limit.lasts) == (1, LOOK)
    assert limit_of(Metric(name="errors", kind="ratio"), LOOK) is None
    assert list(burns_of(Metric(name="errors", kind="ratio"), [step(5, 5)], LOOK)) == []
