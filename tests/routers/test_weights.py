"""Weights as whole ten-thousandths."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.routers.weights import TOTAL, percents, weight_units, weights_check
from coalmine.errors import RouteRejected

units_of_two = st.integers(0, TOTAL).map(lambda unit: {"stable": TOTAL - unit, "canary": unit})


@given(units_of_two)
@settings(max_examples=100)
def test_units_and_percents_are_each_others_way_back(units: dict[str, int]) -> None:
    assert weight_units(percents(units)) == units


@given(
    st.dictionaries(st.text(min_size=1), st.integers(0, 2**32), min_size=1).filter(lambda units: any(units.values()))
)
@settings(max_examples=100)
def test_percents_of_any_total_are_weights_a_router_takes(units: dict[str, int]) -> None:
    assert sum(weight_units(percents(units)).values()) == TOTAL


@pytest.mark.parametrize("canary", [0.01, 0.07, 1.1, 33.33, 66.67, 99.99])
def test_a_weight_and_what_is_left_of_100_need_no_rounding(canary: float) -> None:
    assert weight_units({"stable": 100 - canary, "canary": canary})["canary"] == round(canary * 100)


def test_a_backend_needs_a_name() -> None:
    with pytest.raises(RouteRejected, match="name"):
        weight_units({"": 100})


def test_a_plane_of_whole_percents_takes_nothing_finer() -> None:
    assert weight_units({"stable": 93, "canary": 7}, finest=1) == {"stable": 9_300, "canary": 700}
    with pytest.raises(RouteRejected, match="finer than 1 %"):
        weight_units({"stable": 99.5, "canary": 0.5}, finest=1)
    assert "finer than 10 %" in weights_check([20, 25], finest=10).reason
    assert weights_check([20, 30], finest=10).ok
