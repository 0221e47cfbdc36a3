"""The text of a route file, and in words why it cannot be read or written."""

from __future__ import annotations

import os
import re
from pathlib import Path

from activities.routers.locked_files import lock_problem
from coalmine.errors import RouteRejected, RouterUnreachable

FOLDER = "the worker needs to write into its folder"
MOUNTED = ": it is mounted by itself; mount its folder, so that it can be replaced whole"
MOUNTS = Path("/proc/self/mountinfo")
"""Linux lists every mount here, the place in the fifth field, its blanks as octal numbers (proc_pid_mountinfo(5))."""
_OCTAL = re.compile(r"\\([0-7]{3})")


def text_of(path: str) -> str:
    """What the file says.

    Raises:
        RouteRejected: it is not there, or is no text.
        RouterUnreachable: it could not be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RouteRejected(f"{path}: is not there: route.files names the files the proxies read") from error
    except UnicodeDecodeError as error:
        raise RouteRejected(f"{path}: is not UTF-8") from error
    except OSError as error:
        raise RouterUnreachable(f"{path}: could not be read ({error.strerror})") from error


def unwritable(path: str) -> str:
    """Why the file could not be replaced, as far as that is known without writing; empty when it could."""
    if not os.access(Path(path).resolve().parent, os.W_OK | os.X_OK):
        return f"{path}: could not be written: {FOLDER}"
    if _mounted(path):
        return f"{path}: could not be written{MOUNTED}"
    return lock_problem(Path(path))


def mend_of(error: OSError) -> str:
    """What to do when a file could not be written; empty when that is not known."""
    if error.errno in (16, 18):
        return MOUNTED
    if error.errno in (1, 13, 30):
        return f": {FOLDER}"
    return ""


def _mounted(path: str) -> bool:
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return False
    places = {
        _OCTAL.sub(lambda code: chr(int(code[1], 8)), line.split(" ")[4]) for line in lines if line.count(" ") > 4
    }
    return str(Path(path).resolve()) in places
