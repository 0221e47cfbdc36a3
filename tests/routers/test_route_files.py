"""What is written into route files, and put back, whatever the plane."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from activities.routers import route_text
from activities.routers.envoy_document import RouteDocument
from activities.routers.haproxy_map import HAPROXY, HAProxyMap
from activities.routers.nginx_split import NGINX, NginxSplit
from activities.routers.route_files import RouteFiles, is_written
from activities.routers.splits import DocumentType, Terms
from coalmine.local.envoy import route_response

BEFORE = {
    ".map": "0:9999 stable\n",
    ".conf": 'split_clients "${request_id}" $shop { * stable; }\nmap "" $shop_route { default "0"; }\n',
}


@pytest.mark.parametrize(
    ("ending", "document", "terms", "ours", "theirs"),
    [
        (".map", HAProxyMap, HAPROXY, "0:8999", "0:7999"),
        (".map", HAProxyMap, HAPROXY, "10000 5:", "10000 6:"),
        (".conf", NginxSplit, NGINX, "90.00%", "80.00%"),
        (".conf", NginxSplit, NGINX, '"5:', '"6:'),
    ],
)
def test_a_file_that_hands_changed_after_a_refused_write_is_not_put_back(
    ending: str, document: DocumentType, terms: Terms, ours: str, theirs: str, tmp_path: Path
) -> None:
    path, files = tmp_path / f"shop{ending}", RouteFiles(document, terms)
    path.write_text(BEFORE[ending])
    written = files.write([str(path)], "shop", {"stable": 9000, "canary": 1000}, 5).written
    changed = (
        path.read_text().replace(ours, theirs).replace("9000:9999", "8000:9999" if "7999" in theirs else "9000:9999")
    )
    path.write_text(changed)
    assert files.put_back(written, "shop", 5) == []
    assert path.read_text() == changed


def test_a_file_that_is_as_it_was_written_is_put_back_under_the_refused_generation(tmp_path: Path) -> None:
    path, files = tmp_path / "shop.map", RouteFiles(HAProxyMap, HAPROXY)
    path.write_text(BEFORE[".map"])
    written = files.write([str(path)], "shop", {"stable": 9000, "canary": 1000}, 5).written
    (back,) = files.put_back(written, "shop", 5)
    assert (back.version.generation, back.splits[0].live) == (5, {"stable": 100})
    assert path.read_text().startswith(BEFORE[".map"])


def test_a_file_that_is_mounted_by_itself_cannot_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    path, mounts = folder / "shop.conf", tmp_path / "mountinfo"
    path.write_text(BEFORE[".conf"])
    place = str(path).replace(" ", "\\040")
    mounts.write_text(
        f"22 27 0:21 / /proc rw - proc proc rw\n23 27 8:1 /shop.conf {place} rw,relatime - ext4 /dev/sda rw\n"
    )
    files, units = RouteFiles(NginxSplit, NGINX), {"stable": 5000, "canary": 5000}
    assert files.rehearse([str(path)], "shop", units) == {}
    monkeypatch.setattr(route_text, "MOUNTS", mounts)
    assert "it is mounted by itself; mount its folder" in files.rehearse([str(path)], "shop", units)[str(path)]
    monkeypatch.setattr(route_text, "MOUNTS", tmp_path / "not-linux")
    assert files.rehearse([str(path)], "shop", units) == {}


def test_a_file_that_names_no_arm_any_more_is_not_taken_for_written(tmp_path: Path) -> None:
    path, files = tmp_path / "shop.yaml", RouteFiles(RouteDocument)
    path.write_text(json.dumps(route_response("shop", {"stable": 10_000})))
    files.write([str(path)], "shop", {"stable": 10_000}, 5)
    path.write_text(path.read_text().replace("stable", "legacy"))
    assert not is_written(files.read(str(path), "shop"), {"stable": 10_000}, 5)
    failed = files.write([str(path)], "shop", {"stable": 10_000}, 5).failed[str(path)]
    assert "no entry of route 'shop' names 'stable'" in str(failed)
