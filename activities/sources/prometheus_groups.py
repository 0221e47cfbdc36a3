"""Series put together by what restarts together, and what each of them counted in a window.

A plain counter is a group of its own; the buckets of one histogram (and its ``_count``) are one group, because one
process writes them: a restart that shows in any of them is a restart of all.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from activities.sources.each_arm import NoCounts
from activities.sources.increments import NotACount, Sample, increments
from activities.sources.prometheus_series import Labels, Target, Targets, target_of
from coalmine.errors import QueryRejected

Column = float | str
"""A bucket's upper bound, ``COUNT`` for a histogram's count, ``""`` for a plain counter."""
COUNT = "count"
_YOUNG = 120_000
"""Milliseconds a process may have run before its first scrape and still have counted from zero for us."""


@dataclass(frozen=True)
class Group:
    """Counters that live and restart together."""

    labels: Labels
    columns: Mapping[Column, Sequence[Sample]]
    members: Mapping[Column, Labels]

    @property
    def lead(self) -> Sequence[Sample]:
        """Samples of the column whose moments are those of all."""
        return self.columns[math.inf] if math.inf in self.columns else next(iter(self.columns.values()))

    @property
    def target(self) -> Target | None:
        """Where the group is scraped from."""
        return target_of(self.labels)

    @property
    def born(self) -> int:
        """The moment of the first sample that was read."""
        return self.lead[0][0]


@dataclass(frozen=True)
class Tally:
    """What a window counted, summed over groups, by column."""

    counted: Mapping[Column, int]
    warnings: list[str] = field(default_factory=list)


def plain_groups(series: Mapping[Labels, Sequence[Sample]], until: int) -> list[Group]:
    """One group for each counter, with its samples up to ``until``.

    Raises:
        QueryRejected: the series are buckets.
    """
    groups: list[Group] = []
    for labels, samples in sorted(series.items()):
        if "le" in dict(labels):
            raise QueryRejected(f"{show(labels)} is a histogram bucket: select its _count for requests")
        if known := _until(samples, until):
            groups.append(Group(labels, {"": known}, {"": labels}))
    return groups


def histogram_groups(series: Mapping[Labels, Sequence[Sample]], until: int) -> list[Group]:
    """One group for each classic histogram, with the buckets that were there in every scrape of it.

    A bound that came or went in between (a process restarted with other buckets) is left out; that merges its
    requests into the next coarser bucket and loses none.

    Raises:
        QueryRejected: the series are no buckets of a classic histogram.
    """
    if series and not any("le" in dict(labels) for labels in series):
        raise QueryRejected(
            f"{show(next(iter(series)))} has no label le: `buckets` needs the _bucket series of a histogram"
        )
    found: dict[Labels, dict[Column, Labels]] = {}
    for labels in series:
        named = dict(labels)
        bound = named.pop("le", None)
        name = named.pop("__name__", "")
        column: Column = COUNT
        if bound is not None:
            name = name.removesuffix("_bucket")
            column = _bound(bound, labels)
        elif name.endswith("_count"):
            name = name.removesuffix("_count")
        else:
            raise QueryRejected(f"{show(labels)} has no label le: `buckets` needs the _bucket series of a histogram")
        found.setdefault((("__name__", name), *sorted(named.items())), {})[column] = labels
    groups: list[Group] = []
    for key, members in sorted(found.items()):
        cut = {column: _until(series[labels], until) for column, labels in members.items()}
        if math.inf not in cut:
            if set(cut) == {COUNT}:
                continue
            raise QueryRejected(f'{show(key)} has no bucket le="+Inf": is the selector narrowed by le?')
        moments = [at for at, _ in cut[math.inf]]
        whole = {column: samples for column, samples in cut.items() if [at for at, _ in samples] == moments}
        if moments:
            groups.append(Group(key, whole, {column: members[column] for column in whole}))
    return groups


def tally(
    groups: Sequence[Group],
    window: tuple[int, int],
    before: Mapping[Labels, Sequence[Sample]],
    targets: Targets,
    family: Sequence[Group],
) -> Tally:
    """Count a window over groups.

    Args:
        groups: What is counted.
        window: Start (exclusive) and end (inclusive) in milliseconds.
        before: Last values of series that were not seen for a while.
        targets: When targets were scraped, and when their processes started.
        family: All groups of the arm, which tell whether a series that is new was missing before.

    Raises:
        NoCounts: a sample is no count, or there is nothing to count from.
    """
    counted: dict[Column, int] = {}
    warnings: list[str] = []
    founded = False
    seen: set[Column] = set()
    for group in groups:
        columns = group.columns
        base: dict[Column, str] | None = None
        zero = False
        if group.born > window[0]:
            known = {column: before[labels][-1][1] for column, labels in group.members.items() if labels in before}
            if math.inf in known or "" in known:
                base = known
                columns = {column: samples for column, samples in columns.items() if column in known}
            else:
                zero = _from_zero(group, targets, family, known=bool(before))
                if not zero:
                    warnings.append(
                        f"{show(group.labels)} was first scraped inside the window; its count before is left out"
                    )
        try:
            gained = increments(columns, *window, base=base, from_zero=zero)
        except NotACount as error:
            kind = "NaN" if str(error) == "NaN" else "not a count"
            raise NoCounts(f"{kind}: {show(group.labels)} has the value {error}") from None
        founded = founded or group.born <= window[0] or base is not None or zero or len(group.lead) > 1
        _add(counted, gained, first=not counted)
        seen.update(gained)
    if groups and not founded:
        raise NoCounts("its series began inside the window, and their first sample only says where counting starts")
    if lost := sorted(bound for bound in seen - set(counted) if isinstance(bound, float)):
        warnings.append("bounds that not every series has were merged away: " + ", ".join(f"{b:g}" for b in lost))
    return Tally(counted, warnings)


def show(labels: Labels) -> str:
    """A series as people know it: name and labels."""
    named = dict(labels)
    name = named.pop("__name__", "")
    return name + "{" + ", ".join(f"{label}={value!r}" for label, value in named.items()) + "}"


def _from_zero(group: Group, targets: Targets, family: Sequence[Group], *, known: bool) -> bool:
    born = group.born
    target = group.target
    if target is not None:
        if any(at < born for at in targets.scraped.get(target, ())):
            return True
        if any(other.target == target and other.born < born for other in family):
            return True
        # An old process that is only scraped since now has counted for long what no window may hold.
        if target in targets.started and targets.started[target] < born - _YOUNG:
            return False
    return known or any(other.born < born for other in family)


def _add(into: dict[Column, int], gained: Mapping[Column, int], *, first: bool) -> None:
    if first:
        into.update(gained)
        return
    # Bounds that not every histogram has are dropped: counts are cumulative, so the coarser ones stay exact.
    for column in list(into):
        if column in gained:
            into[column] += gained[column]
        else:
            del into[column]


def _until(samples: Sequence[Sample], until: int) -> Sequence[Sample]:
    return samples[: bisect.bisect_right(samples, until, key=lambda sample: sample[0])]


def _bound(text: str, labels: Labels) -> float:
    try:
        bound = float(text)
    except ValueError:
        bound = math.nan
    if math.isnan(bound):
        raise QueryRejected(f"{show(labels)}: le={text!r} is no number")
    return bound
