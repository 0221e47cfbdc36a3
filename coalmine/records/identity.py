"""Checking a signed decision, between workflow and activity."""

from __future__ import annotations

from coalmine.records.base import Record, RolloutContext
from coalmine.records.moments import Moment


class VerifyRequest(Record):
    """A token, what it has to decide, and when it arrived."""

    token: str
    verb: str
    rollout_id: str
    reason: str = ""
    gate: str | None = None
    attempt: int | None = None
    break_glass: bool = False
    longer: str | None = None
    """``for`` of an extend, such as ``1h30m``, empty where it has none; None for another verb, or where an older worker
    asks, which does not say it."""
    at: Moment
    context: RolloutContext = RolloutContext()
    workflow_id: str = ""
    """What a token of CI is bound to: it knows of no rollout's number."""
    since: Moment | None = None
    """When the rollout began that it is shown to: a token of CI from before was for another. None for a start, or where
    an older worker asks."""
    reset_at: Moment | None = None
    """When the reset was made that the run came of which asks; None for a run that no reset made."""


class Identity(Record):
    """Who signed; ``reason`` says why there is no ``person``. ``token_id`` counts once until ``expires``."""

    person: str = ""
    groups: list[str] = []
    key: str = ""
    token_id: str = ""
    expires: Moment | None = None
    issuer: str = ""
    """Of a token of CI."""
    reason: str = ""
