"""What a dispersion makes of capitals: the evidence of all bets of a look, worked out at once.

The arrays are small, so it is the calls that take time: bets on as many alternatives are put one behind the other.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from coalmine.analysis import grids, mixture
from coalmine.analysis.grids import Array, Mask

Result = TypeVar("Result")

RESERVE, RESERVE_POWER = 0.4, 0.7
"""What is added to an excess dispersion that is not rounded up, as a share of it; above 1, of this power of it: how far
an estimate is off does not grow with what is estimated."""
_INVERSE: Array = 1.0 / grids.PHI_LADDER
_GAPS: Array = np.append(1.0, _INVERSE[:-1] - _INVERSE[1:])
"""From each rung to the one below, in 1/phi; the first has none."""
_LARGE = 4_096
"""Capitals of so many are not copied to be beside others: their arrays are long already."""


class Bets(NamedTuple):
    """Capitals to weigh at a dispersion; see ``tempered``."""

    capital: Array
    """[..., P, K]"""
    log_prior: Array
    """[K] or broadcast to [..., K]."""
    phi: Array
    """[...]"""
    rounded: bool = True


Weighing = Generator[Sequence[Bets], Sequence[Array], Result]
"""Something that rests on evidence: it names its bets once, is sent the evidence of each, and returns."""


def weighed_together(weighings: Iterable[Weighing[Result]], unspent: float) -> list[Result]:
    """What each returns, with the evidence of all their bets worked out at once."""
    asking = [(one, next(one)) for one in weighings]
    found = iter(log_evidence([bet for _, bets in asking for bet in bets], unspent))
    results: list[Result] = []
    for one, bets in asking:
        try:
            one.send([next(found) for _ in bets])
        except StopIteration as end:
            results.append(end.value)
    return results


def log_evidence(bets: Sequence[Bets], unspent: float) -> list[Array]:
    """``tempered`` of each."""
    alike: dict[int, list[int]] = {}
    found: dict[int, Array] = {}
    for place, bet in enumerate(bets):
        if bet.capital.size > _LARGE:
            found[place] = tempered(bet.capital, bet.log_prior, bet.phi, unspent, rounded=bet.rounded)
        else:
            alike.setdefault(bet.capital.shape[-1], []).append(place)
    for places in alike.values():
        found.update(zip(places, _beside([bets[place] for place in places], unspent), strict=True))
    return [found[place] for place in range(len(bets))]


def _beside(bets: Sequence[Bets], unspent: float) -> list[Array]:
    """Of bets on as many alternatives each."""
    shapes = [bet.capital.shape[:-2] for bet in bets]
    capital = np.concatenate([bet.capital.reshape(-1, *bet.capital.shape[-2:]) for bet in bets])
    phi, rounded = np.empty(len(capital)), np.empty(len(capital), bool)
    log_prior = np.empty((len(capital), capital.shape[-1]))
    ends: list[int] = []
    start = 0
    for bet, shape in zip(bets, shapes, strict=True):
        ends.append(end := start + bet.capital.size // capital[0].size)
        # In place of ``numpy.broadcast_to``, which takes five times as long.
        phi[start:end].reshape(shape)[...] = bet.phi
        log_prior[start:end].reshape(*shape, -1)[...] = bet.log_prior
        rounded[start:end] = bet.rounded
        start = end
    evidence = _tempered(capital, log_prior, phi, rounded, unspent)
    starts = [0, *ends[:-1]]
    return [evidence[start:end].reshape(shape) for start, end, shape in zip(starts, ends, shapes, strict=True)]


def tempered(capital: Array, log_prior: Array, phi: Array, unspent: float, *, rounded: bool = True) -> Array:
    """``ln E`` at this dispersion: at the ladder's next rung; beyond its top tempered further.

    Below the first rung it is interpolated between pure counting and that rung, in 1/phi, in which the log-likelihood
    is linear: a quiet service would else pay a quarter of its evidence for rounding. Noisier ones keep the rounding up:
    it makes up for dispersions that are estimated too small (``benchmarks.judge``). The proof of no harm, at ``beta``,
    needs less of that: not ``rounded``, it is interpolated between all rungs, at a dispersion ``with_reserve``.
    """
    return _tempered(capital, log_prior, phi, np.full(phi.shape, rounded), unspent)


def with_reserve(phi: Array) -> Array:
    """Dispersions of at least 1 as the proof of no harm takes them, in case they are estimated too small."""
    excess = np.maximum(phi - 1.0, 0.0)
    enlarged: Array = phi + RESERVE * np.minimum(excess, excess**RESERVE_POWER)
    return enlarged


def _tempered(capital: Array, log_prior: Array, phi: Array, rounded: Mask, unspent: float) -> Array:
    evidence: Array
    phi = np.where(rounded, phi, with_reserve(phi))
    rung = mixture.rung_of(phi)
    inner = np.where(rounded, rung == 1, rung > 0)
    top = grids.PHI_LADDER[-1]
    if grids.some(inner):
        rungs = np.zeros((2, *rung.shape), np.int64)
        rungs[0] = rung
        np.maximum(rung - 1, 0, out=rungs[1])
        part = np.where(inner, np.maximum(1.0 / np.maximum(phi, 1.0) - _INVERSE[rung], 0.0) / _GAPS[rung], 0.0)
        noisier, quieter = mixture.log_evidence(capital, log_prior, rungs, unspent)
        evidence = noisier + part * (quieter - noisier)
    else:
        evidence = mixture.log_evidence(capital, log_prior, rung, unspent)
    if grids.some(phi > top):
        evidence = np.where(evidence > 0, evidence / np.maximum(phi / top, 1.0), evidence)
    return evidence
