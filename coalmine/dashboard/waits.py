"""What a rollout in the list waits for, for whom and until when: asked for the rows somebody sees.

Each question first asks Temporal for the rollout's mark, which needs no worker and tells whether anything happened to
it; only then, and now and then in any case, it asks a worker for the status. Questions go on when nobody waits for
them any more, and their answers count for whoever looks next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from coalmine.cli import _words
from coalmine.dashboard.asking import PATIENCE, unforeseen
from coalmine.errors import CoalmineError
from coalmine.records import Phase, RolloutStatus
from coalmine.rollouts import Releases
from coalmine.searching import RolloutRef, RolloutRow

WAITING = frozenset({Phase.GATED, Phase.HELD, Phase.BAKING, Phase.WINDOW})
"""Phases that end at a deadline, or when somebody says so."""
FRESH = 1.0
"""Seconds an answer counts for a page that is loaded; where it is older, it is asked for again first."""
KEPT = 20.0
"""Seconds after which a status is asked for though nothing happened: whether a worker still answers is told too."""
AGAIN = 5.0
"""Seconds of rest after a question that had no answer."""
AT_ONCE, SILENT_AT_ONCE = 16, 4
"""Questions under way at the same time, and those for rollouts that did not answer before, which take long again."""
MOST_RENEWED = 200
"""Questions of one round; with more rows on pages, those heard of longest ago come first."""
TOGETHER = 0.1
"""Seconds in which several answers are one change of a page."""
_Key = tuple[str, str, float]


@dataclass(frozen=True)
class Wait:
    """What is waited for; empty text = nobody has to do anything."""

    text: str = ""
    deadline: datetime | None = None
    human: bool = False
    """A person is waited for."""


@dataclass(frozen=True)
class _Heard:
    """An answer, and until when it holds."""

    key: _Key
    wait: Wait
    mark: str
    """Of before the status was asked for, which is as new or newer."""
    asked: float
    """When the status was asked for."""
    at: float
    """When it was last heard that nothing had happened since; of a silent one, when it was given up."""
    silent: bool = False


class Waits:
    """Answers by run, forgotten when the row shows another phase or weight."""

    def __init__(self, rollouts: Releases, changed: Callable[[], None] = lambda: None) -> None:
        """``changed`` is called soon after what is known changed."""
        self._rollouts = rollouts
        self._changed = changed
        self._heard: dict[str, _Heard] = {}
        self._under_way: dict[_Key, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._silent_slots = asyncio.Semaphore(SILENT_AT_ONCE)
        self._telling: asyncio.TimerHandle | None = None
        self._stopped = False

    def known(self, row: RolloutRow) -> Wait | None:
        """What is known of a row; None: it is asked for."""
        if not _waits(row):
            return Wait()
        heard = self._heard.get(row.run_id)
        return heard.wait if heard is not None and heard.key == _key(row) else None

    async def learn(self, rows: Sequence[RolloutRow], within: float, fresh: float = float("inf")) -> None:
        """Ask for those rows of which nothing is known, and wait for the answers.

        Args:
            rows: some of a page.
            within: seconds to wait at most; what is late is known later.
            fresh: seconds after which an answer is asked for again.
        """
        now = _now()
        due = [row for row in rows if _waits(row) and (self.known(row) is None or self._is_due(row, now, fresh))]
        if due and not self._stopped:
            await asyncio.wait([self._begin(row) for row in due], timeout=within)

    def renew(self, rows: Iterable[RolloutRow]) -> None:
        """Ask again for rows that are on pages; nobody waits for it."""
        now = _now()
        due = {row.run_id: row for row in rows if _waits(row) and self._is_due(row, now, 0.0)}
        oldest = sorted((row for row in due.values() if _key(row) not in self._under_way), key=self._at)
        for row in oldest[: max(MOST_RENEWED - len(self._under_way), 0)]:
            self._begin(row)

    async def stop(self) -> None:
        """End every question."""
        self._stopped = True
        if self._telling is not None:
            self._telling.cancel()
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _at(self, row: RolloutRow) -> float:
        heard = self._heard.get(row.run_id)
        return heard.at if heard is not None else float("-inf")

    def _is_due(self, row: RolloutRow, now: float, fresh: float) -> bool:
        heard = self._heard.get(row.run_id)
        return heard is None or now - heard.at >= (max(AGAIN, fresh) if heard.silent else fresh)

    def _begin(self, row: RolloutRow) -> asyncio.Task[None]:
        """One question for each row, however many pages it is on."""
        key = _key(row)
        if key not in self._under_way:
            task = self._under_way[key] = asyncio.create_task(self._ask(row, key))
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return self._under_way[key]

    async def _ask(self, row: RolloutRow, key: _Key) -> None:
        before = self._heard.get(row.run_id)
        async with self._silent_slots if before is not None and before.silent else self._slots:
            began = _now()
            try:
                async with asyncio.timeout(PATIENCE):
                    heard = await self._hear(row, key, began, before)
            except TimeoutError:
                heard = _silence(key, f"no answer within {PATIENCE:g} s", began)
            except CoalmineError as error:
                heard = _silence(key, f"no answer: {error}" if error.retryable else str(error), began)
            except Exception as error:
                heard = _silence(key, unforeseen(error), began)
        self._keep(row.run_id, heard)

    async def _hear(self, row: RolloutRow, key: _Key, began: float, before: _Heard | None) -> _Heard:
        ref = RolloutRef(row.workflow_id, row.run_id)
        mark = await self._rollouts.mark(ref)
        same = before is not None and not before.silent and (before.key, before.mark) == (key, mark)
        if before is not None and same and began - before.asked < KEPT:
            return replace(before, at=began)
        return _Heard(key, wait_of(await self._rollouts.status(ref)), mark, began, began)

    def _keep(self, run_id: str, heard: _Heard) -> None:
        before = self._heard.get(run_id)
        if before is not None and before.asked > heard.asked:
            return  # Of an earlier phase, and late.
        self._heard[run_id] = heard
        if len(self._heard) > 4_000:
            now = _now()
            self._heard = {run: one for run, one in self._heard.items() if now - one.at < KEPT}
        if (before is None or (before.key, before.wait) != (heard.key, heard.wait)) and self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(TOGETHER, self._tell)

    def _tell(self) -> None:
        self._telling = None
        self._changed()


def wait_of(status: RolloutStatus) -> Wait:
    """What a rollout waits for now."""
    if status.phase is Phase.HELD:
        return Wait(f"a human: {status.held_reason}", status.deadline_at, human=True)
    if status.phase is Phase.GATED and status.gate is not None:
        return Wait(f"gate {_words.gate(status)}", status.deadline_at, human=status.gate.state == "waiting")
    if status.phase is Phase.BAKING:
        return Wait("the end of the bake", status.deadline_at)
    if status.phase is Phase.WINDOW:
        return Wait("the end of the rollback window", status.deadline_at)
    return Wait("", status.deadline_at)


def _silence(key: _Key, text: str, began: float) -> _Heard:
    return _Heard(key, Wait(text), "", began, _now(), silent=True)


def _waits(row: RolloutRow) -> bool:
    return row.phase in WAITING and row.open


def _key(row: RolloutRow) -> _Key:
    return row.run_id, row.phase, row.canary_weight


def _now() -> float:
    return asyncio.get_running_loop().time()
