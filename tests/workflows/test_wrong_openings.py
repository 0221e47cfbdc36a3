"""A gate that counts signed decisions, under a thousand words that must not open it. Judged by the router's writes."""

from __future__ import annotations

import asyncio
import json
import random
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from coalmine.cli import _signing
from coalmine.identity.claims import Decided
from coalmine.identity.signing import new_key, public_half, sign
from coalmine.records import Outcome, Phase
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission
from tests.workflows.world import World

KEYS = {name: new_key(f"{name}-1", name, ["sre"] if name == "cy" else []) for name in ("ana", "bo", "cy", "eve")}
STRANGER = new_key("ana-1", "ana")
"""Says it is ana's key, and is not."""


def publish(file: Path, *people: str) -> None:
    file.write_text(json.dumps({"keys": [public_half(KEYS[name]) for name in people]}))


@pytest.fixture
def keys(world: World, tmp_path: Path) -> None:
    publish(tmp_path / "keys.json", *KEYS)
    world.environ["COALMINE_DECISION_KEYS"] = str(tmp_path / "keys.json")


async def start(rollout: Rollout, by: str = "dan", authors: tuple[str, ...] = (), **approval: Any) -> None:
    gate = {"name": "go", "approval": {"by": ["sre"], "timeout": "10h", "verified": True, **approval}}
    steps = [{"weight": 10, "for": "20s"}, {"weight": 50, "for": "20s", "gate": gate}]
    spec = make_spec(steps=steps, people={"sre": ["Ana", "bo"]})
    await rollout.start(make_submission(spec, by=by, authors=list(authors)))
    await rollout.reach(Phase.GATED)


async def signed(rollout: Rollout, who: str, number: object = 1, key: Any = None, **other: Any) -> dict[str, Any]:
    """An approval by somebody, signed now for the gate that waits unless told otherwise."""
    status = await rollout.status()
    decides = {"verb": "approve", "rollout_id": status.rollout_id, "reason": "ok", "gate": "go", "attempt": 1, **other}
    token = sign(key or KEYS[who], Decided(**decides), await rollout.now(), f"{who}-{number}")
    return {"by": who, "reason": decides["reason"], "token": token}


def listed(world: World) -> list[str]:
    """Why words were refused, as the ledger has it."""
    return [entry.reason for entry in world.ledger.values() if entry.kind == "refused"]


def most(world: World) -> float:
    return max(write.weights.get("checkout-v2", 0) for write in world.writes)


async def test_a_signed_decision_opens(rollout: Rollout, world: World, keys: None) -> None:
    await start(rollout)
    assert (await rollout.say("approve", **await signed(rollout, "ana"))).message == "gate 'go' is open"
    assert (await rollout.result()).outcome is Outcome.PROMOTED
    [said] = [entry for entry in world.ledger.values() if entry.kind == "command"]
    assert (said.by, said.data["verified"], said.data["key"]) == ("ana", True, "ana-1")


async def test_what_the_command_line_signs_is_taken(rollout: Rollout, keys: None) -> None:
    await start(rollout)
    args = Namespace(verb="approve", gate=None, attempt=None, reason="fine", break_glass=False)
    token = _signing.token(KEYS["ana"], args, await rollout.status())
    assert (await rollout.say("approve", reason="fine", token=token)).message == "gate 'go' is open"


async def test_a_key_taken_away_counts_no_more(rollout: Rollout, world: World, keys: None) -> None:
    await start(rollout)
    publish(Path(world.environ["COALMINE_DECISION_KEYS"]), "bo")
    assert "not among the worker's" in await rollout.refused("approve", **await signed(rollout, "ana"))
    assert (await rollout.say("approve", **await signed(rollout, "bo"))).message == "gate 'go' is open"


async def test_a_group_of_the_key_counts(rollout: Rollout, keys: None) -> None:
    await start(rollout)
    assert (await rollout.say("approve", **await signed(rollout, "cy"))).message == "gate 'go' is open"


async def test_an_unsigned_word_is_recorded_and_does_not_count(rollout: Rollout, world: World, keys: None) -> None:
    await start(rollout)
    assert "recorded as unverified, which does not count" in (await rollout.say("approve", by="bo")).message
    status = await rollout.status()
    assert status.gate is not None
    assert status.gate.approvals == ["bo (unverified)"]
    assert "counts signed decisions only" in await rollout.refused("promote", reason="now")
    await rollout.sleep(60)
    assert most(world) == 10


async def test_four_eyes(rollout: Rollout, world: World, keys: None) -> None:
    await start(rollout, by="ANA", authors=("Bo",), four_eyes=True)
    for who in ("ana", "bo"):
        assert "four_eyes" in await rollout.refused("approve", **await signed(rollout, who))
    assert "it asks for one of" in await rollout.refused("approve", **await signed(rollout, "eve"))
    assert most(world) == 10
    assert (await rollout.say("approve", **await signed(rollout, "cy"))).message == "gate 'go' is open"


async def test_one_person_counts_once_however_the_name_is_written(rollout: Rollout, world: World, keys: None) -> None:
    await start(rollout, count=2, verified=False)
    assert "1 of 2" in (await rollout.say("approve", **await signed(rollout, "ana"))).message
    for again in ("Ana", "ana\u200b"):
        assert "already" in (await rollout.say("approve", by=again)).message
    assert "nothing can be seen" in await rollout.refused("approve", by="\u200b")
    await rollout.sleep(60)
    assert most(world) == 10
    assert (await rollout.say("approve", by="bo")).message == "gate 'go' is open"
    assert (await rollout.result()).outcome is Outcome.PROMOTED
    assert [entry.by for entry in world.ledger.values() if entry.kind == "command"] == ["ana", "Ana", "ana\u200b", "bo"]


async def test_a_signed_promote_past_the_gate_asks_for_a_reason(rollout: Rollout, keys: None) -> None:
    await start(rollout, by="eve", four_eyes=True)
    without = await signed(rollout, "eve", 1, verb="promote", gate=None, attempt=None)
    assert "asks for a reason of 20 characters" in await rollout.refused("promote", **without)
    why = "payments are down since noon"
    told = await signed(rollout, "eve", 2, verb="promote", gate=None, attempt=None, reason=why)
    assert "promoting to 100 % now" in (await rollout.say("promote", **told)).message


async def test_two_different_people_each_once(rollout: Rollout, keys: None) -> None:
    await start(rollout, count=2)
    first = await signed(rollout, "ana")
    assert (await rollout.say("approve", **first)).message == "gate 'go' has 1 of 2 approvals"
    assert "used already" in await rollout.refused("approve", **first)
    assert "already" in (await rollout.say("approve", **await signed(rollout, "ana", 2))).message
    assert (await rollout.say("approve", **await signed(rollout, "bo"))).message == "gate 'go' is open"


async def test_breaking_the_glass_is_loud(rollout: Rollout, world: World, keys: None) -> None:
    await start(rollout)
    why = "payments are down and nobody of sre answers"
    assert "sign it" in await rollout.refused("approve", reason=why, break_glass=True)
    short = await signed(rollout, "eve", break_glass=True)
    assert "asks for a reason" in await rollout.refused("approve", break_glass=True, **short)
    given = await signed(rollout, "eve", 2, break_glass=True, reason=why)
    assert (await rollout.say("approve", break_glass=True, **given)).message == "gate 'go' is open"
    await rollout.result()
    [entry] = [entry for entry in world.ledger.values() if entry.kind == "break_glass"]
    assert (entry.by, entry.reason, entry.data["verified"]) == ("eve", why, True)
    assert [told.notification.severity for told in world.notices if "glass" in told.notification.title] == ["critical"]


async def test_a_glass_that_is_not_there(rollout: Rollout, world: World, keys: None) -> None:
    await start(rollout, break_glass=False)
    why = "payments are down and nobody of sre answers"
    given = await signed(rollout, "eve", break_glass=True, reason=why)
    assert "no glass to break" in await rollout.refused("approve", break_glass=True, **given)
    token = await signed(rollout, "eve", verb="promote", gate=None, attempt=None)
    assert "cannot be passed over" in await rollout.refused("promote", **token)
    assert most(world) == 10


async def test_a_rollback_waits_for_no_signature(rollout: Rollout, world: World) -> None:
    await start(rollout)
    world.environ["COALMINE_DECISION_KEYS"] = "/nowhere"
    await rollout.say("rollback", by="eve", reason="bad", token="garbage")
    assert (await rollout.result()).outcome is Outcome.ROLLED_BACK


async def test_a_thousand_wrong_words_open_nothing(rollout: Rollout, world: World, keys: None) -> None:
    await start(rollout, count=2)
    draw = random.Random(4)
    good = await signed(rollout, "ana", "good")
    await rollout.say("approve", **good)
    rollout_id = (await rollout.status()).rollout_id
    bad = [
        good,  # a replay: the second person is missing for ever
        {**good, "by": "bo"},
        await signed(rollout, "ana", key=STRANGER),
        await signed(rollout, "eve"),
        await signed(rollout, "bo", gate="other"),
        await signed(rollout, "bo", attempt=2),
        await signed(rollout, "bo", rollout_id=rollout_id + "1"),
        await signed(rollout, "bo", verb="promote"),
        {**await signed(rollout, "bo", reason="other"), "reason": "ok"},
        {"by": "bo", "token": "a.b.c"},
        {"by": "bo", "reason": "ok", "attempt": 2},
        {"by": "bo", "reason": "ok", "gate": "step-1"},
        {"by": "bo", "break_glass": True, "reason": "because I say so, and that is that"},
    ]
    # A double click is many of the same at once, and hands differ in what they click.
    words = [draw.choice(bad) for _ in range(1_000)]
    for first in range(0, len(words), 50):
        await asyncio.gather(*(rollout.handle.signal("approve", word) for word in words[first : first + 50]))
        # No more wait to be verified than may: every single word is to be looked at.
        async with asyncio.timeout(60):
            while first + 50 - len(listed(world)) > 150:
                await asyncio.sleep(0.02)
    await rollout.settle()
    await rollout.sleep(120)
    status = await rollout.status()
    assert (status.phase, status.canary_weight, most(world), world.canary) == (Phase.GATED, 10, 10, 10)
    assert status.gate is not None
    assert status.gate.state == "waiting"
    refused = listed(world)
    unchecked = [why for why in refused if "send it again" in why]
    print(f"{len(words)} words, {len(refused)} listed as refused, {len(unchecked)} of them unchecked")
    assert len(refused) == len(words)
    assert unchecked == []
    assert await rollout.failed_tasks() == []
    assert (await rollout.say("approve", **await signed(rollout, "bo", "good"))).message == "gate 'go' is open"
