"""Events without requests, such as restarts or orders: two integers and the shares of the traffic.

Given how many events both arms had together, the canary's part of them is binomial in the ratio of the rates per unit
of traffic: whatever moves both rates cancels (Lindon and Malek, "Anytime-valid inference for multinomial count data",
2022). The mixture over ratios, the start times and the tempering are those of ``coalmine.analysis.channels``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from coalmine.analysis import grids, interval, mixture
from coalmine.analysis.channels import Pace, ratios_of
from coalmine.analysis.dispersion import Dispersion, Prior
from coalmine.analysis.grids import Array, Mask, Numeric
from coalmine.analysis.metrics import Weighed
from coalmine.analysis.readings import Reading
from coalmine.analysis.sentences import effect, number, percent, times
from coalmine.analysis.tempering import Bets, Weighing
from coalmine.analysis.trees import Capital, Count, Curve, Sum
from coalmine.analysis.windows import Bounds, MetricWindow

_HOUR = 3600.0
_LEVEL: Array = np.ones(1)


@dataclass(frozen=True)
class EventCounts:
    """One window of a count metric for a batch, each [S]; ``present`` False = missing, or the share is not known."""

    canary: Numeric
    baseline: Numeric
    share: Numeric
    """The canary's part of the traffic, 0-1 exclusive."""
    seconds: Numeric
    present: Mask


@dataclass(frozen=True)
class CountState:
    """State of a count metric, arrays [S, 1, ...]."""

    canary: Count
    baseline: Count
    exposure: Sum
    """Hours of all traffic, and the part of them the canary had; [S, 2]."""
    expected: Sum
    """Events of the arm that may have too many, if the ratio were the margin, summed over the looks."""
    curve: Curve
    relative: Capital
    floor: Capital
    no_harm: Capital
    below: Capital
    noise: Dispersion


@dataclass(frozen=True)
class CountMetric:
    """A count metric. Where less is worse the arms change places: too many in the baseline is too few in the canary."""

    margin: float
    no_harm: float
    tolerance: float
    """Events per hour of all traffic that are never harm; 0 = none."""
    prior: Prior
    """Noise of the channel ``events``, shape [1]."""
    down: bool = False
    look_seconds: float = 60.0
    counts = EventCounts

    @cached_property
    def _no_harm_log_prior(self) -> Array:
        return grids.no_harm_log_prior(np.array(self.no_harm))

    def start(self, size: int, bounds: Bounds = ()) -> CountState:
        """Nothing seen, for ``size`` runs."""
        shape = (size, 1)
        return CountState(
            canary=np.zeros(shape),
            baseline=np.zeros(shape),
            exposure=np.zeros((size, 2)),
            expected=np.zeros(shape),
            curve=np.zeros((*shape, grids.CURVE_RATIOS.size)),
            relative=mixture.empty(shape, grids.HARM_RATIOS.size),
            floor=mixture.empty(shape, grids.FLOOR_RATIOS.size),
            no_harm=mixture.empty(shape, grids.NO_HARM_RATIOS.size),
            below=mixture.empty(shape, grids.NO_HARM_RATIOS.size),
            noise=Dispersion.start(shape),
        )

    def update(self, state: CountState, counts: EventCounts, pace: Pace) -> CountState:
        """Fold one window in."""
        present = np.asarray(counts.present, bool)[:, None]
        x_c, x_b, share, hours = (
            np.where(present, np.asarray(values, float)[:, None], empty)
            for values, empty in (
                (counts.canary, 0.0),
                (counts.baseline, 0.0),
                (counts.share, 0.5),
                (counts.seconds, 0.0),
            )
        )
        hours = hours / _HOUR
        more, other, part = (x_b, x_c, 1.0 - share) if self.down else (x_c, x_b, share)
        events = more + other
        likelihood = log_likelihood(more, other, part, ratios_of(self.margin, self.no_harm))
        harm, at_margin, whole, proof, at_proof = (likelihood[..., part] for part in _PARTS)
        expected = events * part * self.margin / (part * self.margin + 1.0 - part)
        spread = part * self.margin * (1.0 - part) / (part * self.margin + 1.0 - part) ** 2
        summed = state.curve + whole
        after = state.expected + expected
        canary, baseline = state.canary + x_c, state.baseline + x_b
        scale = self._scale(canary, baseline, after)
        look = (more - expected, events * spread, other / (1.0 - part) * spread, scale)
        allowed = self.tolerance * hours * share
        above, below = (
            x_c[..., None] * np.log(ratios) - allowed[..., None] * (ratios - 1.0)
            for ratios in (grids.FLOOR_RATIOS, grids.NO_HARM_RATIOS)
        )
        return CountState(
            canary=canary,
            baseline=baseline,
            exposure=state.exposure + np.concatenate([hours, hours * share], axis=-1),
            expected=after,
            curve=summed - summed.max(axis=-1, keepdims=True),
            relative=mixture.fold(state.relative, pace.log_weight, harm - at_margin, pace.harm_cap),
            floor=mixture.fold(state.floor, pace.log_weight, above, pace.harm_cap) if self.tolerance else state.floor,
            no_harm=mixture.fold(state.no_harm, pace.log_weight, proof - at_proof, min(pace.cap, pace.proof_cap)),
            below=mixture.fold(state.below, pace.log_weight, below, pace.cap) if self.tolerance else state.below,
            noise=pace.noise(state.noise, look, present),
        )

    def weighing(self, state: CountState, unspent: float) -> Weighing[Weighed]:
        """The evidence so far; harm never rests on fewer than 5 events of the arm that has too many."""
        phi = state.noise.lagged(self.prior, _LEVEL)
        bets = [
            Bets(state.relative, grids.HARM_LOG_PRIOR, phi),
            Bets(state.no_harm, self._no_harm_log_prior, phi, rounded=False),
        ]
        if self.tolerance:
            bets.append(Bets(state.floor, grids.FLOOR_LOG_PRIOR, phi))
            bets.append(Bets(state.below, grids.BELOW_LOG_PRIOR, phi, rounded=False))
        harm, proof, *tolerated = yield bets
        if tolerated:
            floor, below = tolerated
            harm = np.minimum(harm, floor)
            proof = np.logaddexp(proof + grids.RELATIVE_LOG_SHARE, below + grids.BELOW_LOG_SHARE)
        more = state.baseline if self.down else state.canary
        harm = np.where(more >= grids.MIN_EVENTS, harm, np.minimum(harm, 0.0))[:, 0]
        return Weighed(harm, harm, None, proof[:, 0], phi, state.curve)

    def take(
        self, bounds: Bounds, window: MetricWindow, share: float | None, reason: str
    ) -> tuple[Bounds, EventCounts, str]:
        """One run's window as a batch of one. A window in which the weight changed is left out: no bet."""
        known = share is not None and 0.0 < share < 1.0
        arms = (window.canary.events, window.baseline.events)
        seconds = self.look_seconds if window.seconds is None else window.seconds
        canary, baseline, part, length = (np.array([v]) for v in (*arms, share if known else 0.5, seconds))
        return bounds, EventCounts(canary, baseline, part, length, np.array([known and not reason])), reason

    def seen(self, state: CountState) -> None:
        """Requests seen: events say nothing of those."""

    def read(self, names: Sequence[str], state: CountState, weighed: Weighed, alpha: float) -> list[Reading]:
        """What one run shows."""
        return [self._reading(names[0], state, weighed.intervals(alpha))]

    def _reading(self, name: str, state: CountState, ends: tuple[Array, Array]) -> Reading:
        """Events of both arms, and the ratio of their rates per unit of traffic."""
        x_c, x_b = int(state.canary[0, 0]), int(state.baseline[0, 0])
        hours, own = (float(value) for value in state.exposure[0])
        ratio = float(interval.estimate(state.curve)[0, 0])
        low, high = (float(end[0, 0]) for end in ends)
        margin = 1.0 / self.margin if self.down else self.margin
        known = bool(np.isfinite(ratio))
        ratio = min(max(ratio, low), high)
        if known and self.down:
            ratio, low, high = 1.0 / ratio, 1.0 / high, 1.0 / low
        part = own / hours if hours else None
        what = (
            effect(ratio, (low, high), margin) if known and not self.down else _fewer(known, ratio, low, high, margin)
        )
        text = (
            f"{name}: {number(x_c)} in the canary at {percent(part)} of the traffic against {number(x_b)} in the "
            f"baseline ({what})"
        )
        lowest = (1.0 / high if self.down else low) if known else 0.0
        return Reading(
            text,
            round(ratio, 4) if known else None,
            (round(low, 4), round(high, 4)) if known else None,
            _per_hour(x_b, hours - own),
            _per_hour(x_c, own),
            lowest=lowest,
            measure="rate ratio",
            margin=round(margin, 4),
            worse="down" if self.down else "up",
            proof=f": above {times(1.0 / self.no_harm)} is shown" if self.down else "",
        )

    def _scale(self, canary: Array, baseline: Array, expected: Array) -> Array:
        """True over assumed variance of the residuals, which are taken about the margin, not about the truth."""
        events = canary + baseline
        seen = ((baseline if self.down else canary) + 0.5) / (events + 1.0)
        assumed = expected / np.maximum(events, 1.0)
        ratio = seen * (1.0 - seen) / np.maximum(assumed * (1.0 - assumed), 1e-9)
        return np.minimum(np.maximum(ratio, 0.05), 20.0)


_ENDS = np.cumsum([0, grids.HARM_RATIOS.size, 1, grids.CURVE_RATIOS.size, grids.NO_HARM_RATIOS.size, 1]).tolist()
_PARTS = tuple(slice(*ends) for ends in pairwise(_ENDS))
"""Where ``ratios_of`` has each of them."""


def log_likelihood(more: Array, other: Array, share: Array, ratios: Array) -> Array:
    """Of each ratio of the rates per unit of traffic, given the events of both arms; up to a constant.

    Args:
        more, other: events of the arm whose rate stands above, and of the other, [...].
        share: part of the traffic of the first, 0-1 exclusive.
        ratios: [K].

    Returns:
        [..., K], 0 where there are no events.
    """
    part = share[..., None]
    result: Array = more[..., None] * np.log(ratios) - (more + other)[..., None] * np.log1p(part * (ratios - 1.0))
    return result


def _per_hour(events: int, hours: float) -> float | None:
    """Events per hour of all traffic."""
    return events / hours if hours > 0 else None


def _fewer(known: bool, ratio: float, low: float, high: float, margin: float) -> str:
    if not known:
        return f"too few events to compare; margin {times(margin)}"
    bounds = f"at most {times(high)}" if high < margin else f"between {times(low)} and {times(high)}"
    return f"{times(ratio)}, {bounds}; margin {times(margin)}"
