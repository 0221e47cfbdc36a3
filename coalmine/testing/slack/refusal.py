"""How Slack says no: an answer with ``ok`` false and a word for why."""

from __future__ import annotations

from typing import Any


class Refuse(Exception):
    """Raised by a method that does not do what it was asked; ``answer`` is the body."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.answer = {"ok": False, "error": error, **more}
