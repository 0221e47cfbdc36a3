"""Proxies that hang: frozen with all their processes, so that they take connections and answer nothing."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from activities.routers import nginx, proxy_answers
from activities.routers.haproxy_socket import StatsSocket

MINUTES = 600.0
"""Seconds; longer than any case waits."""


def freeze(pid: int | None, patch: pytest.MonkeyPatch) -> None:
    """Stop it, and let a question that has no limit of its own last for minutes."""
    patch.setattr(proxy_answers, "WITHIN", aiohttp.ClientTimeout(total=MINUTES))
    patch.setattr(StatsSocket.__init__, "__defaults__", (MINUTES,))
    patch.setattr(nginx, "OVERLAP", MINUTES)
    _signal(pid, signal.SIGSTOP)


def thaw(pid: int | None) -> None:
    """Let it go on."""
    _signal(pid, signal.SIGCONT)


def _signal(pid: int | None, number: signal.Signals) -> None:
    assert pid is not None
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for each in (pid, *map(int, children)):
        with suppress(ProcessLookupError):
            os.kill(each, number)
