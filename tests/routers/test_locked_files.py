"""Files replaced whole, by one writer at a time."""

from __future__ import annotations

import errno
import os
import re
import threading
from pathlib import Path

import pytest

from activities import lock_holder
from activities.routers import locked_files
from activities.routers.haproxy_map import HAPROXY, HAProxyMap
from activities.routers.locked_files import locked, replace
from activities.routers.route_files import RouteFiles
from coalmine.errors import RouterUnreachable


def test_the_text_is_replaced_and_the_mode_stays(tmp_path: Path) -> None:
    path = tmp_path / "route.json"
    path.write_text("old")
    path.chmod(0o640)
    inode = path.stat().st_ino
    replace(path, "new ü")
    assert path.read_text() == "new ü"
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.stat().st_ino != inode
    assert [file.name for file in tmp_path.iterdir()] == ["route.json"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target = tmp_path / "real" / "route.json"
    target.parent.mkdir()
    target.write_text("old")
    link = tmp_path / "route.json"
    link.symlink_to(target)
    replace(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_what_a_dead_writer_left_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "route.json"
    path.write_text("old")
    (tmp_path / ".route.json.coalmine-draft").write_text("half a rou")
    replace(path, "new")
    assert path.read_text() == "new"


def test_a_failed_write_leaves_the_old_text_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "route.json"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        replace(path, "half\ud800")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("route.json", "old")]


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    inside: list[int] = []
    worst: list[int] = []

    def write(order: int) -> None:
        for _ in range(20):
            with locked(paths[::order]):
                inside.append(order)
                worst.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=write, args=(order,)) for order in (1, -1, 1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(worst) == 1


def test_a_lock_that_is_never_let_go_is_an_error_that_may_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locked_files, "LOCK_PATIENCE", 0.02)
    path = tmp_path / "route.json"
    holder = rf"route\.json: process {os.getpid()} has held its lock for 0\.02 s: .*kill -CONT"
    with locked([path]), pytest.raises(RouterUnreachable, match=holder), locked([path]):
        pass
    monkeypatch.setattr(lock_holder, "LOCKS", tmp_path / "no-such-list")
    with locked([path]), pytest.raises(RouterUnreachable, match="another process has held"), locked([path]):
        pass
    with locked([path]):
        pass


@pytest.mark.parametrize(("folder", "lock"), [(0o755, 0o600), (0o775, 0o660), (0o777, 0o666)])
def test_whoever_may_write_the_folder_may_lock_whatever_the_umask(tmp_path: Path, folder: int, lock: int) -> None:
    tmp_path.chmod(folder)
    before = os.umask(0o077)
    try:
        with locked([tmp_path / "route.json"]):
            assert (tmp_path / ".route.json.coalmine-lock").stat().st_mode & 0o777 == lock
    finally:
        os.umask(before)


def forbid(patch: pytest.MonkeyPatch, flags: int) -> None:
    """Let locks be another user's: none is opened with these flags (mode bits are no hindrance to root)."""
    real = os.open

    def opened(path: Path, asked: int, mode: int = 0o777) -> int:
        if str(path).endswith("-lock") and asked & os.O_ACCMODE in (flags, os.O_RDWR):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, asked, mode)

    patch.setattr(os, "open", opened)


def test_a_lock_that_may_only_be_read_keeps_the_other_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locked_files, "LOCK_PATIENCE", 0.02)
    path = tmp_path / "route.json"
    with locked([path]):
        forbid(monkeypatch, os.O_RDWR)
        with pytest.raises(RouterUnreachable, match="has held its lock"), locked([path]):
            pass
    with locked([path]):
        pass


def test_without_the_lock_of_another_user_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "route.map"
    path.write_text("0:9999 stable\n")
    with locked([path]):
        pass
    forbid(monkeypatch, os.O_RDONLY)
    told = r"its lock \.route\.map\.coalmine-lock could not be opened \(Permission denied\).*one user"
    files = RouteFiles(HAProxyMap, HAPROXY)
    with pytest.raises(RouterUnreachable, match=told):
        files.write([str(path)], "route", {"stable": 5000, "canary": 5000}, 1)
    assert path.read_text() == "0:9999 stable\n"
    monkeypatch.setattr(os, "access", lambda asked, mode: not str(asked).endswith("-lock"))
    assert re.search(told, files.rehearse([str(path)], "route", {"stable": 5000, "canary": 5000})[str(path)])


def test_where_no_lock_can_be_made_for_want_of_anything_else_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, asked: int, mode: int = 0o777) -> int:
        raise (
            FileNotFoundError(errno.ENOENT, "")
            if not asked & os.O_CREAT
            else OSError(errno.EMFILE, "Too many open files")
        )

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(RouterUnreachable, match="Too many open files"), locked([tmp_path / "route.json"]):
        pass
