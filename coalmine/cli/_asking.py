"""Answers a verb needs: by flag, else what was found, else by asking; where nobody can be asked, one clear error."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from coalmine.errors import InputError


class Asking:
    """Asks at the terminal, on stderr; stdout stays data."""

    def __init__(self, take_proposals: bool) -> None:
        """``take_proposals``: what was found is taken without a question."""
        self._can_ask = sys.stdin.isatty() and sys.stderr.isatty()
        self._take = take_proposals or not self._can_ask

    def text(self, flag: str, given: str | None, question: str, proposal: str = "", found: Sequence[str] = ()) -> str:
        """One answer.

        Args:
            flag: Such as ``--service``.
            given: What the flag says.
            question: Without a question mark.
            proposal: What is taken when nothing else is said; empty: there is none.
            found: What it may be, for whoever is asked, and for the error.

        Raises:
            InputError: there is no answer; names the flag.
        """
        if given is not None:
            return given
        if proposal and self._take:
            return proposal
        listed = f" ({', '.join(found)})" if found else ""
        if not self._can_ask:
            raise InputError(f"{flag} is missing, and there is no terminal to ask at: {question}{listed}")
        while True:
            print(f"{question}{listed}{f' [{proposal}]' if proposal else ''}: ", end="", file=sys.stderr, flush=True)
            line = sys.stdin.readline()
            if not line:
                raise InputError(f"{flag} is missing: the input ended before it was answered")
            if answer := line.strip() or proposal:
                return answer

    def several(self, flag: str, given: Sequence[str], question: str) -> list[str]:
        """As ``text``, for what there may be several of: separated by commas when it is asked.

        Raises:
            InputError: as ``text``.
        """
        if given:
            return list(given)
        answer = self.text(flag, None, question)
        return [part.strip() for part in answer.split(",") if part.strip()]
