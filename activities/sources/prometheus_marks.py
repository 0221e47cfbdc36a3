"""Staleness marks, which VictoriaMetrics shows among raw samples and Prometheus keeps to itself.

Where a scrape failed, or a target went away, its series get one NaN each. That is a missed scrape, and no value: it is
left out. What an application exposes as NaN stays, because the target was ``up`` at that scrape.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence

from activities.sources.increments import Sample
from activities.sources.prometheus_http import PrometheusHttp
from activities.sources.prometheus_series import Labels, Read, Target, read_raw, selector_of, target_of
from coalmine.spec.selectors import Selector

NAN = "NaN"
_AROUND = 5
"""Scrapes before the first NaN from which on ``up`` is read: the scrape nearest to it is among them."""


async def read_samples(
    http: PrometheusHttp, selectors: Iterable[Selector], since: int, until: int, scrape: int
) -> Read:
    """All samples that were scraped from ``since`` to ``until`` (milliseconds), without staleness marks.

    ``up`` is asked for only when there is a NaN.

    Raises:
        SourceUnreachable: the store did not answer in time.
        QueryRejected: the store refused, or the series are native histograms.
    """
    read = await read_raw(http, selectors, since, until, scrape)
    found = await http.run(_first_nans, read.series)
    if not found:
        return read
    ups = await read_raw(http, [selector_of("up", found)], min(found.values()) - _AROUND * scrape, until, scrape)
    series = await http.run(without_marks, read.series, ups.series)
    return Read(series, (*read.warnings, *ups.warnings))


def without_marks(
    series: Mapping[Labels, Sequence[Sample]], ups: Mapping[Labels, Sequence[Sample]]
) -> Mapping[Labels, Sequence[Sample]]:
    """Series without the NaN of scrapes that ``up`` says were none; a series of nothing else is left out.

    The scrape of a NaN is the one nearest to it: a mark bears the moment by the clock, the samples of its scrape one
    that may be a tenth of the interval away from that. A target without ``up`` keeps all it has.
    """
    scrapes: dict[Target, dict[int, bool]] = {}
    for labels, samples in ups.items():
        if (target := target_of(labels)) is not None:
            known = scrapes.setdefault(target, {})
            # Of two who scrape one target at the same moment, one success makes it a sample.
            known.update({at: known.get(at, False) or value == "1" for at, value in samples})
    ordered = {target: sorted(known.items()) for target, known in scrapes.items()}
    kept: dict[Labels, Sequence[Sample]] = {}
    for labels, samples in series.items():
        target = target_of(labels)
        near = ordered.get(target, []) if target is not None else []
        left = [sample for sample in samples if sample[1] != NAN or not _missed(near, sample[0])] if near else samples
        if left:
            kept[labels] = left
    return kept


def _missed(scrapes: Sequence[tuple[int, bool]], at: int) -> bool:
    place = bisect.bisect_left(scrapes, at, key=lambda scrape: scrape[0])
    around = scrapes[max(0, place - 1) : place + 1]
    nearest = min(abs(moment - at) for moment, _ in around)
    return not any(succeeded for moment, succeeded in around if abs(moment - at) == nearest)


def _first_nans(series: Mapping[Labels, Sequence[Sample]]) -> dict[Target, int]:
    """The moment of the first NaN of every target that has one."""
    found: dict[Target, int] = {}
    for labels, samples in series.items():
        first = next((at for at, value in samples if value == NAN), None)
        target = target_of(labels)
        if first is not None and target is not None:
            found[target] = min(first, found.get(target, first))
    return found
