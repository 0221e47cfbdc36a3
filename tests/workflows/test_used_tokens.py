"""A signed decision counts once, for what was signed: not a copy that came in time, nor another length of an extend."""

from __future__ import annotations

import asyncio
import json
from argparse import Namespace
from datetime import timedelta
from typing import Any

import pytest

from activities.verification import VerificationActivities
from coalmine.cli import _signing
from coalmine.identity.claims import Decided
from coalmine.identity.issuers import ISSUERS_VARIABLE, bound_audience
from coalmine.identity.signing import sign
from coalmine.identity.verification import Verified
from coalmine.records import Outcome, Phase, VerifyRequest
from tests.identity.key_server import key_server
from tests.identity.test_issuers import ENTRY, KEY
from tests.identity.test_issuers import token as issued
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission, quick
from tests.workflows.test_wrong_openings import KEYS, keys, listed, most, signed, start
from tests.workflows.world import World

__all__ = ["keys"]


async def token(rollout: Rollout, who: str, longer: str | None = None) -> str:
    decided = Decided("extend", (await rollout.status()).rollout_id, "ok", longer=longer)
    return sign(KEYS[who], decided, await rollout.now(), f"{who}-1")


def hold_checks(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, asyncio.Event], list[str]]:
    """What holds up the check of a token until it is set, and the tokens whose check began."""
    regular = VerificationActivities._found
    held: dict[str, asyncio.Event] = {}
    begun: list[str] = []

    async def found(self: Any, request: VerifyRequest) -> Verified:
        begun.append(request.token)
        if request.token in held:
            await world.hang(held[request.token])
        return await regular(self, request)

    monkeypatch.setattr(VerificationActivities, "_found", found)
    return held, begun


async def test_one_that_is_checked_while_its_gate_is_asked_anew_opens_nothing(
    live: Rollout, world: World, keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, begun = hold_checks(world, monkeypatch)
    gate = {"name": "go", "approval": {"by": ["sre"], "timeout": "2s", "on_timeout": "hold", "verified": True}}
    steps = [{"weight": 10, "for": "1s"}, {"weight": 50, "for": "1s", "gate": gate}]
    await live.start(make_submission(quick(steps=steps, people={"sre": ["ana"]}), by="dan"))
    await live.until(lambda now: now.gate is not None)
    approval = await signed(live, "ana")
    held[approval["token"]] = asyncio.Event()
    await live.send("approve", **approval)
    await live.happens(lambda: approval["token"] in begun)
    await live.reach(Phase.HELD)
    await live.send("resume", by="bo")
    await live.until(lambda now: now.gate is not None and now.gate.attempt == 2)
    held[approval["token"]].set()
    await live.happens(lambda: len(listed(world)) == 1)
    assert listed(world) == ["gate 'go' is at attempt 2, not 1: a stale decision opens nothing"]
    assert most(world) == 10


async def test_a_copy_that_is_checked_when_the_token_expires_counts_no_more(
    rollout: Rollout, world: World, keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, begun = hold_checks(world, monkeypatch)
    await start(rollout)
    used = await token(rollout, "ana")
    await rollout.sleep(295)
    await rollout.say("extend", by="ana", reason="ok", token=used, **{"for": "10m"})
    held[used] = asyncio.Event()
    await rollout.handle.signal("extend", {"by": "ana", "reason": "ok", "token": used, "for": "10h"})
    await rollout.happens(lambda: begun.count(used) == 2)
    await rollout.sleep(6)
    # Another word, after the token expired and while its copy is checked.
    await rollout.say("extend", by="bo", reason="ok", token=await token(rollout, "bo"), **{"for": "1m"})
    held[used].set()
    await rollout.happens(lambda: len(listed(world)) == 1)
    assert "the token was used already" in listed(world)[0]
    said = [entry.by for entry in world.ledger.values() if entry.kind == "command"]
    assert said == ["ana", "bo"]


async def test_an_extend_is_as_long_as_it_was_signed_for(rollout: Rollout, keys: None) -> None:
    await start(rollout)
    args = Namespace(verb="extend", longer=timedelta(minutes=90), reason="ok")
    signed = {"by": "ana", "reason": "ok", "token": _signing.token(KEYS["ana"], args, await rollout.status())}
    assert "another length ('for'): '1h30m', not '10h'" in await rollout.refused("extend", **signed, **{"for": "10h"})
    assert "'1h30m', not ''" in await rollout.refused("extend", **signed)
    assert "waits 1h30m longer" in (await rollout.say("extend", **signed, **{"for": "90m"})).message
    # What an older version signed says nothing of how long.
    older = {"by": "bo", "reason": "ok", "token": await token(rollout, "bo")}
    assert "waits 2h longer" in (await rollout.say("extend", **older, **{"for": "2h"})).message


async def test_a_token_of_ci_opens_no_gate_of_the_next_rollout(rollout: Rollout, world: World) -> None:
    gate = {"name": "go", "approval": {"by": ["bots"], "timeout": "10h", "verified": True}}
    spec = make_spec(
        steps=[{"weight": 10, "for": "20s"}, {"weight": 50, "for": "20s", "gate": gate}],
        people={"bots": ["ci:org/shop"]},
        promotion={"bake": "0s", "rollback_window": "0s"},
    )
    approve: dict[str, Any] = {"by": "ci:org/shop", "reason": "ok"}

    async def made() -> str:
        now = int((await rollout.now()).timestamp())
        audience = bound_audience("approve", "canary/test/checkout")
        return issued(aud=audience, iat=now, nbf=now, exp=now + 3_600, jti=f"of {now}")

    async with key_server(KEY) as server:
        world.environ[ISSUERS_VARIABLE] = json.dumps([{**ENTRY, "jwks": server.url, "verbs": ["start", "approve"]}])
        await rollout.start(make_submission(spec, by="dan"))
        await rollout.reach(Phase.GATED)
        used = await made()
        assert "is open" in (await rollout.say("approve", token=used, **approve)).message
        await rollout.send("rollback", reason="bad")
        assert (await rollout.result()).outcome is Outcome.ROLLED_BACK
        arms = spec.arms.model_copy(update={"canary": spec.arms.canary.model_copy(update={"version": "1.2.0"})})
        await rollout.sleep(5)
        await rollout.start(make_submission(spec.model_copy(update={"arms": arms}), by="dan"))
        await rollout.reach(Phase.GATED)
        assert "before this rollout began" in await rollout.refused("approve", token=used, **approve)
        assert (await rollout.status()).phase is Phase.GATED
        assert "is open" in (await rollout.say("approve", token=await made(), **approve)).message
