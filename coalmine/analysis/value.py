"""Gauges of instances, such as CPU or memory: paired differences of a minute, by asymptotic bounds.

In every look the instances of an arm are averaged, and the looks of a minute make a block; what is judged is the mean
of canary minus baseline over the blocks, so that whatever moves both arms at once cancels. See
``coalmine.analysis.asymptotic`` for the bounds. No verdict rests on fewer than ten blocks.

A fault may begin late, and a long quiet past would dilute it. So besides the mean since the release began there are
means since later moments, one every five blocks, each with a part of the capital of its own. A process counts as its
own the variance about two means, before its beginning and after it: a fault it sees does not count as noise against
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from coalmine.analysis import asymptotic, mixture
from coalmine.analysis.channels import Pace
from coalmine.analysis.dispersion import SAFETY, Prior
from coalmine.analysis.grids import Array, Mask, Numeric
from coalmine.analysis.metrics import Weighed
from coalmine.analysis.readings import Reading, significant
from coalmine.analysis.sentences import amount
from coalmine.analysis.tempering import Weighing
from coalmine.analysis.trees import Count, Sum
from coalmine.analysis.windows import Bounds, MetricWindow

FEWEST_BLOCKS = 10
"""No verdict before: the bounds hold in the limit only."""
EVERY = 5
"""Blocks after which a further process begins."""
_LATER = 7
"""Processes kept besides the first; the oldest of them makes room."""
_LARGEST = 1e12
"""Blocks differ from the first by at most this many times its level: squares must fit a 32-bit float."""
_SMALLEST = -300
"""Levels below 2 ** -300 are as good as zero: what they are multiplied by must not overflow."""
_RESOLUTION = 1e-9
"""Differences of this part of the level count as none: a gauge is no exact number."""
_KNOWN_BLOCKS = 10.0
"""How many blocks a history weighs."""
_LEAST_SEEN = 0.5
"""A history never makes less than this part of the variance that is seen."""
_SAME = 1e6
"""How many resolutions of distance stand for equality in every block."""
_N, _DIFFERENCE, _BASELINE, _LEVEL = range(4)
_PLAIN, _HARM, _PROOF = range(3)
"""The series whose noise is kept: the difference, and the difference less what the two margins allow."""


@dataclass(frozen=True)
class ValueMeans:
    """One window of a value metric for a batch, each [S]: means over instances; ``present`` False = missing."""

    canary: Numeric
    baseline: Numeric
    present: Mask


@dataclass(frozen=True)
class ValueState:
    """State of a value metric. All levels are in units of ``2 ** exponent``, chosen by the first that is not zero."""

    exponent: Count
    scaled: Count
    """1 once the exponent is chosen, [S]."""
    blocks: Count
    open: Sum
    """Of the block under way: looks, sums of the differences and of the baseline; [S, 3]."""
    means: Sum
    """Of each process: blocks, means of the difference, the baseline, its size; [S, K, 4]; first the whole release."""
    noise: Sum
    """Of each series, blocks less the first: that one, the last, sum, squares, products of neighbours; [S, 3, 5]."""


@dataclass(frozen=True)
class ValueMetric:
    """A value metric. Differences are signed so that up is worse."""

    margin: float
    no_harm: float
    tolerance: float
    down: bool = False
    """Less is worse."""
    suffix: str = ""
    block_seconds: float = 60.0
    known: Prior | None = None
    """Noise of the channel ``difference``, shape [1]: variance of a block relative to the squared level."""
    counts = ValueMeans

    def start(self, size: int, bounds: Bounds = ()) -> ValueState:
        """Nothing seen, for ``size`` runs."""
        return ValueState(
            exponent=np.zeros(size),
            scaled=np.zeros(size),
            blocks=np.zeros(size),
            open=np.zeros((size, 3)),
            means=np.zeros((size, 1 + _LATER, 4)),
            noise=np.zeros((size, 3, 5)),
        )

    def update(self, state: ValueState, counts: ValueMeans, pace: Pace) -> ValueState:
        """Fold one window in."""
        canary, baseline = (
            np.where(counts.present, np.asarray(v, float), 0.0) for v in (counts.canary, counts.baseline)
        )
        state = _scaled(state, np.maximum(np.abs(canary), np.abs(baseline)))
        unit = -state.exponent.astype(np.int64)
        canary, baseline = np.ldexp(canary, unit), np.ldexp(baseline, unit)
        difference = baseline - canary if self.down else canary - baseline
        look = np.stack([np.ones_like(difference), difference, baseline], axis=-1)
        opened = state.open + np.where(counts.present[:, None], _bounded(look), 0.0)
        full = opened[:, 0] >= pace.block
        difference, baseline = opened[:, 1:].T / np.maximum(opened[:, 0], 1.0)
        block = np.stack([difference, baseline, np.abs(baseline)], axis=-1)
        return self._folded(replace(state, open=np.where(full[:, None], 0.0, opened)), block, full)

    def weighing(self, state: ValueState, unspent: float) -> Weighing[Weighed]:
        """The evidence so far, which rests on no bets."""
        yield ()
        return self.weigh(state)

    def weigh(self, state: ValueState) -> Weighed:
        """The same at once."""
        spread = _variance(state, self.parts)
        harm, proof = self._evidence(state, *spread)
        return Weighed(harm, harm, None, proof, spread=spread)

    def take(
        self, bounds: Bounds, window: MetricWindow, share: float | None, reason: str
    ) -> tuple[Bounds, ValueMeans, str]:
        """One run's window as a batch of one."""
        levels = (0.0, 0.0) if reason else (_mean(window.canary.values), _mean(window.baseline.values))
        canary, baseline = (np.array([level]) for level in levels)
        return bounds, ValueMeans(canary, baseline, np.array([not reason])), reason

    def seen(self, state: ValueState) -> None:
        """Requests seen: a gauge counts none."""

    def read(self, names: Sequence[str], state: ValueState, weighed: Weighed, alpha: float) -> list[Reading]:
        """What one run shows."""
        return [self._reading(names[0], state, weighed, alpha)]

    def _reading(self, name: str, state: ValueState, weighed: Weighed, alpha: float) -> Reading:
        """Levels, difference and its interval, in the metric's own unit."""
        blocks, difference, level, size = (float(v) for v in state.means[0, 0])
        unit = 2.0 ** float(state.exponent[0])
        open_ = state.open[0]
        if not blocks:
            difference, level = (float(open_[i]) / max(float(open_[0]), 1.0) for i in (1, 2))
            size = abs(level)
        if not blocks and not open_[0]:
            text = f"{name}: no value of both arms yet"
            return Reading(text, None, None, None, None, measure="difference", worse=self._worse)
        canary, baseline = unit * (level - difference if self.down else level + difference), unit * level
        allowed = unit * max((self.margin - 1.0) * size, float(self._tolerance(state)[0]))
        signed = unit * (-difference if self.down else difference)
        text = (
            f"{name}: canary {amount(canary, self.suffix)} against {amount(baseline, self.suffix)} "
            f"({amount(signed, self.suffix, sign=True)}"
        )
        span: tuple[float, float] | None = None
        minutes = blocks * self.block_seconds / 60.0
        after = f"{minutes:.3g} min"
        if blocks >= FEWEST_BLOCKS:
            half = unit * float(self._half_width(state, weighed, alpha)[0])
            span = (signed - half, signed + half)
            text += f", between {amount(span[0], self.suffix, sign=True)} and {amount(span[1], self.suffix, sign=True)}"
        else:
            needed = FEWEST_BLOCKS * self.block_seconds / 60.0
            after += f", {needed:.3g} min are needed"
        text += f"; allowed {amount(-allowed if self.down else allowed, self.suffix, sign=True)}) after {after}"
        lowest = 0.0
        if span is not None:
            least = -span[1] if self.down else span[0]
            lowest = 1.0 + least / abs(baseline) if baseline else (np.inf if least > 0 else 0.0)
        return Reading(
            text,
            significant(signed),
            None if span is None else (significant(span[0]), significant(span[1])),
            baseline,
            canary,
            lowest=lowest,
            measure="difference",
            margin=significant(-allowed if self.down else allowed),
            worse=self._worse,
        )

    @property
    def _worse(self) -> Literal["up", "down"]:
        return "down" if self.down else "up"

    def _tolerance(self, state: ValueState) -> Array:
        """In units of ``2 ** exponent``, [S]."""
        if not self.tolerance:
            return np.zeros(state.exponent.shape)
        with np.errstate(over="ignore"):
            return np.minimum(np.ldexp(self.tolerance, -state.exponent.astype(np.int64)), _LARGEST)

    def _evidence(self, state: ValueState, variances: Array, freedoms: Array) -> tuple[Array, Array]:
        """``ln E`` that the mean difference is above what the margin allows, and below what no harm allows, [S]."""
        blocks, difference, _, size = (state.means[..., of] for of in range(4))
        tolerance = self._tolerance(state)[:, None]
        relative = np.array(self.parts[_HARM:])[:, None, None] * size
        variance, freedom = (
            np.where(relative >= tolerance, every[_HARM:], every[_PLAIN]) for every in (variances, freedoms)
        )
        variance, freedom = self._shrunk(variance, freedom, size)
        smallest = _RESOLUTION * np.maximum(size, np.abs(difference)) + 1e-30
        error = np.maximum(np.sqrt(variance), smallest) / np.sqrt(np.maximum(blocks, 1.0))
        away = difference - np.maximum(relative, tolerance)
        # Equal in every block with nothing allowed: what was asked for is there, though no distance shows it.
        away[1] = np.where((away[1] == 0.0) & (variance[1] == 0.0), _SAME * smallest, -away[1])
        score = asymptotic.normal_score(away / error, freedom)
        evidence = np.where(blocks >= FEWEST_BLOCKS, asymptotic.log_evidence(score, blocks), 0.0)
        number = process_numbers(state.blocks)
        weight = np.where(number == 0, 0.5, 0.5 / np.maximum(number * (number + 1.0), 1.0))
        begun = np.where((blocks > 0) & (number >= 0), np.log(weight) + evidence, -np.inf)
        newest = np.floor(np.maximum(state.blocks - 1.0, 0.0) / EVERY)
        left = np.where(state.blocks > 0, 0.5 / (newest + 1.0), 1.0)
        unspent = np.broadcast_to(np.log(left)[:, None], (*begun.shape[:-1], 1))
        harm, proof = mixture.log_sum(np.concatenate([begun, unspent], axis=-1))
        return harm, proof

    def _half_width(self, state: ValueState, weighed: Weighed, alpha: float) -> Array:
        """Half the width of the anytime-valid interval of the mean difference since the release began, [S]."""
        blocks = np.maximum(state.means[:, 0, _N], 1.0)
        size = state.means[:, 0, _LEVEL]
        assert weighed.spread is not None
        seen, independent = (every[_PLAIN] for every in weighed.spread)
        variance, freedom = self._shrunk(seen[:, 0], independent[:, 0], size)
        t = asymptotic.student(asymptotic.widest_score(blocks, alpha), freedom)
        return t * np.sqrt(variance / blocks)

    def relative_variance(self, state: ValueState) -> Array:
        """Long-run variance of a block's difference over the squared level, [S]: what a history keeps."""
        variance = _variance(state, self.parts[:1])[0][_PLAIN, :, 0]
        square = state.means[:, 0, _LEVEL] ** 2
        enough = (state.blocks >= FEWEST_BLOCKS) & (square > 0)
        return np.where(enough, variance / np.where(enough, square, 1.0), 0.0)

    def _shrunk(self, variance: Array, freedom: Array, size: Array) -> tuple[Array, Array]:
        """The variance seen, with what a history says weighed as so many further blocks."""
        if self.known is None or not self.known.known.all() or not self.known.tau2.all():
            return variance, freedom
        before = SAFETY * self.known.tau2[..., 0] * size**2
        total = freedom + _KNOWN_BLOCKS
        return np.maximum((freedom * variance + _KNOWN_BLOCKS * before) / total, _LEAST_SEEN * variance), total

    @property
    def parts(self) -> tuple[float, float, float]:
        """What part of the baseline's size is taken off the difference in each series."""
        return 0.0, self.margin - 1.0, self.no_harm - 1.0

    def _folded(self, state: ValueState, block: Array, full: Mask) -> ValueState:
        """With a block's difference, baseline and its size, [S, 3], where it is full."""
        blocks = state.blocks + 1.0
        # A process that begins with this block takes the place of the oldest.
        number, before = process_numbers(blocks), process_numbers(state.blocks)
        kept = np.where((number == before)[..., None], state.means, 0.0)
        n = kept[..., _N] + (number >= 0)
        step = np.where(number >= 0, 1.0 / np.maximum(n, 1.0), 0.0)[..., None]
        levels = kept[..., 1:] + (block[:, None, :] - kept[..., 1:]) * step
        means = np.concatenate([n[..., None], levels], axis=-1)

        series = block[:, :1] - np.array(self.parts) * block[:, 2:]
        reference, last, total, squares, products = state.noise.transpose(2, 0, 1)
        reference = np.where(state.blocks[:, None] > 0, reference, series)
        moved = _bounded(series - reference)
        noise = np.stack([reference, moved, total + moved, squares + moved**2, products + moved * last], axis=-1)
        return replace(
            state,
            blocks=np.where(full, blocks, state.blocks),
            means=np.where(full[:, None, None], means, state.means),
            noise=np.where(full[:, None, None], noise, state.noise),
        )


def _scaled(state: ValueState, level: Array) -> ValueState:
    choose = (state.scaled == 0) & (level > 0)
    exponent = np.maximum(np.frexp(level)[1], _SMALLEST)
    return replace(
        state, exponent=np.where(choose, exponent, state.exponent), scaled=np.where(choose, 1.0, state.scaled)
    )


def process_numbers(blocks: Array) -> Array:
    """Which process each place holds, [S, K]: 0 the first, j the one that began after 5 j blocks, -1 none."""
    newest = np.floor(np.maximum(blocks - 1.0, 0.0) / EVERY)[:, None]
    place = np.arange(1, 1 + _LATER)
    later = newest - np.mod(newest - place, _LATER)
    return np.concatenate([np.zeros((blocks.size, 1)), np.where(later >= 1, later, -1.0)], axis=-1)


def _variance(state: ValueState, parts: Sequence[float]) -> tuple[Array, Array]:
    """Long-run variance of a block in the first series for each process, and its degrees of freedom, [P, S, K].

    Args:
        state: of the metric.
        parts: of the baseline's size, taken off in each of the series, [P].
    """
    n = np.maximum(state.blocks, 1.0)[:, None]
    series = state.noise[:, : len(parts)].transpose(2, 1, 0)[..., None]
    reference, last, total, squares, products = series
    mean = total / n
    spread = np.maximum(squares - n * mean**2, 0.0)
    lagged = products - mean * (2.0 * total - last) + (n - 1.0) * mean**2
    inside = state.means[..., _N]
    outside = n - inside
    split = (inside > 0) & (outside > 0)
    level = state.means[..., _DIFFERENCE] - np.array(parts)[:, None, None] * state.means[..., _LEVEL]
    away = np.where(split, level - reference - mean, 0.0)
    between = np.minimum(np.where(split, inside * n / np.where(split, outside, 1.0) * away**2, 0.0), spread)
    return asymptotic.long_run(spread - between, lagged - between, n, np.where(split, 2.0, 1.0))


def _bounded(values: Array) -> Array:
    return np.minimum(np.maximum(values, -_LARGEST), _LARGEST)


def _mean(values: tuple[float, ...]) -> float:
    # Not ``numpy.mean``, which takes five times as long.
    return float(np.add.reduce(np.array(values, float)) / len(values))
