"""A running nginx: its configuration tested and dumped by its own program, its processes by their titles.

Source: https://nginx.org/en/docs/control.html
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from activities.routers.splits import Silent
from coalmine.spec.proxy_routes import NginxProxy

TEST_PATIENCE = 2.0
"""Seconds a test of the configuration may take; it takes hundredths, and no rollback is held up by it for longer."""
OVERLAP = 2.0
"""Seconds after which old workers have surely heard of a reload: nginx tells them after a tenth of a second."""
CONNECT_PATIENCE = 0.5
"""Seconds an upstream's server may take to let us in."""
_TOGETHER = 0.08
"""Seconds between the starts of two workers of one reload; those of the next come at least a tenth of one later."""
_TICK = os.sysconf("SC_CLK_TCK")
_FILE = re.compile(r"^# configuration file (?P<path>.+):$", re.MULTILINE)
_UPSTREAM = re.compile(r"\bupstream\s+(?P<name>[^\s{]+)\s*\{(?P<body>[^{}]*)\}")
_KEPT_OVER_RELOADS = re.compile(r"\bkeepalive_(?:timeout\s+0+(?:ms|s)?|min_timeout\s+(?!0+(?:ms|s)?\s*;)[^\s;]+)\s*;")
"""No connection is kept, or those that are kept outlive a reload."""
LOSES_REQUESTS = (
    "a change is a reload, which closes connections that clients keep: requests sent on them just then are lost; write "
    "keepalive_min_timeout 60s; (nginx 1.27.4 and newer), or keepalive_timeout 0;"
)
_SERVER = re.compile(r"\bserver\s+(?P<address>[^\s;]+)(?P<parameters>[^;]*);")


class Untested(Silent):
    """Raised when nothing is known of the configuration: its test hung, as it does while a name is not resolved."""


@dataclass(frozen=True)
class Configuration:
    """What ``nginx -T`` tells: its files, its upstreams' servers that are not ``down``, what its users should know."""

    files: frozenset[str] = frozenset()
    upstreams: dict[str, list[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def configuration_problem(proxy: NginxProxy) -> str:
    """Why nginx would not take its configuration as it is on disk; empty when it would. Blocks.

    Raises:
        Untested: it hangs.
        Silent: the program is not there.
    """
    code, output = _nginx(proxy, "-t", "-q")
    return " ".join(output.split()) if code else ""


def configuration(proxy: NginxProxy) -> Configuration:
    """The configuration as it is on disk. Blocks.

    Raises:
        Untested: it hangs.
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
    return Configuration(files, upstreams, () if _KEPT_OVER_RELOADS.search(text) else (LOSES_REQUESTS,))


def of_one_reload(proxy: NginxProxy) -> bool:
    """Whether all worker processes that take new connections run the same configuration.

    During a reload these are the new ones and the old ones: nginx starts the new ones, and tells the old ones a tenth
    of a second later; those say so in their titles. So workers that were started apart are of two reloads; unless the
    last start was long ago: then a worker had died, and was replaced. How many there should be is not asked: the file
    may say another number by now, and ``nginx -g`` may.

    Raises:
        Silent: it does not run, or its program is being replaced, and two masters share the connections.
    """
    master = master_of(proxy)
    with suppress(OSError, ValueError):
        former = int(Path(f"{proxy.pid}.oldbin").read_text())
        if former != master and Path(f"/proc/{former}/cmdline").read_bytes().startswith(b"nginx: master"):
            raise Silent(f"{proxy.status}: nginx is being upgraded: its former master ({former}) takes connections too")
    try:
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    except OSError as error:
        raise Silent(f"{proxy.status}: the processes of nginx cannot be seen ({error.strerror})") from error
    starts = []
    for child in children:
        # One that ends meanwhile takes none.
        with suppress(OSError):
            if Path(f"/proc/{child}/cmdline").read_bytes().rstrip(b"\0 ") == b"nginx: worker process":
                starts.append(started(int(child)))
    starts.sort()
    together = all(later - earlier < _TOGETHER for earlier, later in pairwise(starts))
    return bool(starts) and (together or now() - starts[-1] > OVERLAP)


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


def master_of(proxy: NginxProxy) -> int:
    """The pid of its master.

    Raises:
        Silent: it does not run.
    """
    try:
        pid = int(Path(proxy.pid).read_text())
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError) as error:
        raise Silent(f"{proxy.status}: {proxy.pid} names no process: does nginx run?") from error
    if not title.startswith(b"nginx: master"):
        raise Silent(f"{proxy.status}: {proxy.pid} names {pid}, which is no nginx: name its pid file in route.proxies")
    return pid


def started(pid: int) -> float:
    """When a process was started, in seconds since the host was.

    Raises:
        OSError: it has ended.
    """
    # Its name is in brackets, and may have brackets and blanks in it.
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[19]) / _TICK


def now() -> float:
    """In the seconds of ``started``."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _program(proxy: NginxProxy) -> str:
    """The very program that runs: another build may not know what its configuration says."""
    with suppress(Silent, OSError):
        running = Path(f"/proc/{master_of(proxy)}/exe").readlink()
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
        raise Untested(f"{proxy.status}: nginx {' '.join(options)} took more than {TEST_PATIENCE:g} s") from error
    return ran.returncode, ran.stdout.decode(errors="replace")
