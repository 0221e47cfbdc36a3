"""A rollout of the ledger as a trace."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from coalmine.backtest import judge_traces
from coalmine.backtest.past import past_rollout, promoted_before
from coalmine.errors import InputError, LedgerCorrupt
from coalmine.records import LedgerEntry
from coalmine.spec.metrics import Metric
from tests.backtest.test_windowed import ALL, drawn
from tests.backtest.traces import START, TEN, errors, latency, read, rules

ID = "production/checkout/1.42.0/1"
SETTLE = timedelta(seconds=2)


def entry(kind: str, sequence: int, at: float, rollout: str = ID, **data: Any) -> LedgerEntry:
    moment = START + timedelta(seconds=at)
    return LedgerEntry(kind=kind, rollout_id=rollout, sequence=sequence, at=moment, reason=f"{kind}!", data=data)


def look(sequence: int, at: float, weight: float = 10, canary: int = 0, rollout: str = ID, **data: Any) -> LedgerEntry:
    until = START + timedelta(seconds=at) - SETTLE
    n_c = round(20 * weight)
    counts = [
        {
            "metric": "errors",
            "canary": {"total": n_c, "events": canary},
            "baseline": {"total": 2000 - n_c, "events": 9},
        },
        {
            "metric": "latency",
            "bounds": [0.1, 1.0],
            "canary": {"total": n_c, "buckets": [n_c - 10, 9, 1]},
            "baseline": {"total": 2000 - n_c, "buckets": [1900 - n_c, 95, 5]},
        },
        {"metric": "cpu", "status": "no_data", "reason": "stale"},
    ]
    told = {"stage": "compare", "weight": weight, "from": (until - TEN).isoformat(), "to": until.isoformat()}
    told |= {"seconds": 10.0}
    return entry("look", sequence, at, rollout, **told | {"counts": counts} | data)


STORY = [
    entry("admitted", 1, 0),
    entry("shifted", 2, 0),
    look(3, 14),
    look(4, 24, canary=1),
    entry("advance", 5, 24),
    entry("shifted", 6, 25),
    look(7, 34, 20, canary=30),
    look(8, 44, 20, canary=30),
    look(9, 54, 20, canary=30),
    look(10, 64, 20, canary=30),
    entry("roll_back", 11, 64),
    entry("shifted", 12, 65),
    look(13, 90, 100, stage="bake"),
]


def test_the_looks_are_what_was_judged_then() -> None:
    past = past_rollout(ID, [*STORY, look(1, 15, rollout="production/checkout/1.42.0/2")], [errors(), latency()])
    trace = past.trace
    assert trace.name == ID
    assert trace.looks == 6
    assert past.left_out == ("cpu",)
    assert trace.weights == [10, 10, 20, 20, 20, 20]
    assert trace.new_steps == (False, False, True, False, False, False)
    # The first window after a shift also holds samples from before it.
    assert trace.steady == [True, True, False, True, True, True]
    assert [counts.model_dump(exclude_defaults=True) for counts in trace.counts(1)] == STORY[3].data["counts"][:2]
    assert (past.decision, past.look, past.at) == ("roll_back", 5, STORY[10].at)
    course = judge_traces(rules(errors(), latency(), no_history="roll_back"), [trace])[0]
    assert (course.decision, course.look) == ("roll_back", 4)


def test_a_metric_nobody_counted_then_is_missing() -> None:
    past = past_rollout(ID, STORY, [errors().model_copy(update={"name": "timeouts"})])
    assert past.left_out == ("cpu", "errors", "latency")
    course = judge_traces(rules(errors().model_copy(update={"name": "timeouts"})), [past.trace])[0]
    assert (course.decision, course.look) == ("hold", None)
    assert "'timeouts' has no data" in course.reason


def test_events_beside_the_total_are_clipped_as_they_were() -> None:
    past = past_rollout(ID, [look(1, 10, canary=201)], [errors()])
    canary = past.trace.counts(0)[0].canary
    assert canary is not None
    assert canary.events == 200
    assert past.decision == ""


def test_a_histogram_without_bounds_is_no_data_as_it_was() -> None:
    """A query that answers only the buckets that have requests, in a look in which all are above the last bound."""
    arm = {"total": 3, "buckets": [3]}
    bare = look(1, 10, counts=[{"metric": "latency", "bounds": [], "canary": arm, "baseline": arm}])
    past = past_rollout(ID, [bare, look(2, 20)], [latency()])
    assert [counts.metric for counts in past.trace.counts(0)] == []
    assert [counts.metric for counts in past.trace.counts(1)] == ["latency"]


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([], "the ledger does not know it"),
        ([entry("admitted", 1, 0)], "the ledger has no look of it"),
        ([look(1, 10, stage="bake")], "the ledger has no look of it"),
        ([look(1, 10, weight=300)], f"{ID} #1: weight: 300 is not between 0 and 100"),
    ],
)
def test_nothing_to_judge_is_told(entries: list[LedgerEntry], said: str) -> None:
    with pytest.raises(InputError) as caught:
        past_rollout(ID, entries, [errors()])
    assert said in str(caught.value)


@pytest.mark.parametrize("damage", [{"counts": None}, {"counts": [{"canary": 1}]}])
def test_a_damaged_look_is_told(damage: dict[str, Any]) -> None:
    with pytest.raises(LedgerCorrupt, match="#1: a look without readable counts"):
        past_rollout(ID, [look(1, 10, **damage)], [errors()])


@pytest.mark.parametrize("damage", [{"from": None}, {"to": "noon"}])
def test_a_damaged_window_is_told(damage: dict[str, Any]) -> None:
    with pytest.raises(LedgerCorrupt, match="#2: a look without a readable window"):
        past_rollout(ID, [entry("shifted", 1, 0), look(2, 10, **damage)], [errors()])


def test_a_service_had_learnt_from_what_was_promoted_before() -> None:
    def story(number: int, at: float, outcome: str) -> list[LedgerEntry]:
        name = f"production/checkout/1.{number}/1"
        return [
            look(1, at, rollout=name),
            look(2, at + 10, rollout=name),
            entry("closed", 3, at + 20, name, outcome=outcome),
        ]

    day = 86_400.0
    entries = [*story(1, 0, "promoted"), *story(2, 2 * day, "promoted"), *story(3, 3 * day, "rolled_back"),
               *story(4, 4 * day - 15, "promoted"), *story(5, 5 * day, "promoted")]  # fmt: skip
    found = promoted_before(entries, START + timedelta(days=4), timedelta(days=3))
    assert [one.rollout_id for one in found] == ["production/checkout/1.2/1"] * 2


def test_every_kind_is_judged_again_as_it_was() -> None:
    """The counts a worker wrote down, windows' lengths and burn windows with them."""
    rule = rules(*ALL, no_history="roll_back")
    seen = read(drawn(8, ALL, 30, 2.0), rule)
    story = [
        look(number, 10 + 10 * number, counts=[counts.model_dump(mode="json") for counts in seen.counts(number)])
        for number in range(seen.looks)
    ]
    past = past_rollout(ID, story, rule.metrics)
    assert [past.trace.counts(number) for number in range(30)] == [seen.counts(number) for number in range(30)]
    course, again = judge_traces(rule, [seen, past.trace])
    assert (course.decision, again.decision) == ("roll_back", "roll_back")
    assert again.look == course.look
    assert again.reason == course.reason


def test_a_metric_of_another_kind_than_then_is_told_with_its_look() -> None:
    cpu = Metric(name="errors", kind="value")
    with pytest.raises(InputError, match=r"#3: observations.errors.canary.values: is missing: a value is"):
        past_rollout(ID, STORY, [cpu])
