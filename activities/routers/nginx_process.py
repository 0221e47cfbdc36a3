"""A running nginx: its configuration tested and dumped by its own program, and reloaded by its master's pid.

Source: https://nginx.org/en/docs/control.html
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from activities.routers.splits import Silent
from coalmine.spec.proxy_routes import NginxProxy

TEST_PATIENCE = 10.0
"""Seconds a test of the configuration may take; it takes hundredths."""
CONNECT_PATIENCE = 0.5
"""Seconds an upstream's server may take to let us in."""
_FILE = re.compile(r"^# configuration file (?P<path>.+):$", re.MULTILINE)
_UPSTREAM = re.compile(r"\bupstream\s+(?P<name>[^\s{]+)\s*\{(?P<body>[^{}]*)\}")
_WORKERS = re.compile(r"\bworker_processes\s+(?P<count>auto|[0-9]+)\s*;")
_SERVER = re.compile(r"\bserver\s+(?P<address>[^\s;]+)(?P<parameters>[^;]*);")


@dataclass(frozen=True)
class Configuration:
    """What ``nginx -T`` tells: its files, its upstreams' servers that are not ``down``, how many worker processes."""

    files: frozenset[str] = frozenset()
    upstreams: dict[str, list[str]] = field(default_factory=dict)
    workers: int = 1


def configuration_problem(proxy: NginxProxy) -> str:
    """Why nginx would not take its configuration as it is on disk; empty when it would. Blocks.

    Raises:
        Silent: the program is not there or hangs.
    """
    code, output = _nginx(proxy, "-t", "-q")
    return " ".join(output.split()) if code else ""


def configuration(proxy: NginxProxy) -> Configuration:
    """The configuration as it is on disk. Blocks.

    Raises:
        Silent: nginx does not take it.
    """
    code, output = _nginx(proxy, "-T")
    if code:
        raise Silent(f"{proxy.status}: nginx does not take {proxy.config}: {' '.join(output.split())[-400:]}")
    text = re.sub(r"#(?! configuration file )[^\n]*", "", output)
    upstreams = {
        match["name"]: [
            server["address"]
            for server in _SERVER.finditer(match["body"])
            if "down" not in server["parameters"].split()
        ]
        for match in _UPSTREAM.finditer(text)
    }
    files = frozenset(match["path"] for match in _FILE.finditer(output))
    workers = _WORKERS.search(text)
    count = workers["count"] if workers else "1"
    return Configuration(files, upstreams, (os.cpu_count() or 1) if count == "auto" else int(count))


def taking_connections(proxy: NginxProxy) -> int:
    """How many worker processes take new connections; during a reload these are the new ones and the old ones.

    nginx starts the new ones, and tells the old ones a tenth of a second later; those say so in their titles.

    Raises:
        Silent: it does not run.
    """
    master = _master(proxy)
    try:
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    except OSError as error:
        raise Silent(f"{proxy.status}: the processes of nginx cannot be seen ({error.strerror})") from error
    titles = []
    for child in children:
        # One that ends meanwhile takes none.
        with suppress(OSError):
            titles.append(Path(f"/proc/{child}/cmdline").read_bytes().rstrip(b"\0 "))
    return sum(title == b"nginx: worker process" for title in titles)


async def reachable(addresses: Collection[str]) -> int:
    """How many of an upstream's servers let us in: open nginx does not say which it can reach."""

    async def reach(address: str) -> bool:
        try:
            async with asyncio.timeout(CONNECT_PATIENCE):
                if address.startswith("unix:"):
                    _, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
                else:
                    host, colon, port = address.rpartition(":")
                    if not colon or address.endswith("]"):
                        host, port = address, "80"
                    _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except (OSError, TimeoutError, ValueError):
            return False
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return True

    return sum(await asyncio.gather(*(reach(address) for address in addresses)))


def reload(proxy: NginxProxy, every: float) -> float:
    """Tell the master to load its configuration, at most once in ``every`` seconds whoever asks on this host.

    Returns:
        0 when it was told, else the seconds to wait before asking again.

    Raises:
        Silent: it does not run, or we may not tell it.
    """
    path = Path(proxy.pid)
    try:
        descriptor = os.open(
            path.with_name(f".{path.name}.coalmine-reload"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660
        )
    except OSError as error:
        raise Silent(f"{proxy.status}: the worker cannot write beside {path} ({error.strerror})") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return every / 10
        stat = os.fstat(descriptor)
        since = time.time() - stat.st_mtime
        if stat.st_size and 0 <= since < every:
            return every - since
        os.kill(_master(proxy), signal.SIGHUP)
        os.pwrite(descriptor, b"r", 0)
        os.utime(descriptor)
        return 0.0
    except (ProcessLookupError, PermissionError) as error:
        raise Silent(
            f"{proxy.status}: the worker cannot signal nginx ({error.strerror}): it needs its user, or root"
        ) from error
    finally:
        os.close(descriptor)


def _master(proxy: NginxProxy) -> int:
    try:
        pid = int(Path(proxy.pid).read_text())
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError) as error:
        raise Silent(f"{proxy.status}: {proxy.pid} names no process: does nginx run?") from error
    if not title.startswith(b"nginx: master"):
        raise Silent(f"{proxy.status}: {proxy.pid} names {pid}, which is no nginx: name its pid file in route.proxies")
    return pid


def _program(proxy: NginxProxy) -> str:
    """The very program that runs: another build may not know what its configuration says."""
    with suppress(Silent, OSError):
        running = Path(f"/proc/{_master(proxy)}/exe").readlink()
        if running.exists():
            return str(running)
    # Debian puts it where only root's PATH looks.
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Silent(f"{proxy.status}: the program nginx is not on the worker's host")
    return found


def _nginx(proxy: NginxProxy, *options: str) -> tuple[int, str]:
    found = _program(proxy)
    try:
        ran = subprocess.run(
            [found, *options, "-c", proxy.config],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TEST_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Silent(f"{proxy.status}: nginx {' '.join(options)} took more than {TEST_PATIENCE:g} s") from error
    return ran.returncode, ran.stdout.decode(errors="replace")
