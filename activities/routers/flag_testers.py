"""Our rule that gives testers a variant of their own: found in a flag's targeting again, wherever hands have put it.

Only what is word for word ours is taken out. Of what hands have changed nobody can say whether it is a user's own rule:
it is told. Source: https://flagd.dev/reference/flag-definitions/ (targeting), https://jsonlogic.com/operations.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_CHOICES = ("if", "?:")
"""What JsonLogic calls conditions and answers that are tried in turn."""
_EITHER = ("and", "or")
"""Its operations that hand on what they were given."""


def pin(when: Any, variant: Any) -> str:
    """What stands for a rule in metadata, which is handed to apps: who is targeted is not told there."""
    return hashlib.sha256(json.dumps([when, variant], sort_keys=True).encode()).hexdigest()[:12]


def unpinned(rule: Any, mark: object) -> tuple[Any, bool]:
    """The rule without every pair of condition and variant that the mark stands for, and whether there was one."""
    if isinstance(rule, list):
        parts = [unpinned(part, mark) for part in rule]
        return [part for part, _ in parts], any(found for _, found in parts)
    if not isinstance(rule, dict):
        return rule, False
    left: dict[str, Any] = {}
    found = False
    for operation, arguments in rule.items():
        others = arguments
        if operation in _CHOICES and isinstance(arguments, list):
            ours = [at for at in range(0, len(arguments) - 1, 2) if pin(arguments[at], arguments[at + 1]) == mark]
            others = [part for at, part in enumerate(arguments) if at - at % 2 not in ours]
        left[operation], deeper = unpinned(others, mark)
        if others != arguments and len(others) < 2:
            # Without a condition before it the rest stands for itself.
            return next(iter(left[operation]), None), True
        found = found or deeper or others != arguments
    return left, found


@dataclass(frozen=True)
class Answer:
    """A place of a rule that gives users a variant by its name, or by what nobody can read (None).

    ``whens`` are the conditions that must hold to come there, the outermost first.
    """

    where: str
    whens: tuple[Any, ...]
    variant: str | None

    def __str__(self) -> str:
        """The place and what it gives, for people."""
        return f"{self.where} gives {'what nobody can read' if self.variant is None else repr(self.variant)}"


def answers(rule: Any, where: str = "targeting", whens: tuple[Any, ...] = ()) -> Iterator[Answer]:
    """Every place of a rule that gives a user a variant; what conditions compare names none."""
    if isinstance(rule, str | bool):
        # Providers take true for the variant of that name.
        yield Answer(where, whens, rule if isinstance(rule, str) else str(rule).lower())
    if not isinstance(rule, dict):
        return
    for operation, arguments in rule.items():
        parts = arguments if isinstance(arguments, list) else []
        inside = f"{where}.{operation}"
        if operation not in (*_CHOICES, *_EITHER, "fractional"):
            # Worked out for each user, or written elsewhere ($ref).
            yield Answer(where, whens, None)
        for at, part in enumerate(parts):
            if operation in _EITHER:
                before = parts[:at] if operation == "and" else []
                yield from answers(part, f"{inside}[{at}]", (*whens, *before))
            elif operation in _CHOICES and at == len(parts) - 1 and at % 2 == 0:
                yield from answers(part, f"{inside}[{at}]", whens)
            elif operation in _CHOICES and at % 2:
                yield from answers(part, f"{inside}[{at}]", (*whens, parts[at - 1]))
            elif operation == "fractional" and isinstance(part, list) and part and part[1:] != [0]:
                yield from answers(part[0], f"{inside}[{at}]", whens)
