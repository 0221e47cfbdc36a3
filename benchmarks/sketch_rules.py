"""The rules of the sketch the judge was designed on: its dispersion, its proof of no harm, its interval.

A conditional e-process of errors, and of requests slower than 250 ms, against 1.5 times the odds (a bet of 75 % at the
first look), and a confidence sequence of the odds ratio, both tempered by one estimate of the dispersion, three looks
late. When it rolls back is in ``benchmarks.sketch_rollback``. Arrays are [S, T]: runs by looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.judge.traffic import LOOKS, MINUTE, Traffic, Values
from coalmine.analysis.increments import curve
from coalmine.analysis.mixture import log_add, log_sum

ALPHA, BETA = 0.01, 0.05
NO_HARM, FIRST = 1.5, 0.75
LAG = 3
BETTER = NO_HARM / np.geomspace(1.1, 8.0, 14)
RUNGS = np.array([1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 7, 10, 14, 20, 30, 50.0])
"""Dispersions the process is kept for; an estimate is rounded up."""
RATIOS = np.exp(np.linspace(-7.0, 7.0, 1401))
"""Of the confidence sequence; the middle one is 1."""
CHANNELS = ("errors", "p97")
COLD, RESERVE = 1.25, 1.25
"""The dispersion a new service is given; what the excess of a history's is multiplied by."""
COLD_LOOKS, HISTORY_LOOKS, LEARNING_LOOKS = 10.0, 60.0, 5.0
"""Looks that each of the two weighs, and what "no dispersion" weighs while the history is learnt."""


class Windows(NamedTuple):
    """Requests of both arms, events of the canary and of both, [S, T]; 0 where an arm is absent."""

    canary: Values
    baseline: Values
    canary_events: Values
    events: Values


class Residuals(NamedTuple):
    """What the canary has beyond its share, the variance of that when the arms are alike, and what scales it."""

    residual: Values
    variance: Values
    scale: Values | float = 1.0


def windows(traffic: Traffic, canary: Values, baseline: Values) -> Windows:
    """The windows of events [S, T] that both arms count."""
    of_canary, of_baseline, x, y = (
        np.where(traffic.present, values, 0.0)
        for values in (traffic.canary.requests, traffic.baseline.requests, canary, baseline)
    )
    return Windows(of_canary, of_baseline, x, x + y)


def counts(traffic: Traffic) -> dict[str, Windows]:
    """The windows of each channel that no harm is proven in."""
    arms = (traffic.canary, traffic.baseline)
    return {
        name: windows(traffic, *(getattr(arm, events) for arm in arms))
        for name, events in zip(CHANNELS, ("errors", "slow"), strict=True)
    }


def residuals(of: Windows, *, scaled: bool = True) -> Residuals:
    """Of events; ``scaled``: the variance is that of the share the canary was seen to have, not of the one expected."""
    canary, baseline, x, events = of
    share = canary / np.maximum(canary + baseline, 1.0)
    spare = np.maximum(1.0 - events / np.maximum(canary + baseline, 1.0), 0.02)
    found = Residuals(x - share * events, events * share * (1.0 - share) * spare)
    if not scaled:
        return found
    total = np.cumsum(events, 1)
    expected, seen = np.cumsum(share * events, 1) / np.maximum(total, 1.0), (np.cumsum(x, 1) + 0.5) / (total + 1.0)
    scale = np.clip(seen * (1.0 - seen) / np.maximum(expected * (1.0 - expected), 1e-9), 0.05, 20.0)
    return found._replace(scale=scale)


def dispersion(of: Residuals, prior: Values | float, looks: float, errors: float) -> Values:
    """Long-run dispersion after each look, [S, T].

    Pearson residuals about the fitted effect, times what their autocorrelation adds, at least what blocks of a minute
    show, shrunk to ``prior`` with ``looks`` looks; autocorrelation and blocks count ``errors`` standard errors less.
    """
    residual, variance = of.residual, of.variance
    scale, k = np.broadcast_to(of.scale, residual.shape), np.arange(1, LOOKS + 1)
    squares, effect = _squares(residual, variance)
    before, v_before = (np.concatenate([values[:, :1] * 0, values[:, :-1]], 1) for values in (residual, variance))
    lagged = np.cumsum(residual * before, 1) - effect * np.cumsum(residual * v_before + variance * before, 1)
    lagged += effect**2 * np.cumsum(variance * v_before, 1)
    rho = np.clip(_over(lagged, squares) - errors / np.sqrt(k), 0.0, 0.95)
    by_look = _over(squares, np.cumsum(variance, 1) * scale * np.maximum(k - 1, 1) / k) * (1.0 + rho) / (1.0 - rho)
    blocks = [values.reshape(len(values), -1, MINUTE).sum(-1) for values in (residual, variance)]
    squares, number = _squares(*blocks)[0], np.arange(1, LOOKS // MINUTE + 1)
    assumed = np.cumsum(blocks[1], 1) * scale[:, MINUTE - 1 :: MINUTE] * np.maximum(number - 1, 1) / number
    by_block = _over(squares, assumed) * (1.0 - errors * np.sqrt(2.0 / number))
    by_block = np.repeat(by_block, MINUTE, axis=1)
    by_block = np.concatenate([np.zeros((len(residual), MINUTE - 1)), by_block[:, : LOOKS - MINUTE + 1]], 1)
    observed = np.maximum(by_look, by_block)
    return np.maximum((looks * prior + (k - 1) * observed) / (looks + k - 1), 1.0)


def used(of: Residuals, past: Residuals | None) -> Values:
    """The dispersion each look is judged with, [S, T], three looks late; ``past``: an hour of the service, if any."""
    prior: Values | float = COLD
    if past is not None:
        prior = 1.0 + RESERVE * (dispersion(past, 1.0, LEARNING_LOOKS, 0.0)[:, -1:] - 1.0)
    phi = dispersion(of, prior, COLD_LOOKS if past is None else HISTORY_LOOKS, 1.0)
    late = np.broadcast_to(np.maximum(prior, 1.0), (len(phi), LAG))
    return np.concatenate([late, phi[:, :-LAG]], axis=1)


def _squares(residual: Values, variance: Values) -> tuple[Values, Values]:
    effect = _over(np.cumsum(residual, 1), np.cumsum(variance, 1))
    squares = np.cumsum(residual**2, 1) - 2.0 * effect * np.cumsum(residual * variance, 1)
    return np.maximum(squares + effect**2 * np.cumsum(variance**2, 1), 0.0), effect


def _over(top: Values, bottom: Values) -> Values:
    return np.divide(top, bottom, out=np.zeros_like(bottom), where=bottom > 0)


def stake(look: int) -> float:
    """Cash that the look, from 0, invests."""
    return FIRST if look == 0 else (1.0 - FIRST) / LOOKS


def evidence(increments: Values, log_prior: Values, phis: Sequence[Values], cap: float = np.inf) -> list[Values]:
    """``ln E`` after each look, [S, T], with each of the dispersions ``phis`` [S, T] applied to the whole past.

    Args:
        increments: log-likelihood ratios of each look's window, [S, T, K].
        log_prior: of the alternatives, [K].
        phis: by what the increments are tempered.
        cap: most nats one window may add.
    """
    runs, _, alternatives = increments.shape
    rungs = [np.minimum(np.searchsorted(RUNGS, phi), RUNGS.size - 1) for phi in phis]
    capital, spent = np.full((runs, RUNGS.size, alternatives), -np.inf), 0.0
    found = [np.empty((runs, LOOKS)) for _ in phis]
    for look in range(LOOKS):
        spent += stake(look)
        capital = log_add(capital, float(np.log(stake(look))))
        capital += np.minimum(increments[:, look, None, :] / RUNGS[:, None], cap)
        cash = np.log(max(1.0 - spent, 1e-300))
        for rung, into in zip(rungs, found, strict=True):
            into[:, look] = np.logaddexp(log_sum(capital[np.arange(runs), rung[:, look]] + log_prior), cash)
    return found


def against(of: Windows, ratios: Values, null: float) -> Values:
    """Log-likelihood ratios of the odds ratios [K] against ``null``, [S, T, K]."""
    canary, baseline, x, events = of
    found = np.empty((*x.shape, ratios.size))
    for look in range(LOOKS):
        x_c, n_c, x_b, n_b = (values[:, look] for values in (x, canary, events - x, baseline))
        likelihood = curve(x_c, n_c, x_b, n_b, np.append(ratios, null))
        found[:, look] = likelihood[:, :-1] - likelihood[:, -1:]
    return found


def no_harm(of: Windows, phis: Sequence[Values]) -> list[Values]:
    """``ln E`` against "at least 1.5 times the odds" after each look, [S, T], for each of the dispersions."""
    return evidence(against(of, BETTER, NO_HARM), np.full(BETTER.size, -np.log(BETTER.size)), phis)


def covered(of: Windows, phi: Values) -> Values:
    """Runs whose confidence sequence holds 1 at every look, [S]."""
    canary, baseline, x, events = of
    sums, held = np.zeros((len(x), RATIOS.size)), np.ones(len(x), bool)
    for look in range(LOOKS):
        odds = canary[:, look, None] * RATIOS
        whole = np.maximum(odds + baseline[:, look, None], 1e-9)
        more, rest = x[:, look, None], (events - x)[:, look, None]
        sums += more * np.log(np.maximum(odds, 1e-9) / whole) + rest * np.log(
            np.maximum(baseline[:, look, None], 1e-9) / whole
        )
        likelihood = sums / phi[:, look, None]
        mean = log_sum(likelihood) - np.log(RATIOS.size)
        held &= likelihood[:, RATIOS.size // 2] > mean + np.log(ALPHA)
    return held
