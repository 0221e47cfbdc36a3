"""Watching one rollout: through silences, past its neighbours, and not longer than its end."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from coalmine.errors import RolloutNotFound, TemporalUnavailable
from coalmine.following import follow, over_already
from coalmine.records import Ended, Outcome, Phase, Place, RolloutStatus
from coalmine.searching import RolloutRef

REF = RolloutRef("canary/test/checkout")


def shows(version: str, phase: Phase, outcome: Outcome | None = None) -> RolloutStatus:
    return RolloutStatus(
        phase=phase,
        outcome=outcome,
        service="checkout",
        environment="test",
        version=version,
        rollout_id=f"test/checkout/{version}/1",
        workflow_id=REF.workflow_id,
    )


async def watched(
    answers: Sequence[RolloutStatus | TemporalUnavailable],
    version: str | None = None,
    earlier: RolloutStatus | None = None,
    opened: bool = True,
) -> list[str]:
    """Phases (or ``silent``) in the order they were seen."""
    left = list(answers)

    async def ask(ref: RolloutRef) -> RolloutStatus:
        answer = left.pop(0)
        if isinstance(answer, TemporalUnavailable):
            raise answer
        return answer

    async def ask_again(last: RolloutStatus) -> RolloutStatus:
        assert earlier is not None
        return earlier

    async def is_open(ref: RolloutRef) -> bool:
        return opened

    return [
        f"{seen.version} {seen.phase}" if isinstance(seen, RolloutStatus) else "silent"
        async for seen in follow(ask, ask_again, is_open, REF, 0, version)
    ]


async def test_it_ends_with_the_outcome() -> None:
    answers = [shows("2", Phase.STEPPING), shows("2", Phase.WINDOW, Outcome.PROMOTED), shows("2", Phase.CLOSED)]
    assert await watched(answers) == ["2 stepping", "2 window"]


async def test_silence_is_told_and_waited_for() -> None:
    silent = TemporalUnavailable("no worker")
    assert await watched([silent, shows("2", Phase.STEPPING), silent, shows("2", Phase.CLOSED)]) == [
        "silent",
        "2 stepping",
        "silent",
        "2 closed",
    ]


async def test_the_next_rollout_is_not_followed() -> None:
    earlier = shows("2", Phase.CLOSED, Outcome.ROLLED_BACK)
    answers = [shows("2", Phase.STEPPING), shows("3", Phase.ADMITTING)]
    assert await watched(answers, earlier=earlier) == ["2 stepping", "2 closed"]


async def test_the_rollout_before_is_passed_over() -> None:
    answers = [shows("2", Phase.WINDOW, Outcome.PROMOTED), shows("3", Phase.STEPPING), shows("3", Phase.CLOSED)]
    assert await watched(answers, version="3") == ["3 stepping", "3 closed"]


async def test_a_release_that_never_began_is_said() -> None:
    with pytest.raises(RolloutNotFound, match="3 did not begin"):
        await watched([shows("2", Phase.CLOSED, Outcome.ROLLED_BACK)], version="3", opened=False)


async def test_one_that_waits_is_waited_for_though_the_version_ended_once_before() -> None:
    before = shows("2", Phase.STEPPING).model_copy(
        update={"waiting": [Place(position=1, version="3", by="ana")], "ended": [Ended(version="3", exit=3)]}
    )
    answers = [before, shows("3", Phase.STEPPING), shows("3", Phase.CLOSED)]
    assert await watched(answers, version="3") == ["3 stepping", "3 closed"]


async def test_one_that_was_over_before_it_was_seen_ends_with_its_outcome() -> None:
    after = shows("4", Phase.STEPPING).model_copy(
        update={"ended": [Ended(version="3", outcome=Outcome.BLOCKED, exit=5, reason="banned", run_id="r")]}
    )
    assert await watched([after], version="3") == ["3 closed"]
    seen = over_already(after, "3")
    assert seen is not None
    assert (seen.outcome, seen.exit, seen.reason, seen.run_id) == (Outcome.BLOCKED, 5, "banned", "r")
    assert over_already(after, "5") is None
