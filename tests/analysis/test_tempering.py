"""The evidence of many bets at once is that of each alone, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from coalmine.analysis.grids import PHI_LADDER, Array
from coalmine.analysis.tempering import Bets, Weighing, log_evidence, tempered, weighed_together


def bets(seed: int, shape: tuple[int, ...], alternatives: int, *, rounded: bool, own_prior: bool = False) -> Bets:
    rng = np.random.default_rng(seed)
    capital = rng.normal(0.0, 9.0, (*shape, PHI_LADDER.size, alternatives))
    capital[rng.random(capital.shape) < 0.1] = -np.inf
    prior = rng.normal(size=(*shape[1:], alternatives) if own_prior else alternatives)
    return Bets(capital, prior, 1.0 + rng.exponential(3.0, shape) ** 2 * (rng.random(shape) < 0.8), rounded)


MANY = [
    bets(1, (1, 1), 22, rounded=True),
    bets(2, (1, 3), 14, rounded=False),
    bets(3, (1, 2, 2), 22, rounded=True, own_prior=True),
    bets(4, (1, 2, 1), 14, rounded=False, own_prior=True),
    bets(5, (1, 4), 6, rounded=True),
    bets(6, (1, 2), 14, rounded=True),
    # Too large to be copied beside others.
    bets(7, (60, 1), 22, rounded=True),
    bets(8, (60, 1), 14, rounded=False),
]


@pytest.mark.parametrize("unspent", [0.3, 0.0])
def test_together_as_alone(unspent: float) -> None:
    found = log_evidence(MANY, unspent)
    assert [one.shape for one in found] == [bet.phi.shape for bet in MANY]
    for bet, one in zip(MANY, found, strict=True):
        alone = tempered(bet.capital, bet.log_prior, bet.phi, unspent, rounded=bet.rounded)
        assert one.tolist() == alone.tolist()
        for place in np.ndindex(bet.phi.shape):
            prior = bet.log_prior[place[-bet.log_prior.ndim + 1 :]] if bet.log_prior.ndim > 1 else bet.log_prior
            single = tempered(bet.capital[place][None], prior, bet.phi[place][None], unspent, rounded=bet.rounded)
            assert single.tolist() == [one[place]]
    assert log_evidence([], unspent) == []


def test_a_dispersion_may_be_that_of_several_capitals() -> None:
    one = MANY[4]
    shared = Bets(one.capital, one.log_prior, np.array([[2.0]]))
    apart = Bets(one.capital, one.log_prior, np.full((1, 4), 2.0))
    assert log_evidence([shared], 0.1)[0].tolist() == log_evidence([apart], 0.1)[0].tolist()


def test_each_is_sent_the_evidence_of_its_own_bets() -> None:
    def weighing(asked: list[Bets]) -> Weighing[list[Array]]:
        found = yield asked
        return [*found]

    parts: list[list[Bets]] = [[MANY[0], MANY[4]], [], [MANY[1], MANY[0]]]
    answers: list[Any] = weighed_together([weighing(part) for part in parts], 0.5)
    assert [[one.tolist() for one in answer] for answer in answers] == [
        [one.tolist() for one in log_evidence(part, 0.5)] for part in parts
    ]
