"""A proxy as a child process of ours: started on free ports, awaited, ended. It ends with whoever started it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from coalmine.errors import CoalmineError
from coalmine.local.processes import free_ports

_START_TIMEOUT = 20.0
_STOP_TIMEOUT = 5.0
_PAUSE = 0.01
_TRIES = 3
_SYSTEM = "/usr/sbin:/usr/local/sbin"
"""Where distributions put daemons: not in everybody's PATH."""


class DaemonUnavailable(CoalmineError):
    """Raised when a proxy is not installed or does not come up; says where its log is."""


class Daemon(ABC):
    """``async with`` it. ``folder`` has its configuration and its log; ports stay the same over a restart."""

    name: str

    def __init__(self, folder: Path, ports: int) -> None:
        """It needs this many ports, which are known once it has started."""
        self.folder = folder
        self.log = folder / f"{self.name}.log"
        self.ports: list[int] = []
        self._wanted = ports
        self._process: asyncio.subprocess.Process | None = None

    @abstractmethod
    def prepare(self) -> list[str]:
        """Write the configuration, and return the command that runs it in the foreground."""

    @abstractmethod
    async def is_ready(self) -> bool:
        """Whether it takes requests."""

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start it and wait until it takes requests.

        Raises:
            DaemonUnavailable: it is not installed, it ended, or it stayed silent.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.ports:
            await self._start()
            return
        for left in reversed(range(_TRIES)):
            self.ports = free_ports(self._wanted)
            try:
                await self._start()
                return
            except DaemonUnavailable:
                # Somebody else may have taken a port between our look and its start.
                if not left:
                    raise

    async def _start(self) -> None:
        command = self.prepare()
        with self.log.open("ab") as log:
            # Its own session: a Ctrl-C in the terminal reaches whoever started us first, who then stops us in order.
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                while not await self.is_ready():
                    if self._process.returncode is not None:
                        raise DaemonUnavailable(f"{self.name} ended with {self._process.returncode}: see {self.log}")
                    await asyncio.sleep(_PAUSE)
        except TimeoutError:
            await self.stop()
            raise DaemonUnavailable(f"{self.name} did not come up in {_START_TIMEOUT:g} s: see {self.log}") from None
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the process; done twice is done once."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_TIMEOUT)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def program(name: str) -> str:
    """Where a distribution's daemon is.

    Raises:
        DaemonUnavailable: nowhere.
    """
    found = shutil.which(name) or shutil.which(name, path=_SYSTEM)
    if found is None:
        raise DaemonUnavailable(f"{name} is not installed: run make setup, or install the distribution package {name}")
    return found


async def answers(port: int) -> bool:
    """Whether something on this machine takes connections on a port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
