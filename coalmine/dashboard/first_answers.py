"""What came of a form, for whoever sends the same one again: a second press, or a page that was loaded anew."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Coroutine
from typing import Any

from coalmine.records import CommandReceipt, Verb

MOST_KEPT = 10_000
"""Answers of one server; the oldest are forgotten first, and the workflow's run still knows them."""


def once_of(form_id: str, workflow_id: str, person: str, verb: Verb) -> str | None:
    """What identifies what a form says, to the workflow too; None: it carries no id, and counts each time."""
    if not form_id:
        return None
    said = json.dumps([form_id, workflow_id, person, str(verb)])
    return f"page-{hashlib.sha256(said.encode()).hexdigest()[:40]}"


class FirstAnswers:
    """Of one server. The workflow counts a word once for its run; this spans runs, and words left as signals."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[CommandReceipt]] = {}

    async def of(self, once: str | None, say: Callable[[], Coroutine[Any, Any, CommandReceipt]]) -> CommandReceipt:
        """What ``say`` answers, or answered the first time; what came to nothing is said anew.

        Raises:
            CoalmineError: as ``say`` does.
        """
        if once is None:
            return await say()
        task = self._tasks.get(once)
        if task is None:
            self._tasks[once] = task = asyncio.create_task(say())
            if len(self._tasks) > MOST_KEPT:
                del self._tasks[next(iter(self._tasks))]
        try:
            # Whoever is gone takes nobody else's answer away.
            return await asyncio.shield(task)
        except BaseException:
            if task.done() and self._tasks.get(once) is task:
                del self._tasks[once]
            raise
