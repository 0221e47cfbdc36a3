"""The dispersion from running sums, against the same estimate worked out from all looks at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coalmine.analysis.dispersion import Dispersion, Prior
from tests.analysis.oracles import long_run

COLD = Prior(np.zeros(1), np.zeros(1, bool))
HERE = np.ones(1, bool)
BLOCK = 3


def folded(t: NDArray[Any], v: NDArray[Any], unit: NDArray[Any], block: int = BLOCK) -> Dispersion:
    state = Dispersion.start((1,))
    for look in range(t.size):
        here = slice(look, look + 1)
        state = state.add(t[here], v[here], unit[here], block, HERE)
    return state


def draw(kind: str, looks: int, seed: int = 1) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(seed)
    v, unit = rng.uniform(0.5, 3.0, looks), rng.uniform(1.0, 9.0, looks)
    noise = rng.standard_normal(looks)
    if kind == "slow":
        noise = 0.3 * noise + np.repeat(rng.standard_normal(looks), 6)[:looks]
    if kind == "blocks":
        noise = noise + 3.0 * np.repeat(rng.standard_normal(looks), BLOCK)[:looks]
    return np.sqrt(v) * noise + 0.4 * v, v, unit


@pytest.mark.parametrize("kind", ["quick", "slow", "blocks"])
@pytest.mark.parametrize("looks", [2, 7, 40, 41])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_running_sums_are_the_estimate_from_all_looks(kind: str, looks: int, noise: float) -> None:
    t, v, unit = draw(kind, looks)
    spread, rho = folded(t, v, unit).observed(np.array([0.8]), noise)
    expected = long_run(t, v, 0.8, noise, BLOCK)
    assert (float(spread[0]), float(rho[0])) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_blocks_are_what_shows_when_neighbours_do_not() -> None:
    """Neighbours that undo each other on a level that changes from block to block: quiet by looks, loud by blocks."""
    rng = np.random.default_rng(2)
    t = np.tile([1.0, -1.0], 150) + np.repeat(rng.choice([-1.0, 1.0], 50), 6)
    v = np.ones(300)
    spread, rho = folded(t, v, v, block=6).observed(np.ones(1), 1.0)
    assert (float(spread[0]), float(rho[0])) == pytest.approx(long_run(t, v, 1.0, 1.0, 6))
    assert spread[0] == pytest.approx(6.0 * 0.8, rel=0.1)
    alone, _ = folded(t, v, v, block=1000).observed(np.ones(1), 1.0)
    assert alone[0] == pytest.approx(2.0, rel=0.1)


def test_autocorrelation_is_held_below_one() -> None:
    t, v = np.repeat([5.0, -5.0], 50), np.ones(100)
    spread, rho = folded(t, v, v, block=1000).observed(np.ones(1), 0.0)
    assert float(rho[0]) == 0.95
    assert float(spread[0]) == pytest.approx(25.0 * 100 / 99 * 1.95 / 0.05)


def test_information_is_the_average_weighted_by_itself() -> None:
    state = folded(np.zeros(2), np.ones(2), np.array([1.0, 3.0]))
    assert state.information() == pytest.approx((1.0 + 9.0) / 4.0)
    assert Dispersion.start((1,)).information() == pytest.approx(0.0)


@pytest.mark.parametrize("looks", [2, 4, 5, 30, 31, 40])
@pytest.mark.parametrize(
    ("tau2", "seen", "weight"),
    [
        (None, 0.0, 5.0),
        (0.2, 500.0, 180.0),
        (0.2, 70.0, 70.0),
    ],
)
def test_what_is_judged_by_is_shrunk_to_what_is_known(
    tau2: float | None, seen: float, weight: float, looks: int
) -> None:
    prior = Prior(np.array([tau2 or 0.0]), np.array([tau2 is not None]), seen)
    t, v, unit = draw("slow", looks, seed=3)
    state = Dispersion.start((1,))
    observed = []
    for look in range(looks):
        here = slice(look, look + 1)
        state = state.add(t[here], v[here], unit[here], BLOCK, HERE)
        observed.append(state.observed(np.array([0.8]), 1.0)[0])
        state = state.remember(observed[-1], HERE)
    expected = 1 + 1.25 * tau2 * 0.7 * (unit**2).sum() / unit.sum() if tau2 else 1.5

    def shrunk(until: int) -> float:
        if until < 2:
            return expected
        return float((weight * expected + (until - 1) * observed[until - 1][0]) / (weight + until - 1))

    wanted = max(shrunk(looks - 3), 1.0)
    if tau2 is None and looks <= 30:
        wanted = max(wanted, shrunk(looks))
    assert state.lagged(prior, np.array([0.7])) == pytest.approx(wanted)


def test_it_is_never_below_one() -> None:
    quiet = folded(np.full(40, 0.5), np.ones(40), np.ones(40))
    for _ in range(4):
        quiet = quiet.remember(np.zeros(1), HERE)
    assert quiet.lagged(COLD, np.ones(1)) == pytest.approx(1.0)
    shrunk = Prior(np.array([-9.0]), np.ones(1, bool))
    assert quiet.lagged(shrunk, np.ones(1)) == pytest.approx(1.0)


def test_before_the_second_look_only_the_prior_speaks() -> None:
    state = Dispersion.start((1,))
    assert state.lagged(COLD, np.ones(1)) == pytest.approx(1.5)
    state = folded(np.array([7.0]), np.ones(1), np.ones(1))
    spread, rho = state.observed(np.ones(1), 1.0)
    assert (float(spread[0]), float(rho[0])) == (0.0, 0.0)
    assert state.remember(spread, HERE).lagged(COLD, np.ones(1)) == pytest.approx(1.5)


def test_with_a_history_a_fault_counts_as_noise_only_after_three_looks_and_without_one_at_once() -> None:
    t = np.array([0.0, 0.0, 1.0, -1.0] * 5 + [30.0])
    state = Dispersion.start((1,))
    for value in t:
        state = state.add(np.array([value]), np.ones(1), np.ones(1), BLOCK, HERE)
        state = state.remember(state.observed(np.ones(1), 1.0)[0], HERE)
    assert state.lagged(Prior(np.zeros(1), np.ones(1, bool)), np.ones(1)) == pytest.approx(1.0, abs=0.05)
    assert state.lagged(COLD, np.ones(1))[0] > 20.0


def test_looks_on_their_own_and_the_effect() -> None:
    t, v, unit = draw("slow", 40, seed=4)
    state = folded(t, v, unit)
    effect = t.sum() / v.sum()
    assert state.effect() == pytest.approx(effect)
    expected = ((t - effect * v) ** 2).sum() / (v.sum() * 0.8 * 39 / 40)
    assert state.of_looks(np.array([0.8])) == pytest.approx(expected)


def test_channels_and_runs_that_lack_a_look_keep_theirs() -> None:
    present = np.array([[True, False], [False, True]])
    value = np.arange(1.0, 5.0).reshape(2, 2)
    state = Dispersion.start((2, 2)).add(value, value, value, BLOCK, present).remember(value, present)
    assert state.sums.shape == (2, 2, 22)
    assert state.recent.shape == (2, 2, 4)
    assert (state.sums[~present] == 0).all()
    assert (state.recent[~present] == 0).all()
    assert state.information()[present].tolist() == [1.0, 4.0]
    assert state.recent[present][:, -1].tolist() == [1.0, 4.0]


def test_with_less_information_than_it_was_learnt_from_half_of_the_noise_stays() -> None:
    prior = Prior(np.array([0.2, 0.2]), np.ones(2, bool), least=np.array([16.0, 0.0]))
    assert prior.phi(np.array([4.0, 4.0])) == pytest.approx([1 + 1.25 * 0.2 * 10, 1 + 1.25 * 0.2 * 4])
    assert prior.phi(np.array([40.0, 40.0])) == pytest.approx([1 + 1.25 * 0.2 * 40] * 2)
    nothing = Dispersion.start((2,)).lagged(prior, np.zeros(2))
    assert nothing.tolist() == [3.0, 1.0]
    assert prior.part(slice(0, 1)).phi(np.zeros(1)).tolist() == [3.0]
    assert prior.beside([prior.part(slice(None, None, -1))]).phi(np.zeros((2, 2))).tolist() == [[3.0, 1.0], [1.0, 3.0]]
    batch = Prior(np.full((3, 1), 0.2), np.ones(1, bool), least=np.array([[4.0], [8.0], [16.0]]))
    assert batch.of(np.array([2])).phi(np.zeros((1, 1))).tolist() == [[3.0]]


def test_a_prior_of_some_channels() -> None:
    prior = Prior(np.array([0.1, 0.2, 0.3]), np.array([True, False, True]))
    part = prior.part(slice(1, None))
    assert part.tau2.tolist() == [0.2, 0.3]
    assert part.known.tolist() == [False, True]
    assert part.looks().tolist() == [5.0, 180.0]
    few = Prior(np.array([0.1, 0.2]), np.array([True, False]), seen=66.0).part(slice(0, 1))
    assert few.looks().tolist() == [66.0]


def test_metrics_beside_each_other_get_an_axis_before_their_channels() -> None:
    """Also in a batch: runs by metrics by channels."""
    first, second = (Prior(np.full((3, 2), tau2), np.ones(2, bool)) for tau2 in (0.1, 0.3))
    both = first.beside([second])
    assert both.tau2.shape == both.learnt_from().shape == (3, 2, 2)
    assert both.tau2[2].tolist() == [[0.1, 0.1], [0.3, 0.3]]
