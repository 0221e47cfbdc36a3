"""The local stack: up once, down whatever state it is in, nothing left behind."""

from __future__ import annotations

import asyncio
import fcntl
import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coalmine.connection import local_stack
from coalmine.errors import InputError
from coalmine.local import stack as local
from coalmine.local.processes import LocalStackError, Process, strays

SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a stack may be; whatever runs there is ended after the test."""
    folder = tmp_path / "stack"
    yield folder
    local.down(folder)


def _pids(folder: Path) -> set[int]:
    return {pid for pid in local.running(folder).values() if pid is not None}


def _left(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


async def test_a_folder_that_cannot_be_is_told_in_one_line() -> None:
    with pytest.raises(LocalStackError, match=r"/proc/nope: cannot be used .* --folder"):
        await local.up(Path("/proc/nope"))


async def test_a_stack_that_is_up_is_not_started_again_and_goes_down_though_a_part_has_died(folder: Path) -> None:
    stack = await local.up(folder)
    pids = _pids(folder)
    assert {name for name, pid in local.running(folder).items() if pid is None} == {"load"}
    assert local.find(folder) == stack
    found = local_stack({"COALMINE_HOME": str(folder)})
    assert found is not None
    assert found.address == stack.temporal["address"]

    with pytest.raises(LocalStackError, match=r"is up already \(worker, .*\): coalmine down"):
        await local.up(folder)
    assert _pids(folder) == pids
    assert local.find(folder) == stack

    Process("worker", folder).signal(signal.SIGKILL)
    async with asyncio.timeout(60):
        while local.running(folder)["worker"] is not None:
            await asyncio.sleep(0.02)
    stopped = await asyncio.to_thread(local.down, folder)
    assert set(stopped) == set(local.NAMES) - {"worker", "load", "codec"}
    assert _left(pids) == set()
    assert local.find(folder) is None
    assert [name for name in local.NAMES if Process(name, folder).pid_file.exists()] == []
    assert local.down(folder) == []


async def test_two_stacks_live_side_by_side(tmp_path: Path) -> None:
    folders = tmp_path / "one", tmp_path / "two"
    try:
        one, two = [await local.up(folder) for folder in folders]
        for part in ("temporal", "envoy", "prometheus"):
            assert set(getattr(one, part).values()) & set(getattr(two, part).values()) <= {"coalmine"}
        assert set(one.slots.values()) & set(two.slots.values()) == set()
        pids = _pids(folders[1])
        await asyncio.to_thread(local.down, folders[0])
        assert _pids(folders[1]) == pids
        assert (await local.slot_stats(two, local.SLOTS[0]))["version"] == local.FIRST_VERSION
    finally:
        for folder in folders:
            await asyncio.to_thread(local.down, folder)


async def test_what_was_started_is_ended_when_a_later_part_does_not_come_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[int] = set()

    async def fail(folder: Path, keys: str | None) -> None:
        seen.update(_pids(folder))
        raise LocalStackError("temporal ended: no disk")

    monkeypatch.setattr(local, "start_temporal", fail)
    with pytest.raises(LocalStackError, match="no disk"):
        await local.up(folder)
    assert len(seen) == len(local.SLOTS)
    assert _left(seen) == set()
    assert local.find(folder) is None
    assert local.down(folder) == []


def test_a_stack_whose_start_was_killed_goes_down(folder: Path) -> None:
    for name in ("temporal", local.SLOTS[0]):
        Process(name, folder).start(SLEEPS)
    (folder / "envoy.pid").write_text('{"pid": 1, "beg')
    pids = _pids(folder)
    assert len(pids) == 2
    assert local.down(folder) == [local.SLOTS[0], "temporal"]
    assert _left(pids) == set()


@pytest.mark.parametrize("left", [None, "", '{"pid": 1, "beg'])
def test_a_part_whose_pid_file_was_never_written_goes_down_too(folder: Path, tmp_path: Path, left: str | None) -> None:
    lost, other = Process("envoy", folder), Process("envoy", tmp_path / "stack-2")
    for process in (lost, other):
        process.start(SLEEPS)
    pid = lost.pid()
    assert pid is not None
    # A process that has only just begun has no environment yet, by which it could be found.
    while not Path(f"/proc/{pid}/environ").read_bytes():
        time.sleep(0.001)
    lost.pid_file.unlink()
    if left is not None:
        lost.pid_file.write_text(left)
    try:
        assert local.down(folder) == [f"pid {pid}"]
        assert strays(folder) == []
        assert other.pid() is not None
    finally:
        other.stop()


def test_where_nothing_ever_was_nothing_is_stopped(tmp_path: Path) -> None:
    assert local.down(tmp_path / "never") == []
    assert not (tmp_path / "never").exists()
    assert local.find(tmp_path / "never") is None
    assert set(local.running(tmp_path / "never").values()) == {None}


def test_two_commands_do_not_work_on_one_folder_at_once(folder: Path) -> None:
    folder.mkdir()
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for work in (lambda: local.down(folder), lambda: asyncio.run(local.up(folder))):
            with pytest.raises(LocalStackError, match=r"another coalmine up or down works in .* now: wait for it"):
                work()
    # A lock goes with who held it.
    assert local.down(folder) == []


@pytest.mark.parametrize("content", ["", "[]", '{"folder": "x", "moon": 1}', "{}"])
def test_a_torn_stack_file_is_said_to_be_one(folder: Path, content: str) -> None:
    folder.mkdir()
    (folder / "stack.json").write_text(content)
    with pytest.raises(LocalStackError, match=r"stack.json cannot be read .*: run coalmine down"):
        local.find(folder)
    with pytest.raises(InputError, match="run coalmine down"):
        local_stack({"COALMINE_HOME": str(folder)})
    local.down(folder)
    assert local.find(folder) is None


def test_the_file_is_what_commands_need(folder: Path) -> None:
    folder.mkdir()
    stack = local.Stack(str(folder), {"address": "127.0.0.1:1", "namespace": "n", "ui": "u"}, slots={"a": 2})
    stack.save()
    assert local.find(folder) == stack
    assert json.loads((folder / "stack.json").read_text())["slots"] == {"a": 2}
    assert stack.environment() == {"TEMPORAL_ADDRESS": "127.0.0.1:1", "TEMPORAL_NAMESPACE": "n"}


def test_the_folder_is_coalmine_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert local.default_folder({"COALMINE_HOME": "here"}) == tmp_path / "here"
    assert local.default_folder({}) == tmp_path / ".coalmine/local"
    monkeypatch.setenv("COALMINE_HOME", str(tmp_path / "set"))
    assert local.default_folder() == tmp_path / "set"
