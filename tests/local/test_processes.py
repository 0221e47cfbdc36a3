"""Processes by their pid files: started once, never mistaken for another, ended without a trace."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coalmine.local.processes import LocalStackError, Process, await_port, free_ports

SLEEPS = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)"]
STUBBORN = [
    *(sys.executable, "-c"),
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(600)",
]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """One that is ended after the test, if it runs."""
    process = Process("part", tmp_path / "stack")
    yield process
    process.stop(within=1)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is none of ours."""
    with subprocess.Popen(SLEEPS, stdout=subprocess.DEVNULL) as stranger:
        yield stranger
        stranger.kill()


def _await_word(process: Process) -> None:
    deadline = time.monotonic() + 60
    while "here" not in process.log.read_text():
        process.check()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _note(process: Process, content: str) -> None:
    process.folder.mkdir(parents=True, exist_ok=True)
    process.pid_file.write_text(content)


def test_it_runs_in_a_session_of_its_own_until_it_is_stopped(process: Process) -> None:
    assert process.pid() is None
    process.start(SLEEPS)
    pid = process.pid()
    assert pid is not None
    assert os.getsid(pid) == pid
    assert Path(f"/proc/{pid}/cwd").resolve() == process.folder.resolve()
    _await_word(process)
    process.stop()
    assert process.pid() is None
    assert not process.pid_file.exists()
    assert not Path(f"/proc/{pid}").exists(), "it stayed as a zombie"


def test_stopping_twice_is_stopping_once(process: Process) -> None:
    process.start(SLEEPS)
    process.stop()
    process.stop()
    assert process.pid() is None


def test_another_command_knows_it_by_its_file(process: Process) -> None:
    process.start(SLEEPS)
    pid = process.pid()
    code = (
        "import sys; from pathlib import Path; from coalmine.local.processes import Process; "
        "Process('part', Path(sys.argv[1])).stop()"
    )
    subprocess.run([sys.executable, "-c", code, str(process.folder)], check=True, timeout=60)
    assert process.pid() is None
    assert not Path(f"/proc/{pid}").exists(), "it stayed as a zombie of who started it"


def test_what_ignores_sigterm_is_ended_by_force(process: Process) -> None:
    process.start(STUBBORN)
    _await_word(process)
    pid = process.pid()
    process.stop(within=0.2)
    assert process.pid() is None
    assert not Path(f"/proc/{pid}").exists()


def test_a_process_runs_until_its_last_thread_has_ended(process: Process) -> None:
    lasting = (
        "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(600,)).start(); "
        "print('here', flush=True); ctypes.CDLL(None).pthread_exit(None)"
    )
    process.start([sys.executable, "-c", lasting])
    pid = process.pid()
    deadline = time.monotonic() + 60
    while ") Z " not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process.pid() == pid
    process.stop(within=1)
    assert process.pid() is None
    assert not Path(f"/proc/{pid}").exists()


def test_it_is_not_started_twice(process: Process) -> None:
    process.start(SLEEPS)
    pid = process.pid()
    with pytest.raises(LocalStackError, match=f"part runs already .pid {pid}.: run coalmine down first"):
        process.start(SLEEPS)
    assert process.pid() == pid


def test_a_pid_that_belongs_to_another_process_now_is_not_touched(
    process: Process, stranger: subprocess.Popen[bytes]
) -> None:
    _note(process, json.dumps({"pid": stranger.pid, "began": "1"}))
    assert process.pid() is None
    process.signal(signal.SIGKILL)
    process.stop()
    assert stranger.poll() is None
    assert not process.pid_file.exists()


@pytest.mark.parametrize(
    "content",
    ["", "12", "{", "[]", '{"pid": "x", "began": "1"}', '{"pid": 1}', '{"pid": null, "began": null}', "null"],
)
def test_a_file_that_says_nothing_is_a_process_that_does_not_run(process: Process, content: str) -> None:
    _note(process, content)
    assert process.pid() is None
    process.start(SLEEPS)
    assert process.pid() is not None


def test_a_process_that_died_is_gone_and_may_be_started_again(process: Process) -> None:
    process.start(SLEEPS)
    first = process.pid()
    process.signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while process.pid() is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process.pid_file.exists()
    process.start(SLEEPS)
    assert process.pid() not in (None, first)


async def test_one_that_ends_says_its_last_words(process: Process) -> None:
    process.start([sys.executable, "-c", "print('first'); print('no such database')"])
    [port] = free_ports(1)
    with pytest.raises(LocalStackError, match=r"part ended: no such database \(see .*part.log\)"):
        await await_port(process, port)


async def test_one_that_never_listens_is_said_to(process: Process) -> None:
    process.start(SLEEPS)
    [port] = free_ports(1)
    with pytest.raises(LocalStackError, match=rf"part does not listen on port {port} after 0.1 s: see .*part.log"):
        await await_port(process, port, within=0.1)


async def test_a_port_is_awaited(process: Process) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    process.start(SLEEPS)
    async with server:
        await await_port(process, server.sockets[0].getsockname()[1])


def test_a_program_that_is_not_there_is_named(process: Process) -> None:
    with pytest.raises(LocalStackError, match="part cannot be started: no-such-program: No such file"):
        process.start(["no-such-program"])
    assert process.pid() is None


def test_free_ports_are_all_different() -> None:
    assert len(set(free_ports(20))) == 20


def test_ports_are_taken_from_below_those_the_system_deals_out() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    dealt_out = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if dealt_out.exists():
        assert max(ports) < int(dealt_out.read_text().split()[0])
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()
