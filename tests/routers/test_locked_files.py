"""Files replaced whole, by one writer at a time."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from activities import lock_holder
from activities.routers import locked_files
from activities.routers.locked_files import locked, replace
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
