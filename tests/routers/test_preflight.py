"""A proxy that was only busy is asked again; the rollback of the others waits for none."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from activities.routers.preflight import TRIES, Endpoints, Preflight, seen

ANSWER = Preflight({"canary": Endpoints(1, 1)})
SILENCE = Preflight(silent="edge-1: no answer within 0.5 s")


class Proxies:
    """One answers at once; the other is silent so many times."""

    def __init__(self, silences: int) -> None:
        self.looks = 0
        self._silences = silences

    async def look(self) -> Mapping[str, Preflight]:
        """One look at both."""
        self.looks += 1
        return {"edge-1": SILENCE if self.looks <= self._silences else ANSWER, "edge-2": ANSWER}


async def test_what_one_has_answered_counts_though_it_is_silent_later() -> None:
    turns = [{"edge-1": ANSWER, "edge-2": SILENCE}, {"edge-1": SILENCE, "edge-2": ANSWER}]

    async def by_turns() -> Mapping[str, Preflight]:
        return turns.pop(0)

    assert await seen(by_turns) == {"edge-1": ANSWER, "edge-2": ANSWER}


@pytest.mark.parametrize(
    ("silences", "restoring", "looks", "silent"),
    [
        (0, False, 1, False),
        (2, False, 3, False),
        (99, False, TRIES, True),
        (2, True, 1, True),
    ],
)
async def test_how_often_it_is_asked(silences: int, restoring: bool, looks: int, silent: bool) -> None:
    proxies = Proxies(silences)
    found = await seen(proxies.look, restoring=restoring)
    assert (proxies.looks, bool(found["edge-1"].silent)) == (looks, silent)
