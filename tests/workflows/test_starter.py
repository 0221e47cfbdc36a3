"""Who starts a rollout, proved: by a key of their own or by a token of CI, and what four eyes make of it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from coalmine.identity.claims import Decided, start_subject
from coalmine.identity.issuers import ISSUERS_VARIABLE, bound_audience
from coalmine.identity.signing import new_key, public_half, sign
from coalmine.records import Outcome, Phase, Receipt, Submission
from coalmine.spec.digest import spec_digest
from tests.identity.key_server import key_server
from tests.identity.test_issuers import ENTRY, KEY, token
from tests.workflows.driving import Rollout
from tests.workflows.specs import make_spec, make_submission
from tests.workflows.world import World

KEYS = {name: new_key(f"{name}-1", name, ["sre"]) for name in ("ana", "bo")}
GATE = {"name": "go", "approval": {"by": ["sre"], "timeout": "10h", "verified": True, "four_eyes": True}}
STEPS = [{"weight": 10, "for": "20s"}, {"weight": 50, "for": "20s", "gate": GATE}]
SUBJECT = "canary/test/checkout"


@pytest.fixture(autouse=True)
def keys(world: World, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [public_half(key) for key in KEYS.values()]}))
    world.environ["COALMINE_DECISION_KEYS"] = str(file)


def spec(**changes: Any) -> Any:
    return make_spec(**{"steps": STEPS, "people": {"sre": ["ana", "bo"]}, **changes})


async def signed(rollout: Rollout, who: str, **other: Any) -> Submission:
    """A start by somebody, signed now; ``other`` is signed instead of the truth."""
    given = make_submission(other.pop("spec", None) or spec(), by=who, reason="new prices")
    truth = start_subject(SUBJECT, "1.1.0", spec_digest(given.spec))
    decides = {"verb": "start", "rollout_id": truth, "reason": "new prices", **other}
    signature = sign(KEYS[who], Decided(**decides), await rollout.now(), f"{who}-start")
    return given.model_copy(update={"token": signature})


async def approval(rollout: Rollout, who: str) -> dict[str, Any]:
    """An approval of the gate that waits."""
    decided = Decided("approve", (await rollout.status()).rollout_id, "ok", "go", 1)
    return {"by": who, "reason": "ok", "token": sign(KEYS[who], decided, await rollout.now(), f"{who}-approve")}


def why(receipt: Receipt) -> str:
    """Of the check that failed."""
    return "; ".join(check.reason for check in receipt.checks if check.name == "starter" and not check.ok)


async def test_a_signed_start_is_proved_and_shown(rollout: Rollout, world: World) -> None:
    receipt = await rollout.submit(await signed(rollout, "ana"))
    assert receipt.disposition == "started"
    status = await rollout.reach(Phase.GATED)
    assert (status.by, status.starter) == ("ana", "ana")
    [admitted] = [entry for entry in world.ledger.values() if entry.kind == "admitted"]
    assert (admitted.data["verified"], admitted.data["starter"]) == (
        True,
        {"person": "ana", "groups": ["sre"], "key": "ana-1"},
    )
    assert "four_eyes" in await rollout.refused("approve", **await approval(rollout, "ana"))
    assert (await rollout.say("approve", **await approval(rollout, "bo"))).message == "gate 'go' is open"
    assert "eyJ" not in json.dumps([entry.model_dump(mode="json") for entry in world.ledger.values()])


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ({"verb": "promote"}, "decides another verb"),
        ({"reason": "old prices"}, "decides another reason"),
        ({"rollout_id": "canary/test/search/1.1.0#0"}, "decides another rollout"),
        ({"rollout_id": start_subject(SUBJECT, "1.1.0", spec_digest(make_spec()))}, "decides another rollout"),
    ],
    ids=["verb", "reason", "service", "spec"],
)
async def test_what_proves_nothing_blocks(rollout: Rollout, world: World, lie: dict[str, Any], said: str) -> None:
    receipt = await rollout.submit(await signed(rollout, "ana", **lie))
    assert receipt.disposition == "blocked"
    assert said in why(receipt)
    assert (await rollout.result()).outcome is Outcome.BLOCKED
    assert world.writes == []
    assert world.numbers == {}, "what nobody proved to have started has no number"


async def test_an_expired_or_borrowed_token_blocks(rollout: Rollout) -> None:
    given = await signed(rollout, "ana")
    borrowed = await rollout.submit(given.model_copy(update={"by": "bo"}))
    assert "'by' is 'bo', and the token says 'ana'" in why(borrowed)
    await rollout.result()
    then = await rollout.now()
    await rollout.sleep(timedelta(hours=1).total_seconds())
    # Whoever sends it does not say when it was received.
    late = await rollout.submit(given.model_copy(update={"received": then}))
    assert "expired" in why(late)


async def test_a_spec_may_ask_for_a_proof(rollout: Rollout) -> None:
    asks = spec(policy={"look": "10s", "verified_start": True})
    receipt = await rollout.submit(make_submission(asks, by="ana"))
    assert receipt.disposition == "blocked"
    assert "nothing proves that ana starts this; start it with --sign-with KEY" in why(receipt)
    await rollout.result()
    again = await rollout.submit(await signed(rollout, "ana", spec=asks))
    assert again.disposition == "started", again


async def ci_token(rollout: Rollout, **claims: Any) -> str:
    """A token of CI, made now."""
    stamp = int((await rollout.now()).timestamp())
    return token(iat=stamp, nbf=stamp, exp=stamp + 300, **claims)


async def test_ci_starts_by_its_token_and_people_are_no_eyes_of_their_own(rollout: Rollout, world: World) -> None:
    async with key_server(KEY) as server:
        world.environ[ISSUERS_VARIABLE] = json.dumps([{**ENTRY, "jwks": server.url}])
        given = make_submission(spec(), by="ana", authors=["bo"], automated=True, token=await ci_token(rollout))
        assert (await rollout.submit(given)).disposition == "started"
        status = await rollout.reach(Phase.GATED)
        assert (status.by, status.starter) == ("ana", "ci:org/shop")
        for who in ("ana", "bo"):
            assert "four_eyes" in await rollout.refused("approve", **await approval(rollout, who))


async def test_a_token_of_ci_for_another_rollout_blocks(rollout: Rollout, world: World) -> None:
    async with key_server(KEY) as server:
        world.environ[ISSUERS_VARIABLE] = json.dumps([{**ENTRY, "jwks": server.url}])
        other = await ci_token(rollout, aud=bound_audience("start", "canary/test/search"))
        receipt = await rollout.submit(make_submission(spec(), by="ana", token=other))
        assert "the token is for 'coalmine:start:canary/test/search'" in why(receipt)
