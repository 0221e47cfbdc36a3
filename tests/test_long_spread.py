"""The order of a parallel run."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from tests.long_spread import LONG, spread


def ids(modules: dict[str, int]) -> list[Any]:
    return [SimpleNamespace(nodeid=f"{module}::{number}") for module, size in modules.items() for number in range(size)]


def dealt(items: list[Any], processes: int) -> list[list[Any]]:
    """As pytest-xdist deals them."""
    parts = []
    for left in range(processes, 0, -1):
        parts.append(items[: len(items) // left])
        items = items[len(items) // left :]
    return parts


@pytest.mark.parametrize("processes", [2, 5])
@pytest.mark.parametrize("seed", range(5))
def test_every_process_gets_its_share_and_ends_with_short_ones(processes: int, seed: int) -> None:
    modules = [f"{prefix}{'' if prefix.endswith('.py') else 'x.py'}" for prefix in LONG] + [
        f"tests/test_{number}.py" for number in range(200)
    ]
    random.Random(seed).shuffle(modules)
    items = ids(dict.fromkeys(modules, 7))
    arranged = spread(items, processes)
    assert sorted(one.nodeid for one in arranged) == sorted(one.nodeid for one in items)
    counts = []
    for part in dealt(arranged, processes):
        long = [number for number, one in enumerate(part) if one.nodeid.startswith(LONG)]
        counts.append(len(long))
        assert long[-1] < len(part) * 0.95
    assert max(counts) - min(counts) <= 14


@pytest.mark.parametrize("modules", [{}, {LONG[0]: 3}, {"tests/test_a.py": 1}, {LONG[0]: 9, "tests/test_a.py": 1}])
def test_few_tests_are_all_kept(modules: dict[str, int]) -> None:
    items = ids(modules)
    assert sorted(one.nodeid for one in spread(items, 5)) == sorted(one.nodeid for one in items)


def test_each_of_the_long_ones_is_there(pytestconfig: pytest.Config) -> None:
    found = [str(path.relative_to(pytestconfig.rootpath)) for path in pytestconfig.rootpath.glob("tests/**/test_*.py")]
    assert [prefix for prefix in LONG if not any(path.startswith(prefix) for path in found)] == []
