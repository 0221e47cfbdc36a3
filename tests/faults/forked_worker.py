"""Workers that fault tests kill by the dozen: forked from a process that has imported what every worker imports.

Each is a process of its own with its own log, environment and session, as ``python -m`` makes one, and is killed as
that one is; it is only there a second of computing sooner. That the command starts too is what tests/worker shows.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from benchmarks.ground import WorkerProcess

_FORKING = multiprocessing.get_context("forkserver")
# Only what starts no thread: the core of the SDK does not before it connects.
_FORKING.set_forkserver_preload(["worker", "coalmine.analysis"])


class ForkedWorker(WorkerProcess):
    """A worker by its module's name, without the time it takes to import."""

    _forked: ForkServerProcess | None = None

    @property
    def pid(self) -> int:
        """The process id; 0 when it does not run."""
        return self._forked.pid or 0 if self._forked is not None else 0

    @property
    def ended_by_itself(self) -> bool:
        """Whether it was started, and is gone though nobody ended it."""
        return self._forked is not None and self._forked.exitcode is not None

    async def start(self) -> None:
        """Start it; it serves once it polls."""
        arguments = (self.module, self.folder, self.log, self.variables())
        forked = _FORKING.Process(target=_work, args=arguments, daemon=True)
        await asyncio.to_thread(forked.start)
        self._forked = forked

    async def _end(self, how: signal.Signals) -> None:
        forked, self._forked = self._forked, None
        if forked is None or forked.exitcode is not None:
            return
        assert forked.pid is not None
        os.kill(forked.pid, how)
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_reader(forked.sentinel, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(forked.sentinel)
        forked.join()
        forked.close()


def _work(module: str, folder: Path, log: Path, variables: Mapping[str, str]) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    said = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.close(said)
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
