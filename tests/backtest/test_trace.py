"""Traces are read exactly, and whatever cannot be is told with its file, line and field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from coalmine.backtest import read_trace
from coalmine.backtest.columns import CountedColumn
from coalmine.backtest.kinds import COLUMNS
from coalmine.errors import InputError
from coalmine.records import ArmCounts, MetricCounts
from coalmine.spec.metric_rules import KEYS_OF_KIND
from tests.backtest.traces import BOUNDS, buckets, errors, latency, line, ratio

METRICS = (errors(), latency())
GOOD = {
    "errors": {"baseline": ratio(2, 1900), "canary": ratio(0, 100)},
    "latency": {"baseline": buckets([9] * 12), "canary": buckets([1] * 12)},
}


def look(number: int = 1, **changes: Any) -> str:
    """A good look, with changes at places such as ``errors__canary__events``; ``...`` takes a key away."""
    changed = json.loads(line(number, GOOD))
    for path, value in changes.items():
        keys = path.split("__")
        place = changed if keys[0] in ("at", "weight", "observations") else changed["observations"]
        for key in keys[:-1]:
            place = place[key]
        if value is ...:
            del place[keys[-1]]
        else:
            place[keys[-1]] = value
    return json.dumps(changed)


def test_a_look_becomes_what_a_source_would_have_reported() -> None:
    trace = read_trace([look(1), "", look(2, errors__canary=None, latency=...), "\n"], "a.jsonl", METRICS)
    assert trace.looks == 2
    assert trace.counts(0) == [
        MetricCounts(metric="errors", canary=ArmCounts(total=100, events=0), baseline=ArmCounts(total=1900, events=2)),
        MetricCounts(
            metric="latency",
            bounds=BOUNDS,
            canary=ArmCounts(total=12, buckets=[1] * 12),
            baseline=ArmCounts(total=108, buckets=[9] * 12),
        ),
    ]
    assert trace.counts(1) == [MetricCounts(metric="errors", baseline=ArmCounts(total=1900, events=2))]
    assert trace.seconds == [10.0, 10.0]


def test_missing_can_be_said_in_every_way() -> None:
    ways = [look(1, errors=...), look(2, errors=None), look(3, errors={}), look(4, errors={"canary": None}),
            look(5, observations={})]  # fmt: skip
    trace = read_trace(ways, "a.jsonl", METRICS)
    errors, latency = (trace.columns[name] for name in ("errors", "latency"))
    assert isinstance(errors, CountedColumn)
    assert isinstance(latency, CountedColumn)
    assert not errors.has.any()
    assert latency.has[:, :4].all()


def test_whole_numbers_may_be_written_as_floats_and_notes_may_stand_beside() -> None:
    noted = json.loads(look(1, errors__canary__events=1.0, latency__canary__counts=[1.0] * 12)) | {"note": "mine"}
    trace = read_trace([json.dumps(noted)], "a.jsonl", METRICS)
    assert trace.counts(0)[0].canary == ArmCounts(total=100, events=1)
    assert trace.counts(0)[1].canary == ArmCounts(total=12, buckets=[1] * 12)


def test_a_new_weight_is_a_new_step() -> None:
    weights = [5, 5, None, 5, 10, None, 50, 10]
    trace = read_trace([look(n, weight=weight) for n, weight in enumerate(weights)], "a.jsonl", METRICS)
    assert trace.new_steps == (False, False, False, False, True, False, True, True)
    assert trace.shares[:2].tolist() == [0.05, 0.05]
    assert str(trace.shares[2]) == "nan"


def test_arms_with_other_bounds_are_merged_to_those_both_have() -> None:
    trace = read_trace([look(1, latency__canary=buckets([1, 2, 3], [0.01, 1.0]))], "a.jsonl", METRICS)
    merged = trace.counts(0)[1]
    assert merged.bounds == [0.01, 1.0]
    assert merged.canary == ArmCounts(total=6, buckets=[1, 2, 3])
    assert merged.baseline == ArmCounts(total=108, buckets=[18, 54, 36])


def test_a_bound_of_zero_is_read() -> None:
    """OpenTelemetry's histograms begin with it where nobody chose other bounds."""
    arms = {"latency__canary": buckets([0, 2, 3], [0, 1.0]), "latency__baseline": buckets([0, 7, 8], [0, 1.0])}
    [_, latency] = read_trace([look(1, **arms)], "a.jsonl", METRICS).counts(0)
    assert latency.bounds == [0.0, 1.0]


BAD: list[tuple[str, str]] = [
    ("{", "not JSON: Expecting property name enclosed in double quotes at column 2"),
    ("nothing", "not JSON: Expecting value at column 1"),
    ("\ufeff{}", "begins with a byte order mark, which only a file may begin with: were files joined?"),
    ('{"at": NaN}', "not JSON: NaN is no number: where there is no data, write null"),
    (look(errors__canary__total=float("inf")), "not JSON: Infinity is no number"),
    (look() + look(), "not JSON: Extra data at column"),
    ("[" * 100_000, "not JSON: "),
    ("[1, 2]", "[1, 2] is no look: a line is an object"),
    (look(at=...), "at: is missing"),
    (look(weight=...), "weight: is missing"),
    (look(observations=...), "observations: is missing"),
    (look(at="yesterday"), "at: 'yesterday' is no time such as 2026-01-01T00:00:10Z"),
    (look(at=1767225610), "at: 1767225610 is no time"),
    (look(at="2026-01-01T00:00:10"), "at: '2026-01-01T00:00:10' has no time zone: append Z for UTC"),
    (look(0), "at: 2026-01-01T00:00:00Z is not after 2026-01-01T00:00:00+00:00 of the look before: give"),
    (look(at="2026-01-01T00:59:00+01:00"), "is not after 2026-01-01T00:00:00+00:00 of the look before"),
    (look(weight="5 %"), "weight: '5 %' is no number: give the canary's percent"),
    (look(weight=True), "weight: true is no number"),
    (look(weight=-1), "weight: -1 is not between 0 and 100"),
    (look(weight=100.5), "weight: 100.5 is not between 0 and 100"),
    (look(weight=10**400), "weight: 1000"),
    (look(weight=-(10**400)), "is not between 0 and 100"),
    (look()[:-1] + ', "weight": 50}', "not JSON: 'weight' stands there twice"),
    (look().replace('"events": 0', '"events": 9, "events": 0'), "not JSON: 'events' stands there twice"),
    (look().replace('"total": 100', f'"total": {"9" * 5000}'), "not JSON: a number has too many digits"),
    (look(observations={"a\nb\ud800": {}}), r"observations['a\nb\ud800']: is no metric of the spec"),
    (look(observations=[]), "observations: [] is no object of metrics"),
    (look(observations=None), "observations: nothing is no object of metrics"),
    (look(observations__erors={}), "observations.erors: is no metric of the spec: did you mean 'errors'?"),
    (look(cpu={"canary": {"values": [0.5]}}), "observations.cpu: is no metric of the spec (known: errors, latency)"),
    (look(errors=3), "observations.errors: 3 is no object"),
    (look(errors__canary=..., errors__cannary={"events": 9, "total": 9}), "observations.errors.cannary: is no arm"),
    (look(errors={"base\nline": {}}), r"observations.errors['base\nline']: is no arm: did you mean 'baseline'?"),
    (look(errors__canary=[1, 2]), "observations.errors.canary: [1, 2] is no object of counts, nor null"),
    (look(errors__canary__events=...), "observations.errors.canary.events: is missing: write {"),
    (look(errors__baseline__total=...), "observations.errors.baseline.total: is missing"),
    (look(errors__canary__events=101), "observations.errors.canary.events: 101 events are more than the total of 100"),
    (look(errors__canary__events=-1), "observations.errors.canary.events: -1 is negative"),
    (look(errors__baseline__total=-5), "observations.errors.baseline.total: -5 is negative"),
    (look(errors__canary__events=0.5), "observations.errors.canary.events: 0.5 is no count"),
    (look(errors__canary__events="0"), "observations.errors.canary.events: '0' is no count"),
    (look(errors__canary__events=True), "observations.errors.canary.events: true is no count"),
    (look(errors__canary__total=None), "observations.errors.canary.total: nothing is no count"),
    (look(errors__canary__total=2**53 + 1), "observations.errors.canary.total: 9007199254740993 is over 2^53"),
    (look(errors__canary__total=1e300), "observations.errors.canary.total: 1e+300 is over 2^53"),
    (look(errors__canary=buckets([1] * 12)), "observations.errors.canary.events: is missing: write {"),
    (look(latency__canary=ratio(1, 2)), "observations.latency.canary.le: is missing: latency is"),
    (look(latency__canary__le=None), "observations.latency.canary.le: nothing is no list"),
    (look(latency__canary__counts=...), "observations.latency.canary.counts: is missing"),
    (look(latency__canary__counts=7), "observations.latency.canary.counts: 7 is no list"),
    (look(latency__canary__counts=[1] * 11), "observations.latency.canary.counts: 11 counts for 12 bounds"),
    (look(latency__baseline__counts=[1] * 13), "observations.latency.baseline.counts: 13 counts for 12 bounds"),
    (look(latency__canary__counts=[1] * 11 + [-2]), "observations.latency.canary.counts[11]: -2 is negative"),
    (look(latency__canary__counts=[1.5] + [1] * 11), "observations.latency.canary.counts[0]: 1.5 is no count"),
    (look(latency__canary__counts=[None] + [1] * 11), "observations.latency.canary.counts[0]: nothing is no count"),
    (look(latency__canary__counts=[2**60] + [1] * 11), "observations.latency.canary.counts[0]: 1152921504606846976 is"),
    (look(latency__canary=buckets([1, 2], [0.1]) | {"le": [0.1, 0.2]}), 'le: [0.1, 0.2] does not end with "+Inf"'),
    (look(latency__canary__counts=[2**53, 1] + [0] * 10), "latency.canary.counts: 9007199254740993 is over 2^53"),
    (look(latency__canary={"le": [], "counts": []}), 'observations.latency.canary.le: [] does not end with "+Inf"'),
    (look(latency__canary=buckets([1], [])), ".canary.le: holds +Inf only: one bucket says nothing"),
    (look().replace('"le": [0.005', '"le": [1e400'), ".le[0]: inf is no bound: give seconds, 0 or more"),
    (look(latency__canary=buckets([1, 2], [10**400])), ".canary.le[0]: 1000"),
    (look(latency__canary=buckets([1, 2, 3], [0.2, 0.1])), "[0.2, 0.1, '+Inf'] does not rise"),
    (look(latency__canary=buckets([1, 2, 3], [0.1, 0.1])), "[0.1, 0.1, '+Inf'] does not rise"),
    (look(latency__canary=buckets([1, 2], [-1])), ".canary.le[0]: -1 is no bound: give seconds, 0 or more"),
    (look(latency__canary__le=[[], *BOUNDS[1:], "+Inf"]), "observations.latency.canary.le[0]: [] is no bound"),
    (look(latency__canary=buckets([1, 2], [0.033])), ".latency.baseline.le: shares no bound with the canary's"),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "said"), BAD, ids=[said[:60] for _, said in BAD])
def test_a_bad_line_is_told_with_its_place(bad: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_trace([look(0), "", bad], "runs/a.jsonl", METRICS)
    message = str(caught.value)
    assert message.startswith("runs/a.jsonl:3: ")
    assert said in message
    assert "\n" not in message


@pytest.mark.parametrize("lines", [[], [""], ["  \n", "\t"]])
def test_a_trace_without_looks_is_told(lines: list[str]) -> None:
    with pytest.raises(InputError, match=r"a\.jsonl: holds no look"):
        read_trace(lines, "a.jsonl", METRICS)


def test_every_kind_of_metric_can_be_read() -> None:
    assert set(COLUMNS) == set(KEYS_OF_KIND)
