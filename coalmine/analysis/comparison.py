"""The batched core: all metrics of a judge, both arms running, over a batch of runs [S].

One rollout (S = 1) and a benchmark of a thousand traces run this same code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from math import log, nan

import numpy as np

from coalmine.analysis import interval, mixture
from coalmine.analysis.channels import Pace
from coalmine.analysis.dispersion import Prior
from coalmine.analysis.grids import MIN_HISTORY_LOOKS, Array
from coalmine.analysis.kinds import GROUP_OF, GROUP_WEIGHTS, WEIGHTLESS, AnyCounts, AnyState, MetricJudge, judge_of
from coalmine.analysis.latency import OBJECTIVE_SLOT, QUANTILE_SLOTS
from coalmine.analysis.metrics import LatencyState, Weighed
from coalmine.analysis.noises import Noises
from coalmine.analysis.panels import Panel, Panels, windows_together
from coalmine.analysis.readings import Reading
from coalmine.analysis.tempering import weighed_together
from coalmine.analysis.windows import Bounds
from coalmine.records import ChannelHistory, Judge, ServiceHistory
from coalmine.spec.metrics import Metric

CRASH_WEIGHT = 0.04
KNOWN_CAP = 2.5
"""With history one window may add this many times ln(1/alpha); without, once."""
COLD_BURST = 0.7
"""Without history one window of events adds at most this part of that to harm: bursts are what is known least."""
COLD_PROOF = 0.4
"""Without history one window adds at most this part of ln(1/beta) to the proof of no harm: a burst of the baseline's,
before any noise was seen, is none."""
MARGIN, NOISY_MARGIN = 1.1, 1.2
AUTOCORRELATED = 0.2
"""A service whose noise is more autocorrelated than this gets the wider default margin."""

EVENTS, NORMAL, SAVAGE, DIFFERENCE = "events", "normal", "savage", "difference"
"""Channels of a history; with those of the slots of ``coalmine.analysis.latency``."""


def known_history(judge: Judge) -> ServiceHistory | None:
    """The history when it says enough to be used: at least 60 looks."""
    history = judge.history
    return history if history is not None and history.looks >= MIN_HISTORY_LOOKS else None


def channel_names(metric: Metric) -> tuple[str, ...]:
    """The channels of a metric, in the order of their arrays; none when its noise is not learnt from history."""
    if metric.kind in ("ratio", "count"):
        return (EVENTS,)
    if metric.kind == "value":
        return (DIFFERENCE,)
    if metric.kind != "latency":
        return ()
    slots = tuple(QUANTILE_SLOTS)
    return (NORMAL, SAVAGE, *((OBJECTIVE_SLOT,) if metric.objective is not None else ()), *slots)


def channels_of(judge: Judge, metric: Metric) -> Mapping[str, ChannelHistory]:
    """What the history says of a metric, empty when it says nothing; an unseen objective is as noisy as p97."""
    history = known_history(judge)
    channels = dict(history.channels.get(metric.name, {})) if history is not None else {}
    first = next(iter(QUANTILE_SLOTS))
    if OBJECTIVE_SLOT not in channels and first in channels:
        channels[OBJECTIVE_SLOT] = channels[first]
    return channels if all(name in channels for name in channel_names(metric)) else {}


def margin_of(judge: Judge, metric: Metric) -> float:
    """The metric's margin, or the default: 1.1, wider without history or when the noise is autocorrelated."""
    if metric.margin is not None:
        return metric.margin
    channels = channels_of(judge, metric)
    noisy = not channels or any(channel.rho > AUTOCORRELATED for channel in channels.values())
    return NOISY_MARGIN if noisy else MARGIN


def prior_of(judge: Judge, metric: Metric) -> Prior:
    """What is known of the noise of a metric's channels."""
    channels, names, history = channels_of(judge, metric), channel_names(metric), known_history(judge)
    bounds = [channels[name].bound if channels else None for name in names]
    said = any(bound is not None for bound in bounds)
    return Prior(
        tau2=np.array([channels[name].tau2 if channels else 0.0 for name in names]),
        known=np.full(len(names), bool(channels)),
        seen=float(history.looks) if history is not None else 0.0,
        bounds=np.array([nan if bound is None else bound for bound in bounds]) if said else None,
        least=np.array([channels[name].information if channels else 0.0 for name in names]),
    )


def looks_per_minute(judge: Judge) -> int:
    """Looks in a block of a minute, at least 1."""
    return max(1, round(timedelta(minutes=1) / judge.policy.look))


def weights(metrics: Sequence[Metric], guards: Sequence[Metric]) -> tuple[dict[str, float], dict[str, float]]:
    """Weight of each guardrail and of each crash guard, by name: they sum to 1 over the kinds present."""
    groups = {m.name: GROUP_OF[m.kind] for m in metrics if m.role == "guardrail" and m.kind not in WEIGHTLESS}
    numbers = {group: sum(one == group for one in groups.values()) for group in GROUP_WEIGHTS}
    total = sum(GROUP_WEIGHTS[group] for group, number in numbers.items() if number) + (CRASH_WEIGHT if guards else 0.0)
    if not total:
        return {}, {}
    harm = {name: GROUP_WEIGHTS[group] / total / numbers[group] for name, group in groups.items()}
    crash = {metric.name: CRASH_WEIGHT / total / len(guards) for metric in guards}
    return harm, crash


@dataclass(frozen=True)
class ComparisonState:
    """The evidence of a batch. The cash spent and the looks are the same for all its runs."""

    looks: int
    spent: float
    panels: tuple[Panel, ...]

    @property
    def metrics(self) -> tuple[AnyState, ...]:
        """State of each metric, [S, ...], in the judge's order."""
        parts = {member: panel.of(at) for panel in self.panels for at, member in enumerate(panel.members)}
        return tuple(parts[place] for place in sorted(parts))

    @property
    def bounds(self) -> dict[int, Bounds]:
        """Bounds of the histograms, by the place of their metric."""
        return {
            place: panel.state.bounds
            for panel in self.panels
            if isinstance(panel.state, LatencyState)
            for place in panel.members
        }


@dataclass(frozen=True)
class Verdicts:
    """``ln E`` over the batch [S]: all guardrails together, the crash guards alone, and each metric by name."""

    harm: Array
    crash: Array
    signals: Array
    metrics: Mapping[str, Weighed]
    panels: Sequence[Weighed]
    """Of each panel of the state, [S] or [S, M]."""


class Comparison:
    """Both arms, all metrics: folds looks into evidence and weighs it."""

    def __init__(self, judge: Judge, priors: Mapping[str, Prior] | None = None) -> None:
        """Args:
        judge: metrics, policy, plan, and the history they share.
        priors: a history for every run instead, by metric: arrays [S, C] in the order of ``channel_names``.
        """
        self.judge = judge
        self.names = tuple(metric.name for metric in judge.metrics)
        self._priors = {
            metric.name: prior_of(judge, metric) if priors is None else priors[metric.name] for metric in judge.metrics
        }
        self._judges = tuple(
            judge_of(metric, margin_of(judge, metric), self._priors[metric.name], judge.policy)
            for metric in judge.metrics
        )
        guards = [metric for metric in judge.metrics if metric.role == "guardrail" and metric.kind == "ratio"]
        self.harm_weights, self.crash_weights = weights(judge.metrics, guards)
        self._panels = Panels(self._judges)
        self._block = looks_per_minute(judge)
        self._known = {name for name, prior in self._priors.items() if prior.known.size and prior.certain}
        """Metrics whose noise is known of all their channels."""
        self._cold_proof_cap = COLD_PROOF * log(1.0 / judge.policy.beta)

    def metric(self, index: int) -> MetricJudge:
        """The judge of metric ``index``."""
        return self._judges[index]

    def start(self, size: int, bounds: Mapping[str, Bounds]) -> ComparisonState:
        """Nothing seen, for ``size`` runs; ``bounds`` of each latency metric by name (absent: none known yet)."""
        known = {place: bounds[name] for place, name in enumerate(self.names) if name in bounds}
        return ComparisonState(looks=0, spent=0.0, panels=self._panels.start(size, known))

    def with_bounds(self, state: ComparisonState, bounds: Mapping[int, Bounds]) -> ComparisonState:
        """The same evidence with other bounds for some histograms, by the place of their metric."""
        return replace(state, panels=self._panels.with_bounds(state.panels, bounds)) if bounds else state

    def update(
        self,
        state: ComparisonState,
        counts: Sequence[AnyCounts],
        *,
        new_step: bool = False,
        extension: bool = False,
        noises: Noises | None = None,
    ) -> ComparisonState:
        """Fold one look in: one window per metric, in the judge's order.

        Where ``noises`` are given, the state holds no noise before they are settled.
        """
        look = state.looks + 1
        weight = mixture.invest(state.spent, look, self.judge.planned_looks, new_step=new_step, extension=extension)
        spent = min(1.0, state.spent + weight)
        for metric, one, window in zip(self.judge.metrics, self._judges, counts, strict=True):
            if not isinstance(window, one.counts):
                raise TypeError(f"{metric.name} is {metric.kind}: give it {one.counts.__name__}")
        updated: list[Panel] = []
        together = Noises(self._block) if noises is None else noises
        cap = float(np.log(1.0 / self.judge.policy.alpha))
        known = Pace(weight, KNOWN_CAP * cap, self._block, noises=together)
        cold = Pace(weight, cap, self._block, COLD_BURST, self._cold_proof_cap, together)
        for panel in state.panels:
            pace = known if self.names[panel.members[0]] in self._known else cold
            window = windows_together([counts[place] for place in panel.members])
            updated.append(Panel(panel.members, self._panels.judge(panel.members).update(panel.state, window, pace)))
        if noises is None:
            together.settle()
        return replace(state, looks=look, spent=spent, panels=tuple(updated))

    def seen(self, state: ComparisonState) -> dict[int, tuple[float, float]]:
        """Requests of canary and baseline so far of one run (S = 1), by the place of metrics that count them."""
        found: dict[int, tuple[float, float]] = {}
        for panel in state.panels:
            arms = self._panels.judge(panel.members).seen(panel.state)
            if arms is not None:
                rows = zip(*(values.reshape(-1).tolist() for values in arms), strict=True)
                found.update(zip(panel.members, rows, strict=True))
        return found

    def read(self, state: ComparisonState, verdicts: Verdicts) -> list[Reading]:
        """What each metric of one run (S = 1) shows, in the judge's order."""
        found: dict[int, Reading] = {}
        for panel, weighed in zip(state.panels, self._with_intervals(verdicts.panels), strict=True):
            names = [self.names[place] for place in panel.members]
            judge = self._panels.judge(panel.members)
            readings = judge.read(names, panel.state, weighed, self.judge.policy.alpha)
            found.update(zip(panel.members, readings, strict=True))
        return [found[place] for place in range(len(self.names))]

    def _with_intervals(self, panels: Sequence[Weighed]) -> list[Weighed]:
        """The intervals of all channels are worked out at once."""
        channels = {
            at: (one.curve, one.phi) for at, one in enumerate(panels) if one.curve is not None and one.phi is not None
        }
        found = interval.intervals([*channels.values()], self.judge.policy.alpha)
        ends = dict(zip(channels, found, strict=True))
        return [one._replace(ends=ends[at]) if at in ends else one for at, one in enumerate(panels)]

    def weigh(self, state: ComparisonState) -> Verdicts:
        """The evidence so far."""
        unspent = 1.0 - state.spent
        found: dict[str, Weighed] = {}
        weighings = [self._panels.judge(panel.members).weighing(panel.state, unspent) for panel in state.panels]
        panels = weighed_together(weighings, unspent)
        for panel, together in zip(state.panels, panels, strict=True):
            for at, place in enumerate(panel.members):
                found[self.names[place]] = together if len(panel.members) == 1 else together.of(at)
        weighed = {name: found[name] for name in self.names}
        harm = [weighed[name].harm + log(weight) for name, weight in self.harm_weights.items()]
        crash = [
            guard + log(weight)
            for name, weight in self.crash_weights.items()
            if (guard := weighed[name].crash) is not None
        ]
        signals = [weighed[m.name].harm for m in self.judge.metrics if m.role == "signal" and m.kind not in WEIGHTLESS]
        none = np.full(next(iter(weighed.values())).harm.shape, -np.inf)
        return Verdicts(
            harm=_log_sum([*harm, *crash, none]),
            crash=_log_sum([*crash, none]),
            signals=_log_sum([*signals, none]) - log(max(len(signals), 1)) if signals else none,
            metrics=weighed,
            panels=panels,
        )


def _log_sum(parts: Sequence[Array]) -> Array:
    """``ln sum exp`` of arrays [S], elementwise."""
    rows = np.concatenate(parts).reshape(len(parts), -1)
    return mixture.log_sum(np.ascontiguousarray(rows.T))
