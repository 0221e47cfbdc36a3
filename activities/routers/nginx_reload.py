"""How a running nginx is told to load its configuration: by its master's pid, one at a time.

Source: https://nginx.org/en/docs/control.html
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import time
from pathlib import Path

from activities.routers.nginx_process import master_of, now, started
from activities.routers.splits import Silent
from coalmine.spec.proxy_routes import NginxProxy

_FIRST = 0.2
"""Seconds a master must have run before it is told to reload: its first workers come without that tenth of a second by
which those of two reloads are told apart."""


def reload(proxy: NginxProxy, every: float) -> float:
    """Tell the master to load its configuration, at most once in ``every`` seconds whoever asks on this host.

    Returns:
        0 when it was told, else the seconds to wait before asking again.

    Raises:
        Silent: it does not run, or we may not tell it.
    """
    try:
        descriptor = os.open(_turns(proxy), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    except OSError as error:
        raise Silent(_no_turns(proxy, error.strerror)) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return every / 10
        stat = os.fstat(descriptor)
        since = time.time() - stat.st_mtime
        if stat.st_size and 0 <= since < every:
            return every - since
        master = master_of(proxy)
        if (age := now() - started(master)) < _FIRST:
            return _FIRST - age
        os.kill(master, signal.SIGHUP)
        os.pwrite(descriptor, b"r", 0)
        os.utime(descriptor)
        return 0.0
    except OSError as error:
        raise Silent(_no_signal(proxy, error)) from error
    finally:
        os.close(descriptor)


def reload_problem(proxy: NginxProxy) -> str:
    """Why ``reload`` could not tell the master; empty when it could. Nothing is told, and nothing written."""
    turns = _turns(proxy)
    if not os.access(turns if os.access(turns, os.F_OK) else turns.parent, os.R_OK | os.W_OK):
        return _no_turns(proxy, os.strerror(errno.EACCES))
    try:
        os.kill(master_of(proxy), 0)
    except Silent as error:
        return str(error)
    except OSError as error:
        return _no_signal(proxy, error)
    return ""


def _turns(proxy: NginxProxy) -> Path:
    """The file whose age says whose turn it is to reload."""
    path = Path(proxy.pid)
    return path.with_name(f".{path.name}.coalmine-reload")


def _no_turns(proxy: NginxProxy, why: str | None) -> str:
    return f"{proxy.status}: the worker cannot write beside {proxy.pid} ({why})"


def _no_signal(proxy: NginxProxy, error: OSError) -> str:
    return f"{proxy.status}: the worker cannot signal nginx ({error.strerror}): it needs its user, or root"
