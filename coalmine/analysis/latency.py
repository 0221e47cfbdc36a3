"""Reading histograms: which bounds to watch, quantiles for display, and bounds that change under way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coalmine.analysis.grids import Array, Integers, Mask, Numeric
from coalmine.errors import InputError

QUANTILE_SLOTS = {"above_p97": 0.03, "above_p999": 0.001, "above_p90": 0.1}
"""Bounds watched beside the objective's, by the share of requests above them; earlier ones come first."""
PROOF_SLOT = "above_p97"
"""Where no harm is shown."""
OBJECTIVE_SLOT = "above_objective"
SETTLED = 2000
"""Pooled requests after which the bounds to watch stay fixed."""
UNUSED = -1


def above(counts: Numeric) -> Array:
    """Requests above each bound, [..., B - 1], from counts per bucket [..., B] (the last is +Inf)."""
    result: Array = np.asarray(counts, float)[..., ::-1].cumsum(axis=-1)[..., -2::-1]
    return result


def objective_bound(bounds: Sequence[float], under: float) -> int:
    """Index of the highest bound at or below ``under``; -1 when there is none."""
    # Bounds come through text and unit conversion: 0.25 may arrive as 0.25000000000000006.
    return int(np.searchsorted(np.asarray(bounds, float), under * (1.0 + 1e-9), side="right")) - 1


def places(bounds: Sequence[float], seconds: Array) -> Integers:
    """Where the bounds have those of so many seconds [...]; -1 where they have none, or where it is nan."""
    if not bounds:
        return np.full(seconds.shape, UNUSED)
    grid = np.asarray(bounds, float)
    # With the tolerance of ``objective_bound``, and for the same reason.
    at = np.minimum(grid.searchsorted(seconds * (1.0 - 1e-9)), grid.size - 1)
    return np.where(np.abs(grid[at] - seconds) <= 1e-9 * seconds, at, UNUSED)


def choose_bounds(
    pooled: Numeric,
    objective: int | Integers | None,
    *,
    distinct: bool = True,
    learnt: Integers | None = None,
    leaning: float = 1.0,
) -> Integers:
    """The bounds next to p97, p99.9 and p90 of the pooled requests, and before them the objective's.

    A bound the history was learnt at is watched for as long as the quantile lies beside it, though another may be
    nearer: between two bounds that are as near, chance would decide, and noise learnt at the one is not the other's.

    Args:
        pooled: counts per bucket of both arms, [..., B].
        objective: index of the objective's bound; None without an objective.
        distinct: leave out (-1) a bound that an earlier slot watches already.
        learnt: index of the bound each slot was learnt at, broadcast to [..., C]; -1 = none is known.
        leaning: how many times as near to p97 a bound above it must be as one below it, which more requests are above.

    Returns:
        Bound index per slot, [..., C]; C is 3, or 4 with an objective; -1 = not watched.
    """
    total = np.asarray(pooled, float).sum(axis=-1, keepdims=True)
    over = above(pooled)
    share = (over + 0.5) / (total + 1.0)
    usable = (over > 0) & (over < total)
    logit = np.log(share / (1.0 - share))
    slots: list[Integers] = []
    if objective is not None:
        slots.append(np.full(total.shape[:-1], objective, dtype=np.int64))
    for wanted in QUANTILE_SLOTS.values():
        if over.shape[-1] == 0:
            slots.append(np.full(total.shape[:-1], UNUSED, dtype=np.int64))
            continue
        distance = np.where(usable, np.abs(logit - np.log(wanted / (1.0 - wanted))), np.inf)
        if leaning != 1.0 and wanted == QUANTILE_SLOTS[PROOF_SLOT]:
            distance = np.where(share > wanted, distance, leaning * distance)
        nearest = np.where(usable.any(axis=-1), distance.argmin(axis=-1), UNUSED).astype(np.int64)
        if learnt is not None:
            own = np.broadcast_to(learnt[..., len(slots)], nearest.shape)
            kept = _is_beside(own, share, usable, wanted)
            for taken in slots if distinct else ():
                kept &= own != taken
            nearest = np.where(kept, own, nearest)
        slots.append(nearest)
    if distinct:
        for later in range(1, len(slots)):
            for earlier in range(later):
                slots[later] = np.where(slots[later] == slots[earlier], UNUSED, slots[later])
    return np.stack(slots, axis=-1)


def _is_beside(at: Integers, share: Array, usable: Mask, wanted: float) -> Mask:
    """Whether the quantile with ``wanted`` above it lies next to the bounds ``at`` [...], which can be watched.

    ``share`` is above each bound, [..., B - 1]; ``usable`` where requests lie on both sides.
    """
    slower = np.count_nonzero(share > wanted, axis=-1)
    there = np.take_along_axis(usable, np.maximum(at, 0)[..., None], axis=-1)[..., 0]
    result: Mask = (at >= 0) & there & ((at == slower - 1) | (at == slower))
    return result


def at_bounds(over: Array, slots: Integers) -> Array:
    """``over`` [..., B - 1] at the watched bounds [..., C]; 0 where a slot watches none."""
    if over.shape[-1] == 0:
        return np.zeros((*over.shape[:-1], slots.shape[-1]))
    rows, at = over.reshape(-1, over.shape[-1]), np.maximum(slots, 0).reshape(-1, slots.shape[-1])
    taken = rows[np.arange(len(rows))[:, None], at].reshape(slots.shape)
    return np.where(slots >= 0, taken, 0.0)


def quantile(counts: Sequence[int] | Numeric, bounds: Sequence[float], q: float) -> float | None:
    """The ``q``-quantile in seconds, interpolated within its bucket; the highest bound when it lies above all.

    None without requests or without bounds.
    """
    return quantiles(np.asarray(counts, float)[None], bounds, q)[0]


def quantiles(counts: Array, bounds: Sequence[float], q: float) -> list[float | None]:
    """``quantile`` of each row of counts [R, B]."""
    totals = np.add.reduce(counts, axis=-1)
    targets, cumulative = q * totals, counts.cumsum(axis=-1)
    buckets = np.add.reduce(cumulative < targets[:, None], axis=-1)
    rows = zip(totals.tolist(), targets.tolist(), cumulative.tolist(), counts.tolist(), buckets.tolist(), strict=True)
    return [_within(*row, bounds) if len(bounds) and row[0] > 0 else None for row in rows]


def _within(
    total: float, target: float, cumulative: list[float], counts: list[float], bucket: int, bounds: Sequence[float]
) -> float:
    if bucket >= len(bounds):
        return float(bounds[-1])
    lower = float(bounds[bucket - 1]) if bucket else min(0.0, float(bounds[0]))
    before = cumulative[bucket - 1] if bucket else 0.0
    return lower + (float(bounds[bucket]) - lower) * ((target - before) / counts[bucket])


def common_bounds(first: Sequence[float], second: Sequence[float]) -> tuple[float, ...]:
    """Bounds both histograms have: the finest grid both can be merged to."""
    wanted = set(second)
    return tuple(bound for bound in first if bound in wanted)


def merge_buckets(counts: Numeric, bounds: Sequence[float], coarser: Sequence[float]) -> Array:
    """Counts per bucket of the ``coarser`` bounds, which must be among ``bounds``.

    Raises:
        InputError: a coarser bound is not among the finer ones.
    """
    place = {bound: index for index, bound in enumerate(bounds)}
    missing = [bound for bound in coarser if bound not in place]
    if missing:
        raise InputError(f"bounds: {missing[0]:g} s is not among the histogram's bounds: merge to bounds both have")
    edges = [0, *(place[bound] + 1 for bound in coarser)]
    result: Array = np.add.reduceat(np.asarray(counts, float), edges, axis=-1)
    return result
