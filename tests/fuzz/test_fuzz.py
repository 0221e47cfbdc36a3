"""A few inputs of each fuzz target; ``python -m tests.fuzz`` tries for minutes."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.attempt import attempt
from tests.fuzz.mutation import mutated
from tests.fuzz.targets import TARGETS

FEW = 40


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_is_answered(name: str) -> None:
    target, rng = TARGETS[name], random.Random(f"test {name}")
    for data in [*target.seeds, *(mutated(rng, target.seeds) for _ in range(FEW))]:
        assert not attempt(target, data), data[:2000]
