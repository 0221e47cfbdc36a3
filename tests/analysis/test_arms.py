"""The evidence against several candidates, against all sets of them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.analysis.arms import adjusted_for_arms

E_VALUES = st.lists(st.floats(0.0, 1e6), min_size=1, max_size=6)


def by_all_sets(e_values: list[float]) -> list[float]:
    """The smallest mean over the sets each belongs to."""
    places = range(len(e_values))
    return [
        min(
            float(np.mean([e_values[place] for place in chosen]))
            for size in range(1, len(e_values) + 1)
            for chosen in combinations(places, size)
            if one in chosen
        )
        for one in places
    ]


def adjusted(e_values: list[float]) -> list[float]:
    with np.errstate(divide="ignore"):
        return [float(value) for value in np.exp(adjusted_for_arms(np.log(np.array(e_values))))]


@given(E_VALUES)
@settings(max_examples=200, deadline=None)
def test_it_is_the_smallest_mean_over_all_sets(e_values: list[float]) -> None:
    assert adjusted(e_values) == pytest.approx(by_all_sets(e_values), rel=1e-9, abs=1e-12)


def test_one_candidate_is_as_it_is() -> None:
    assert adjusted([120.0]) == pytest.approx([120.0])
    assert adjusted([0.2]) == pytest.approx([0.2])


def test_a_strong_one_helps_the_others_but_a_weak_one_costs_them_less_than_a_share_of_alpha() -> None:
    assert adjusted([1000.0, 1000.0]) == pytest.approx([1000.0, 1000.0])
    assert adjusted([200.0, 0.0]) == pytest.approx([100.0, 0.0])
    assert adjusted([200.0, 1.0, 1.0]) == pytest.approx([202 / 3, 1.0, 1.0])


@given(E_VALUES, st.randoms())
@settings(max_examples=50, deadline=None)
def test_the_order_of_the_candidates_says_nothing(e_values: list[float], random: object) -> None:
    order = list(range(len(e_values)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = adjusted([e_values[place] for place in order])
    assert shuffled == pytest.approx([adjusted(e_values)[place] for place in order])


def test_a_batch_is_adjusted_run_by_run() -> None:
    runs = np.log(np.array([[200.0, 1.0, 50.0], [3.0, 4.0, 5.0]]))
    together = adjusted_for_arms(runs)
    assert together.shape == (2, 3)
    for run in range(2):
        assert together[run] == pytest.approx(adjusted_for_arms(runs[run]))


def test_no_harmless_candidate_is_rejected_more_often_than_alpha_allows() -> None:
    """Candidates share their baseline, so their e-values depend on each other; likelihood ratios of normal means."""
    rng = np.random.default_rng(8)
    baseline = rng.standard_normal((4000, 1, 60)).cumsum(axis=-1)
    candidates = rng.standard_normal((4000, 4, 60)).cumsum(axis=-1)
    looks, bet = np.arange(1, 61), 0.4
    log_e = np.moveaxis(bet * (candidates - baseline) / 2.0 - looks * bet**2 / 4.0, 1, -1)
    ever = (adjusted_for_arms(log_e) >= np.log(20.0)).any(axis=(1, 2))
    assert ever.mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)
