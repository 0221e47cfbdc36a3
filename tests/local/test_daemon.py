"""A proxy that is started on ports: another process that took one of them does not pass for it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from coalmine.local import daemon, processes
from coalmine.local.daemon import listens
from coalmine.local.traefik import Traefik


def test_whoever_listens_is_told_by_its_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [one.getsockname()[1], other.getsockname()[1]]
        assert listens(os.getpid(), ports)
        assert not listens(os.getppid(), ports)
    assert not listens(os.getpid(), ports)


async def test_a_port_that_another_took_is_not_taken_for_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = processes.free_ports
    (tmp_path / "dynamic").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        # The first try gets a port that is gone when it starts, as when another test was faster.
        tries = [[taken.getsockname()[1], *free(1)]]
        monkeypatch.setattr(daemon, "free_ports", lambda count: tries.pop() if tries else free(count))
        async with Traefik(tmp_path / "traefik", tmp_path / "dynamic") as proxy:
            assert taken.getsockname()[1] not in proxy.ports
            assert proxy.pid is not None
            assert listens(proxy.pid, proxy.ports)
