"""A rollout that cannot be read: it is said on its own message, and all others are followed."""

from __future__ import annotations

import pytest

from coalmine.errors import CoalmineError, PayloadUnreadable
from coalmine.records import Phase
from tests.chat.conftest import Office
from tests.chat.rollouts import gated_spec, make_state


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PayloadUnreadable("its payloads are encrypted: set KEYS"), "its payloads are encrypted: set KEYS"),
        (ValueError("<secret> of a newer worker"), "its state cannot be read (ValueError)"),
    ],
)
async def test_it_is_said_and_the_others_go_on(office: Office, error: Exception, said: str) -> None:
    broken = office.rollouts.add(make_state(Phase.STEPPING))
    await office.open()
    message = await office.root()
    office.rollouts.broken[broken.workflow_id] = error
    await office.shows(message, said)
    assert "secret" not in message.shown
    # One that begins after that is followed like any other.
    office.rollouts.add(make_state(Phase.GATED, gated_spec("cart"), number=2))
    await office.has_button(await office.root(1), "approve")
    del office.rollouts.broken[broken.workflow_id]
    await office.until(lambda: said not in message.shown)
    assert isinstance(error, CoalmineError) or "newest" not in message.shown


async def test_one_that_was_never_read_ends_no_round(office: Office) -> None:
    broken = office.rollouts.add(make_state(Phase.STEPPING))
    office.rollouts.broken[broken.workflow_id] = ValueError("of a newer worker")
    office.rollouts.add(make_state(Phase.GATED, gated_spec("cart"), number=2))
    await office.open()
    await office.has_button(await office.root(), "approve")
