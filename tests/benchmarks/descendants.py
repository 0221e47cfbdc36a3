"""Processes that a process has started, and those they have, however they call themselves."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process; ``began`` keeps it apart from a later one of the same number."""

    pid: int
    parent: int
    began: str
    command: str

    @property
    def runs(self) -> bool:
        """Whether it is still there, and no zombie."""
        found = _process(self.pid)
        return found is not None and found.began == self.began

    def kill(self) -> None:
        """End it, if it is still the one."""
        if self.runs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def descendants(pid: int, word: str = "") -> list[Process]:
    """All below ``pid``, or those whose command line has ``word``."""
    everybody = [
        one for entry in Path("/proc").iterdir() if entry.name.isdigit() and (one := _process(int(entry.name)))
    ]
    found, parents = [], {pid}
    while parents:
        below = [one for one in everybody if one.parent in parents]
        found += below
        parents = {one.pid for one in below}
    return [one for one in found if word in one.command]


def _process(pid: int) -> Process | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else Process(pid, int(fields[1]), fields[19], command)
