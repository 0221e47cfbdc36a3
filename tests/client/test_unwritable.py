"""Half a character, as a file name or somebody's JSON may bring it: refused by the name of its field, before anything
is asked of Temporal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from temporalio.client import Client

from coalmine.client import Coalmine, RolloutRef
from coalmine.errors import InputError
from coalmine.identity.claims import Decided
from coalmine.records import Verb
from tests.workflows.specs import make_spec

HALF = "because \udcff"
REF = RolloutRef("canary/test/checkout", None)


class Nobody:
    """A connection on which nothing can be asked but a handle."""

    def get_workflow_handle(self, *_: object, **__: object) -> object:
        return object()


COALMINE = Coalmine(cast(Client, Nobody()))


@pytest.mark.parametrize(
    ("say", "field"),
    [
        (lambda: COALMINE.send(REF, Verb.PAUSE, by="ana", reason=HALF), "reason"),
        (lambda: COALMINE.send(REF, Verb.APPROVE, by=HALF, gate="go"), "by"),
        (lambda: COALMINE.withdraw(REF, "1", by="ana", reason=HALF), "reason"),
        (lambda: COALMINE.start(make_spec(), by="ana", reason=HALF), "reason"),
        (lambda: COALMINE.start(make_spec(), by="ana", authors=["bo", HALF]), "authors"),
        (lambda: COALMINE.ban("test", "checkout", "1", by="ana", reason=HALF), "reason"),
        (lambda: COALMINE.freeze("test", by="ana", reason=HALF), "freeze.reason"),
    ],
)
async def test_it_is_refused_by_its_field(say: Callable[[], Awaitable[Any]], field: str) -> None:
    with pytest.raises(InputError) as caught:
        await say()
    assert str(caught.value).startswith(f"{field}: ")
    assert r"holds \udcff, which is half a character" in str(caught.value)
    str(caught.value).encode()


def test_what_is_signed_before_it_is_refused_does_not_stumble() -> None:
    assert Decided("pause", "test/checkout/1/1", HALF).claims()["reason_sha256"]
