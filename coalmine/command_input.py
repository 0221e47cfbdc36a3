"""Reading what people send to a rollout: what of it can be used, and what to send instead. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from coalmine.identity.claims import LONGEST_TOKEN
from coalmine.identity.names import LONGEST_NAME
from coalmine.records import CommandInput, Verb

LONGEST_TEXT = 2_000
"""Characters of a reason; it goes into the state, the history, the ledger and every page."""
PLACEHOLDER = "your name"
"""Stands for ``by`` in what the page offers to copy; nobody decides under it, but a way back waits for no name."""


def decode(verb: Verb, data: Any) -> CommandInput:
    """Read what a person sent.

    Raises:
        ValueError: it cannot be used; says which field, what it was and what to send instead.
    """
    hint = f'send {{"by": "ana", "reason": "..."}}, as in: --name {verb} --input \'{{"by":"ana","reason":"ok"}}\''
    if not isinstance(data, dict):
        raise ValueError(f"input must be a JSON object, not {_short(data)}; {hint}")
    try:
        command = CommandInput.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            raise ValueError(f"'{field}' is missing; {hint}") from None
        if first["type"] == "extra_forbidden":
            raise ValueError(f"{_short(field)} is not known here (known: {', '.join(_KNOWN)}); {hint}") from None
        raise ValueError(f"'{field}' is {_short(first.get('input'))}: {first['msg']}; {hint}") from None
    command.by = command.by.strip()
    if not command.by:
        raise ValueError(f"'by' is empty: say who you are; {hint}")
    if command.by == PLACEHOLDER and verb not in (Verb.ROLLBACK, Verb.REJECT):
        raise ValueError(f"'by' is {PLACEHOLDER!r} still: put yours in its place; {hint}")
    _check_lengths(command)
    if command.for_ is not None and command.for_ <= timedelta(0):
        raise ValueError(f"'for' is {_short(data.get('for'))}: it must be longer than zero, such as 30m")
    if command.for_ is not None and verb is not Verb.EXTEND:
        raise ValueError("'for' belongs to extend only")
    if (command.gate is not None or command.attempt is not None) and verb not in (Verb.APPROVE, Verb.REJECT):
        raise ValueError("'gate' and 'attempt' belong to approve and reject only")
    if command.break_glass and verb is not Verb.APPROVE:
        raise ValueError("'break_glass' belongs to approve only")
    return command


_KNOWN = ("by", "reason", "gate", "attempt", "for", "token", "break_glass")


def _check_lengths(command: CommandInput) -> None:
    for field, limit in (
        ("by", LONGEST_NAME),
        ("gate", LONGEST_NAME),
        ("reason", LONGEST_TEXT),
        ("token", LONGEST_TOKEN),
    ):
        length = len(getattr(command, field) or "")
        if length > limit:
            raise ValueError(f"'{field}' has {length:,} characters: the most is {limit:,}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
