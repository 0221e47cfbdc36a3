"""A port that another program takes just before the server does is no reason not to start."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from coalmine.local import temporal
from coalmine.local.processes import LocalStackError, free_ports
from coalmine.local.temporal import PORTS_TAKEN, start_temporal


@pytest.mark.parametrize("times", [1, PORTS_TAKEN + 1])
async def test_others_are_tried_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    taken: list[socket.socket] = []

    def unlucky(count: int) -> list[int]:
        ports = free_ports(count)
        if len(taken) < times:
            taken.append(socket.create_server(("127.0.0.1", ports[1])))
        return ports

    monkeypatch.setattr(temporal, "free_ports", unlucky)
    try:
        if times > PORTS_TAKEN:
            with pytest.raises(LocalStackError, match="address already in use"):
                await start_temporal(tmp_path)
        else:
            server = await start_temporal(tmp_path)
            server.stop()
    finally:
        for one in taken:
            one.close()
    assert len(taken) == times
