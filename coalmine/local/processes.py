"""Child processes that outlive the command that started them: logs, pid files, and an end that leaves nothing behind.

A pid file names the process and when it began, so that a recycled pid is never touched. Each process also carries its
folder in its environment: one whose pid file was never written, because who started it was killed, is found by that.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from coalmine.errors import CoalmineError

_DEALT_OUT = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000
_TRIES = 100
_CHANCE = random.SystemRandom()
"""Of its own: tests seed the common one, and many processes would then try the same ports."""
_POLL = 0.02
_ADOPTED: dict[int, subprocess.Popen[bytes]] = {}
"""Children of this very process: they must be waited for, or they stay as zombies."""
_MARK = "COALMINE_STARTED_IN"


class LocalStackError(CoalmineError):
    """Raised when a part of the local stack is missing, does not come up, or ends early; says where its log is."""


@dataclass(frozen=True)
class Process:
    """One process by its pid file ``<folder>/<name>.pid``; its log is ``<folder>/<name>.log``."""

    name: str
    folder: Path

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.folder / f"{self.name}.log"

    @property
    def pid_file(self) -> Path:
        """Where its pid and its beginning stand."""
        return self.folder / f"{self.name}.pid"

    def start(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start it in a session of its own: a Ctrl-C in the terminal does not reach it.

        Raises:
            LocalStackError: it runs already, or the program is not there.
        """
        if self.pid() is not None:
            raise LocalStackError(f"{self.name} runs already (pid {self.pid()}): run coalmine down first")
        self.folder.mkdir(parents=True, exist_ok=True)
        # The log is this run's alone: whether it came up is read from it.
        with self.log.open("wb") as log:
            try:
                child = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**(os.environ if environment is None else environment), _MARK: str(self.folder)},
                    cwd=self.folder,
                    start_new_session=True,
                )
            except OSError as error:
                raise LocalStackError(f"{self.name} cannot be started: {command[0]}: {error.strerror}") from None
        _ADOPTED[child.pid] = child
        self.pid_file.write_text(json.dumps({"pid": child.pid, "began": _began(child.pid)}))

    def pid(self) -> int | None:
        """Its pid while it runs, None once it ended."""
        try:
            noted = json.loads(self.pid_file.read_text())
            pid, began = int(noted["pid"]), noted["began"]
        except (OSError, ValueError, KeyError, TypeError):
            # Another command may have stopped it, and taken the file away.
            _bury()
            return None
        if began is not None and _began(pid) == began:
            return pid
        # After the look and not before: a child that ends between the two would stay as a zombie. One whose first
        # thread has ended before the others looks like a zombie, and has not ended.
        _bury()
        return pid if pid in _ADOPTED else None

    def check(self) -> None:
        """Make sure it still runs.

        Raises:
            LocalStackError: it ended; says what it printed last.
        """
        if self.pid() is None:
            last = self.log.read_text(errors="replace").strip().splitlines()[-1:] if self.log.exists() else []
            raise LocalStackError(f"{self.name} ended: {''.join(last) or 'it said nothing'} (see {self.log})")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        pid = self.pid()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, within: float = 10.0) -> None:
        """End it, by force when it does not end in time; done twice is done once."""
        self.signal(signal.SIGTERM)
        if not self._ended(within):
            self.signal(signal.SIGKILL)
            self._ended(within)
        self.pid_file.unlink(missing_ok=True)

    def _ended(self, within: float) -> bool:
        deadline = time.monotonic() + within
        while self.pid() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL)
        return True


def strays(folder: Path) -> list[int]:
    """Processes that were started in a folder and still run, whether a pid file names them or not."""
    mark = os.fsencode(f"{_MARK}={folder}")
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0") and _began(int(process.name)) is not None:
                    found.append(int(process.name))
    return found


def end_strays(folder: Path, within: float = 10.0) -> list[int]:
    """End by force what ``strays`` finds, and wait until it is gone.

    Returns:
        The pids of what was ended.
    """
    found = strays(folder)
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + within
    while any(_began(pid) is not None for pid in found) and time.monotonic() < deadline:
        time.sleep(_POLL)
    _bury()
    return found


def free_ports(count: int) -> list[int]:
    """Ports nobody uses now, all different.

    They lie below those that the system deals out to whoever asks for any: Temporal's dev server takes some of these
    for its inner services, and every outgoing connection takes one, so that ours might be gone before it is used.
    """
    sockets: list[socket.socket] = []
    try:
        while len(sockets) < count:
            sockets.append(_on_a_free_port())
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _on_a_free_port() -> socket.socket:
    try:
        dealt_out = int(_DEALT_OUT.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        dealt_out = 0  # Not Linux: then it may be any.
    for _ in range(_TRIES if dealt_out > _LOWEST else 0):
        with suppress(OSError):
            return socket.create_server(("127.0.0.1", _CHANCE.randrange(_LOWEST, dealt_out)))
    return socket.create_server(("127.0.0.1", 0))


async def await_port(process: Process, port: int, within: float = 20.0) -> None:
    """Wait until something listens on a port.

    Raises:
        LocalStackError: the process ended, or took too long.
    """
    deadline = time.monotonic() + within
    while True:
        process.check()
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            return
        if time.monotonic() > deadline:
            raise LocalStackError(
                f"{process.name} does not listen on port {port} after {within:g} s: see {process.log}"
            )
        await asyncio.sleep(_POLL)


def _bury() -> None:
    """Wait for those of our own children that ended, whoever ended them."""
    for pid, child in list(_ADOPTED.items()):
        if child.poll() is not None:
            _ADOPTED.pop(pid, None)


def _began(pid: int) -> str | None:
    """When a process began, in clock ticks since boot; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # One whose first thread has ended looks like a zombie, while the others still hold its ports.
    return None if fields[0] == "Z" and int(fields[17]) <= 1 else fields[19]
