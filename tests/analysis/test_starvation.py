"""When an empty window is chance, and when it is not: by hand-worked counts of the requests that were due."""

from __future__ import annotations

import pytest

from coalmine.analysis.starvation import BASELINE, CANARY, NEITHER, silence, silence_alone
from coalmine.analysis.windows import Arm, MetricWindow
from tests.analysis.looks import errors

NOTHING = (0.0, 0.0)


def window(canary: int, baseline: int) -> MetricWindow:
    return MetricWindow(errors(), Arm(canary), Arm(baseline))


def test_the_reasons_are_these() -> None:
    assert CANARY == "the canary gets no requests"
    assert BASELINE == "the baseline gets no requests"
    assert NEITHER == "no requests in either arm"


def test_a_window_of_both_arms_settles_what_was_due() -> None:
    assert silence(window(1, 1), (6.9, 3.0), 0.1, 5, (10, 90)) == ("", NOTHING)


@pytest.mark.parametrize(
    ("canary", "baseline", "due", "share", "looks", "seen", "reason", "after"),
    [
        # 20 baseline requests at a weight of 20 % make 5 canary requests due; 28 make 7, and 7 are too many.
        (0, 20, NOTHING, 0.2, 0, NOTHING, "", (5.0, 0.0)),
        (0, 28, NOTHING, 0.2, 0, NOTHING, CANARY, (7.0, 0.0)),
        (0, 20, (2.0, 9.0), 0.2, 3, (10, 40), CANARY, (7.0, 0.0)),
        (0, 20, (1.9, 9.0), 0.2, 3, (10, 40), "", (6.9, 0.0)),
        # The baseline is due four for each of the canary's.
        (1, 0, NOTHING, 0.2, 0, NOTHING, "", (0.0, 4.0)),
        (1, 0, (9.0, 3.0), 0.2, 3, (10, 40), BASELINE, (0.0, 7.0)),
        (2, 0, NOTHING, 0.2, 0, NOTHING, BASELINE, (0.0, 8.0)),
        # A weight that is unknown, or says nothing, is taken from what was seen; before that it is 1 %.
        (0, 20, NOTHING, None, 3, (10, 40), "", (5.0, 0.0)),
        (0, 20, NOTHING, 0.0, 3, (10, 40), "", (5.0, 0.0)),
        (0, 20, NOTHING, 1.0, 3, (10, 40), "", (5.0, 0.0)),
        (0, 600, NOTHING, None, 3, (0, 40), "", (6.0, 0.0)),
        (0, 600, NOTHING, None, 3, (10, 0), "", (6.0, 0.0)),
        (0, 700, NOTHING, None, 0, NOTHING, CANARY, (7.0, 0.0)),
        # Both empty: each is due its average so far.
        (0, 0, NOTHING, 0.2, 4, (8, 20), "", (2.0, 5.0)),
        (0, 0, (5.0, 2.0), 0.2, 4, (8, 20), NEITHER, (7.0, 7.0)),
        (0, 0, (5.0, 1.9), 0.2, 4, (8, 20), CANARY, (7.0, 6.9)),
        (0, 0, (1.0, 2.0), 0.2, 4, (8, 20), BASELINE, (3.0, 7.0)),
        (0, 0, (1.0, 2.0), 0.2, 1, (0, 2), "", (1.0, 4.0)),
        # Nothing was ever seen: no average to go by.
        (0, 0, (1.0, 2.0), 0.2, 0, (8, 20), NEITHER, (1.0, 2.0)),
        (0, 0, (1.0, 2.0), 0.2, 4, NOTHING, NEITHER, (1.0, 2.0)),
    ],
)
def test_what_is_due_adds_up(
    canary: int,
    baseline: int,
    due: tuple[float, float],
    share: float | None,
    looks: int,
    seen: tuple[float, float],
    reason: str,
    after: tuple[float, float],
) -> None:
    said, overdue = silence(window(canary, baseline), due, share, looks, seen)
    assert said == reason
    assert overdue == pytest.approx(after)


@pytest.mark.parametrize(
    ("canary", "due", "looks", "seen", "reason", "after"),
    [
        (3, 6.0, 4, 12.0, "", 0.0),
        (0, 0.0, 4, 12.0, "", 3.0),
        (0, 4.0, 4, 12.0, CANARY, 7.0),
        (0, 3.9, 4, 12.0, "", 6.9),
        (0, 1.5, 0, 12.0, CANARY, 1.5),
        (0, 1.5, 4, 0.0, CANARY, 1.5),
    ],
)
def test_alone_the_canarys_average_is_due(
    canary: int, due: float, looks: int, seen: float, reason: str, after: float
) -> None:
    said, overdue = silence_alone(window(canary, 0), due, looks, seen)
    assert said == reason
    assert overdue == pytest.approx(after)
