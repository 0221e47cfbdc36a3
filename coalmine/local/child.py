"""A server as a child process of ours: started, awaited, ended. It ends with whoever started it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from coalmine.errors import CoalmineError
from coalmine.local.ending import end

START_WITHIN = 20.0
"""Seconds it may take to come up."""


class Child(ABC):
    """``async with`` it. ``folder`` has its configuration and its log."""

    name: ClassVar[str]
    unavailable: ClassVar[type[CoalmineError]]
    """What is raised when it does not come up."""

    def __init__(self, folder: Path) -> None:
        """Keep all it writes under ``folder``."""
        self.folder = folder
        self.log = folder / f"{self.name}.log"
        self._process: asyncio.subprocess.Process | None = None

    @abstractmethod
    def prepare(self) -> list[str]:
        """Write the configuration, and return the command that runs it in the foreground."""

    @abstractmethod
    async def await_ready(self) -> None:
        """Wait until it takes requests. Also for a process somebody else started.

        Raises:
            CoalmineError: the process this object started has ended.
        """

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def ended(self) -> int | None:
        """What the process this object started ended with, None while it runs or where there is none."""
        return self._process.returncode if self._process is not None else None

    async def start(self) -> None:
        """Start it and wait until it takes requests.

        Raises:
            CoalmineError: it is not installed, it ended, or it stayed silent.
        """
        command = self.prepare()
        with self.log.open("ab") as log:
            # Its own session: a Ctrl-C in the terminal reaches whoever started us first, who then stops us in order.
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            async with asyncio.timeout(START_WITHIN):
                await self.await_ready()
        except TimeoutError:
            await self.stop()
            raise self.unavailable(f"{self.name} did not come up in {START_WITHIN:g} s: see {self.log}") from None
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the process; done twice is done once."""
        process, self._process = self._process, None
        await end(process)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
