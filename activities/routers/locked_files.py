"""Several files replaced by one writer at a time on this host, each whole or not at all.

The lock is ``flock`` on a file beside each: it is gone when its holder dies. It does not reach across hosts. Whoever
may write into the folder may lock, whoever made the lock file and with which umask.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from activities.lock_holder import MEND, lock_holder
from coalmine.errors import RouterUnreachable

LOCK_PATIENCE = 2.0
"""Seconds to wait for another writer, who holds the lock for milliseconds."""
_RETRY = 0.002
_TICK = 1_000_000
"""Nanoseconds: a reader that keeps times as floating seconds tells these apart."""
_NO_WRITE = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS}
"""Why no lock can be made where nothing else can be written either."""


@contextmanager
def locked(paths: Iterable[Path]) -> Iterator[None]:
    """Hold the locks of all files; always in the same order, so that two writers never wait for each other.

    A folder that is not there, or cannot be written, is not locked: writing into it will fail with its own reason.

    Raises:
        RouterUnreachable: another writer did not let go in time, or the lock cannot be opened.
    """
    # Tries, not a moment: for a process that was stopped and goes on, no other writer has held the lock meanwhile.
    tries = round(LOCK_PATIENCE / _RETRY)
    with ExitStack() as held:
        for path in sorted({path.resolve() for path in paths}):
            lock = _beside(path, "lock")
            try:
                descriptor = _opened(lock)
            except OSError as error:
                if error.errno not in _NO_WRITE or os.path.lexists(lock):
                    # Somebody may hold it unseen, and the folder may take our write all the same.
                    raise RouterUnreachable(_shut(path, error.strerror or str(error))) from error
                continue
            held.callback(os.close, descriptor)
            while not _try_lock(descriptor):
                if not tries:
                    raise RouterUnreachable(
                        f"{path}: {lock_holder(descriptor)} has held its lock for {LOCK_PATIENCE:g} s: {MEND}"
                    )
                tries -= 1
                time.sleep(_RETRY)
        yield


def lock_problem(path: Path) -> str:
    """Why the file's lock could not be opened, as far as that is known without doing it; empty when it could."""
    path = path.resolve()
    lock = _beside(path, "lock")
    return _shut(path, "Permission denied") if os.path.lexists(lock) and not os.access(lock, os.R_OK) else ""


def replace(path: Path, text: str, *, create: bool = False) -> None:
    """Replace a file under its lock; a reader, or a crash at any moment, finds the old or the new text, whole.

    Mode and, where it may, owner stay: the proxy often runs as another user. Its time of change is later than the old
    one's, however coarse the disk's clock: some readers look at nothing else. A file that is not there is an error,
    unless ``create``.

    Raises:
        OSError: it could not be written; the old text is there.
    """
    path = path.resolve()
    old = path.stat() if path.exists() or not create else None
    draft = _beside(path, "draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), old.st_mode & 0o7777 if old else 0o660)
            if old and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()) and os.geteuid() == 0:
                os.fchown(stream.fileno(), old.st_uid, old.st_gid)
            stream.write(text)
            stream.flush()
            if old:
                now = os.fstat(stream.fileno()).st_mtime_ns
                os.utime(stream.fileno(), ns=(now, max(now, old.st_mtime_ns + _TICK)))
            os.fsync(stream.fileno())
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _beside(path: Path, what: str) -> Path:
    # A leading dot and another ending: Envoy's watch and a shell's glob leave it alone.
    return path.with_name(f".{path.name}.coalmine-{what}")


def _shut(path: Path, reason: str) -> str:
    lock = _beside(path, "lock").name
    mend = "let all workers run as one user, or remove the lock while none of them runs"
    return f"{path}: its lock {lock} could not be opened ({reason}), so nothing is written: {mend}"


def _opened(lock: Path) -> int:
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(lock, os.O_RDWR | flags)
    except FileNotFoundError:
        pass
    except PermissionError:
        # Another user's: who may read a file may lock it.
        return os.open(lock, os.O_RDONLY | flags)
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | flags, 0o600)
    except FileExistsError:
        return _opened(lock)
    _share(descriptor, lock.parent)
    return descriptor


def _share(descriptor: int, folder: Path) -> None:
    """Let all lock who may write into the folder: they could remove the lock as well."""
    about = folder.stat()
    # Not ours to give: the others are told that they cannot open it.
    with suppress(OSError):
        os.fchown(descriptor, -1, about.st_gid)
    writers = about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    os.fchmod(descriptor, 0o600 | writers << 1 | writers)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
