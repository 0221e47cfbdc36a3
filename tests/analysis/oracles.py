"""The judge worked out a second way, for tests: from all looks at once, by scipy's distributions, without any state.

Slow and plain on purpose. Constants are written out here as the method is published, not imported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import binom, nchypergeom_fisher, norm

Array = NDArray[np.float64]
Look = tuple[int, int, int, int]
"""Canary events and requests, baseline events and requests."""

LADDER = [1.0, 1.25, 1.6, 2.5, 5.0, 12.0, 40.0]
HARM = np.geomspace(1.15, 400.0, 22)
HARM_PRIOR = HARM**-0.5 / (HARM**-0.5).sum()
EXCEEDANCE_PRIOR = (1 / HARM) / (1 / HARM).sum()
NO_HARM = 1 / np.geomspace(1.1, 8.0, 14)
FLOOR = np.geomspace(1.5, 30.0, 6)


def long_run(t: Array, v: Array, scale: float, noise: float, block: int) -> tuple[float, float]:
    """Long-run dispersion and autocorrelation of residuals ``t`` of variance ``v``."""
    k = t.size
    residual = t - t.sum() / v.sum() * v if v.sum() > 0 else t * 0.0
    squares = (residual**2).sum()
    if squares == 0:
        return 0.0, 0.0
    rho = float(np.clip((residual[1:] * residual[:-1]).sum() / squares - noise / np.sqrt(k), 0.0, 0.95))
    spread = squares / (v.sum() * scale * max(k - 1, 1) / k) * (1 + rho) / (1 - rho)
    blocks = k // block
    if blocks < 2:
        return spread, rho
    block_t, block_v = (values[: blocks * block].reshape(blocks, block).sum(axis=1) for values in (t, v))
    residual = block_t - block_t.sum() / block_v.sum() * block_v
    by_block = (residual**2).sum() / (block_v.sum() * scale * (blocks - 1) / blocks)
    return max(spread, by_block * max(1 - noise * np.sqrt(2 / blocks), 0.0)), rho


def dispersion(
    t: Array,
    v: Array,
    unit: Array,
    *,
    level: float,
    scale: Callable[[int], float],
    tau2: float | None,
    block: int,
) -> float:
    """phi to judge by after these looks; ``tau2`` None = without history, ``scale`` by the number of looks."""
    information = level * (unit**2).sum() / unit.sum() if unit.sum() > 0 else 0.0
    weight, expected = (5.0, 1.5) if tau2 is None else (180.0, max(1 + 1.25 * tau2 * information, 1.0))

    def shrunk(until: int) -> float:
        looks = max(until - 1, 0)
        seen = long_run(t[:until], v[:until], scale(until), 1.0, block)[0] if looks else 0.0
        return max((weight * expected + looks * seen) / (weight + looks), 1.0)

    lagged = shrunk(t.size - 3)
    return max(lagged, shrunk(t.size)) if tau2 is None and t.size <= 30 else lagged


def decay(residuals: Array, lags: int) -> float:
    """Long-run over single variance, by the decay ``a x^k`` that fits the autocorrelations best."""
    squares = (residuals**2).sum()
    found = np.array([(residuals[k:] * residuals[:-k]).sum() / squares for k in range(1, lags + 1)])
    best, factor = 4.0 / residuals.size, 1.0
    for x in np.arange(0.1, 0.96, 0.05):
        shape = x ** np.arange(1, lags + 1)
        height = (found @ shape) / (shape @ shape)
        explained = (found**2).sum() - ((found - height * shape) ** 2).sum()
        if height > 0 and explained > best:
            best, factor = float(explained), float(1 + 2 * min(height, 1.0) * x / (1 - x))
    return factor


def likelihood(look: Look, ratios: Array) -> Array:
    """ln P(canary events | totals, ratio), by scipy; zero when the window says nothing."""
    x_c, n_c, x_b, n_b = look
    e, n = x_c + x_b, n_c + n_b
    if e in (0, n) or not n_c or not n_b:
        return np.zeros(len(ratios))
    return np.array([nchypergeom_fisher.logpmf(x_c, n, n_c, e, ratio) for ratio in ratios])


def one_sample(look: Look, null: float, ratios: Array) -> Array:
    """The canary alone against a level, by scipy's binomial."""
    x, n = look[:2]
    odds = null / (1 - null) * ratios
    result: Array = binom.logpmf(x, n, odds / (1 + odds)) - binom.logpmf(x, n, null)
    return result


def mixture(increments: Array, weights: Array, prior: Array, phi: float, cap: float) -> float:
    """ln E of increments [T, K] at one dispersion: summed over every look the fault may have begun at."""
    earned = np.minimum(increments / phi, cap)
    parts = [np.log(max(1.0 - weights.sum(), 1e-300))]
    for start, weight in enumerate(weights):
        parts += list(np.log(weight) + np.log(prior) + earned[start:].sum(axis=0))
    return float(logsumexp(parts))


def tempered(increments: Array, weights: Array, prior: Array, phi: float, cap: float, *, rounded: bool = True) -> float:
    """ln E at ``phi``: rounded up to the ladder, but interpolated in 1/phi below its first rung.

    Not ``rounded``: interpolated below all rungs, after the excess is enlarged: by 40 % up to 1, by less above.
    """
    if not rounded:
        phi += 0.4 * (phi - 1) * (1 if phi < 2 else (phi - 1) ** -0.3)
    rung = next((one for one in LADDER if one >= phi - 1e-9), 40.0)
    found = mixture(increments, weights, prior, rung, cap)
    if rung == 1.25 or (not rounded and rung > 1.0 and phi < 40.0):
        lower = LADDER[LADDER.index(rung) - 1]
        quieter = mixture(increments, weights, prior, lower, cap)
        found += (1 / phi - 1 / rung) / (1 / lower - 1 / rung) * (quieter - found)
    return found / max(phi / 40.0, 1.0) if found > 0 else found


def no_change(margin: float) -> Array:
    """Of the bets on no harm: nine tenths as a log-normal about "the arms are alike" has it, a tenth even."""
    near = norm.pdf(np.log(margin * NO_HARM), scale=0.2)
    result: Array = 0.9 * near / near.sum() + 0.1 / 14
    return result


@dataclass(frozen=True)
class Rule:
    """What ratio channels are judged by."""

    margin: float
    floor: float
    no_harm: float
    tau2: float | None
    cap: float
    block: int
    prior: Array = field(default_factory=lambda: HARM_PRIOR)


@dataclass(frozen=True)
class Found:
    """What there is to know after the looks: ln E of harm and no harm, phi now, and the curve of log-likelihoods."""

    harm: float
    no_harm: float
    phi: float
    curve: Array


def ratio(looks: Sequence[Look], weights: Array, rule: Rule) -> Found:
    """A channel of events per request after these looks."""
    counts = np.array(looks, float)
    x_c, n_c, x_b, n_b = counts.T
    share = rule.margin * n_c / np.maximum(rule.margin * n_c + n_b, 1.0)
    events, requests = x_c + x_b, n_c + n_b
    t = x_c - share * events
    v = events * share * (1 - share) * np.maximum(1 - events / np.maximum(requests, 1.0), 0.02)
    unit = requests * share * (1 - share)

    def scale(until: int) -> float:
        first = slice(0, until)
        e = events[first].sum()
        seen, assumed = (x_c[first].sum() + 0.5) / (e + 1), (share * events)[first].sum() / max(e, 1.0)
        return float(np.clip(seen * (1 - seen) / max(assumed * (1 - assumed), 1e-9), 0.05, 20.0))

    rate = (x_b.sum() + 0.5) / (n_b.sum() + 1)
    phi = dispersion(t, v, unit, level=float(rate * (1 - rate)), scale=scale, tau2=rule.tau2, block=rule.block)
    harm_cap = rule.cap * (0.7 if rule.tau2 is None else 1.0)

    def against(ratios: Array, null: float) -> Array:
        at: Array = np.array([likelihood(look, np.array([*ratios, null])) for look in looks])
        result: Array = at[:, :-1] - at[:, -1:]
        return result

    harm = tempered(against(rule.margin * HARM, rule.margin), weights, rule.prior, phi, harm_cap)
    if rule.floor > 0:
        above = np.array([one_sample(look, rule.floor, FLOOR) for look in looks])
        harm = min(harm, tempered(above, weights, np.full(6, 1 / 6), phi, harm_cap))
    if x_c.sum() < 5:
        harm = min(harm, 0.0)
    within = against(rule.no_harm * NO_HARM, rule.no_harm)
    below = np.array([one_sample(look, 0.005, NO_HARM) for look in looks])
    proof_cap = 0.4 * np.log(20) if rule.tau2 is None else rule.cap
    no_harm = np.logaddexp(
        np.log(0.8) + tempered(within, weights, no_change(rule.no_harm), phi, proof_cap, rounded=False),
        np.log(0.2) + tempered(below, weights, 1 / NO_HARM / (1 / NO_HARM).sum(), phi, rule.cap, rounded=False),
    )
    grid = np.geomspace(1 / 30, 400, 41)
    curve = np.array([likelihood(look, grid) for look in looks]).sum(axis=0)
    return Found(harm, float(no_harm), phi, curve - curve.max())


def crash(looks: Sequence[Look], weights: Array, margin: float) -> float:
    """ln E of the crash guard: neither tempered nor capped."""
    null = max(2.0, margin)
    level = np.array([one_sample(look, 0.5, np.array([3.0, 19.0])) for look in looks])
    at = np.array([likelihood(look, np.array([*(null * HARM), null])) for look in looks])
    return min(
        mixture(level, weights, np.array([0.5, 0.5]), 1.0, np.inf),
        mixture(at[:, :-1] - at[:, -1:], weights, HARM_PRIOR, 1.0, np.inf),
    )


def investments(planned: int, looks: int, new_steps: Sequence[int] = (), extension: Sequence[int] = ()) -> Array:
    """Cash invested at each look, counted from 1."""
    weights: list[float] = []
    for look in range(1, looks + 1):
        left = 1.0 - sum(weights)
        if look == 1:
            weights.append(0.75 * left)
        elif look in new_steps:
            weights.append(0.5 * left)
        elif look in extension:
            weights.append(left / (planned + 1))
        else:
            weights.append(left / (max(planned - look + 1, 1) + max(1.0, 0.25 * planned)))
    return np.array(weights)


def peak(curve: Any) -> float:
    """The ratio of the largest likelihood, by a parabola through the best grid point and its neighbours."""
    logs = np.log(np.geomspace(1 / 30, 400, 41))
    at = int(np.clip(np.argmax(curve), 1, 39))
    a, b, _ = np.polyfit(logs[at - 1 : at + 2], curve[at - 1 : at + 2], 2)
    return float(np.exp(-b / (2 * a)))
