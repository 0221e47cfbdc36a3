"""A fleet of one rollout that waits at a gate, and the page in front of it, by whom it is on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from coalmine.records import Phase
from coalmine.testing.fake_rollouts import FakeRollouts
from coalmine.testing.sample_rollouts import a_status
from tests.dashboard.served import Served, served


@pytest.fixture
def fake() -> FakeRollouts:
    """What is shown and acted on."""
    fake = FakeRollouts()
    fake.put(a_status("checkout", phase=Phase.GATED))
    return fake


@pytest.fixture
async def desk(fake: FakeRollouts) -> AsyncIterator[Served]:
    """The page, open to whoever is here."""
    async with served(fake) as desk:
        yield desk
