"""Who holds a file's lock, for the message of whoever waits for it in vain."""

from __future__ import annotations

import os
from pathlib import Path

LOCKS = Path("/proc/locks")
"""Linux lists every lock here (proc_locks(5)): kind, mode, process, and the file by device and inode."""
MEND = "a process that was stopped keeps its locks until it goes on (kill -CONT) or ends"


def lock_holder(descriptor: int) -> str:
    """The process that holds the ``flock`` of an open file: ``process 1234``, or ``another process`` where the system
    does not say, such as when it runs in another container.
    """
    try:
        stat = os.fstat(descriptor)
        lines = LOCKS.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return "another process"
    file = f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"
    for line in lines:
        # A line with an arrow is one who waits.
        fields = line.split()
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == file and int(fields[4]) > 0:
            return f"process {fields[4]}"
    return "another process"
