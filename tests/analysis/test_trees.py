"""States as trees of arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from coalmine.analysis.trees import Capital, Count, Curve, Index, Sum, choose, leaves, rebuild, take


@dataclass(frozen=True)
class Leaf:
    name: str
    total: Sum
    at: Index


@dataclass(frozen=True)
class Root:
    looks: int
    capital: Capital
    leaf: Leaf
    many: tuple[Leaf, ...]
    bounds: tuple[float, ...]
    curve: Curve
    count: Count


def root(start: float) -> Root:
    values = np.arange(start, start + 2)
    leaf = Leaf("one", values * 10, values.astype(np.int64))
    other = Leaf("two", values * 100, values.astype(np.int64))
    return Root(3, values, leaf, (leaf, other), (0.1, 0.2), np.stack([values, values], axis=1), values + 0.5)


def test_leaves_come_with_their_kinds_in_the_order_of_the_fields() -> None:
    found = [(kind, values.ravel()[0]) for kind, values in leaves(root(1.0))]
    assert found == [
        ("capital", 1.0),
        ("sum", 10.0),
        ("count", 1),
        ("sum", 10.0),
        ("count", 1),
        ("sum", 100.0),
        ("count", 1),
        ("curve", 1.0),
        ("count", 1.5),
    ]


def test_a_state_is_rebuilt_array_by_array() -> None:
    doubled = rebuild(lambda one, other: one + other, root(1.0), root(1.0))
    assert doubled.looks == 3
    assert doubled.bounds == (0.1, 0.2)
    assert [leaf.name for leaf in doubled.many] == ["one", "two"]
    for (kind, values), (_, before) in zip(leaves(doubled), leaves(root(1.0)), strict=True):
        assert values.tolist() == (2 * before).tolist(), kind


def test_runs_are_chosen_by_a_mask_over_the_leading_axes() -> None:
    chosen = choose(np.array([True, False]), root(1.0), root(5.0))
    assert chosen.capital.tolist() == [1.0, 6.0]
    assert chosen.curve.tolist() == [[1.0, 1.0], [6.0, 6.0]]
    assert chosen.many[1].total.tolist() == [100.0, 600.0]


def test_runs_are_taken_by_index() -> None:
    taken = take(root(1.0), slice(1, 2))
    assert taken.curve.tolist() == [[2.0, 2.0]]
    assert taken.leaf.total.tolist() == [20.0]
    assert taken.looks == 3


def test_states_of_other_shapes_do_not_fit() -> None:
    short = Root(3, np.ones(2), root(1.0).leaf, (), (), np.ones((2, 2)), np.ones(2))
    with pytest.raises(ValueError, match="zip"):
        rebuild(lambda one, other: one + other, root(1.0), short)
