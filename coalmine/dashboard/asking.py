"""Asking again and again, slower while nobody answers, and remembering since when."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from coalmine.errors import CoalmineError

EVERY = 1.0
"""Seconds between two questions while there are answers."""
SLOWEST = 15.0
"""Seconds between two tries, at most, while there are none."""
PATIENCE = 10.0
"""Seconds one question may take."""
T = TypeVar("T")
_log = logging.getLogger("coalmine.dashboard")


@dataclass(frozen=True)
class Trouble:
    """Nobody answers, since when and why."""

    since: datetime
    reason: str


class Asker:
    """One question that is asked again and again."""

    def __init__(self, every: float = EVERY, rest: float = 0.5) -> None:
        """``rest``: seconds of pause, at least, for each second an answer took."""
        self.trouble: Trouble | None = None
        self._every = every
        self._rest = rest
        self._pause = every

    async def ask(self, question: Callable[[], Awaitable[T]], final: bool = True) -> T | None:
        """The answer; None when there is none, and then ``trouble`` says why.

        Args:
            question: what is asked.
            final: raise an error that asking again does not mend; else it is trouble too.

        Raises:
            CoalmineError: such an error.
        """
        began, asked = asyncio.get_running_loop().time(), datetime.now(UTC)
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await question()
        except TimeoutError:
            self._silent(asked, f"no answer within {PATIENCE:g} s")
            return None
        except CoalmineError as error:
            if final and not error.retryable:
                raise
            self._silent(asked, str(error))
            return None
        except Exception as error:
            # One row that cannot be read must not end the asking for everyone, in silence.
            self._silent(asked, unforeseen(error))
            return None
        took = asyncio.get_running_loop().time() - began
        self.trouble = None
        # A namespace that takes long to list is left some room to do other things.
        self._pause = max(self._every - took, took * self._rest)
        return answer

    async def pause(self, unless: asyncio.Event | None = None) -> None:
        """Wait until the next question is due, or somebody cannot wait."""
        try:
            async with asyncio.timeout(self._pause):
                await (unless or asyncio.Event()).wait()
        except TimeoutError:
            pass

    def _silent(self, asked: datetime, reason: str) -> None:
        # Since the first question without an answer, which was tried for a while.
        since = self.trouble.since if self.trouble is not None else asked
        self.trouble = Trouble(since, reason)
        self._pause = min(max(self._pause, self._every) * 2, SLOWEST)


def unforeseen(error: Exception) -> str:
    """What is said of an error that is none of ours; the log tells the rest."""
    _log.error("an error nobody foresaw", exc_info=error)
    return f"an error nobody foresaw ({type(error).__name__}); the server's log says more"
