"""start that proves who starts: by a key, by a token of CI, and the authors of a change."""

from __future__ import annotations

import json

import pytest

from coalmine.client import RolloutRef
from tests.cli.conftest import Desk
from tests.identity.key_server import key_server
from tests.identity.test_issuers import ENTRY, KEY

GATED = [{"weight": 10, "for": "10m", "gate": {"approval": {}}}]


async def test_a_start_is_signed_with_a_key_and_authors_are_named(desk: Desk) -> None:
    assert (await desk.type("keys", "create", "bo.key", "--person", "bo@example.org")).code == 0
    public = await desk.type("keys", "jwks", "bo.key", "-o", "json")
    (desk.folder / "keys.json").write_text(public.out)
    desk.world.environ["COALMINE_DECISION_KEYS"] = str(desk.folder / "keys.json")
    spec = desk.write(steps=GATED, policy={"verified_start": True})
    unproved = await desk.type("start", spec)
    assert (unproved.code, "starter: policy.verified_start: nothing proves" in unproved.out) == (5, True), unproved
    await desk.client.get_workflow_handle(desk.ref.workflow_id).result()
    signed = await desk.type("start", spec, "--sign-with", "bo.key", "--author", "cy", "--author", "di", "-m", "prices")
    assert signed.code == 0, signed.out + signed.err
    status = await desk.coalmine.status(desk.ref)
    assert (status.by, status.starter) == ("bo@example.org", "bo@example.org")
    assert " by bo@example.org (proved)" in (await desk.type("status", "checkout")).out
    [admitted] = [one for one in (await desk.coalmine.decisions(desk.ref)).entries if one.kind == "admitted"]
    assert admitted.data["authors"] == ["cy", "di"]
    wrong = await desk.type("start", spec, "--sign-with", "bo.key", "--by", "ana")
    assert (wrong.code, "--by is 'ana', and bo.key is bo@example.org's key" in wrong.err) == (2, True)


async def test_ci_starts_with_its_token(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async with key_server(KEY) as server:
        desk.world.environ["COALMINE_DECISION_ISSUERS"] = json.dumps([{**ENTRY, "jwks": server.url}])
        monkeypatch.setenv("COALMINE_IDENTITY_TOKEN", "garbage")
        refused = await desk.type("start", desk.write(steps=GATED))
        assert (refused.code, "starter: the token does not prove who starts this" in refused.out) == (5, True), refused
    assert (await desk.coalmine.status(RolloutRef("canary/test/checkout"))).starter == ""
