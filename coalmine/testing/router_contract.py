"""The contract every router keeps, as tests: subclass, give a fixture ``world``, and pytest runs them.

class TestMyRouter(RouterContract):
    @pytest.fixture
    def world(self): ...   # a RouterWorld over your data plane: coalmine.testing.router_world
"""

from __future__ import annotations

from coalmine.testing.router_fencing import FencingCases
from coalmine.testing.router_trouble import TroubleCases
from coalmine.testing.router_world import Backends, Lack, RouterWorld, confirmed, live, shown
from coalmine.testing.router_writing import WritingCases

STABLE, CANARY = Backends.stable, Backends.canary
"""The backends of a world that calls them nothing else; all traffic is on ``stable`` at first."""
UNKNOWN, DEAD = Backends.unknown, Backends.dead
"""A backend the data plane does not know, and one it knows that has no endpoint."""

__all__ = ["CANARY", "DEAD", "STABLE", "UNKNOWN", "Lack", "RouterContract", "RouterWorld", "confirmed", "live", "shown"]


class RouterContract(WritingCases, FencingCases, TroubleCases):
    """Tests; each takes the fixture ``world``. A case the plane cannot have is skipped with the reason it gives."""
