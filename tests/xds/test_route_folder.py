"""The folder a control plane serves: what is taken up, and what is left as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from activities.routers.envoy_users import NOBODY
from coalmine.errors import RouteRejected, StaleGeneration
from coalmine.local.envoy import route_response
from coalmine.xds.route_folder import RouteFolder

HALF = {"stable": 5_000, "canary": 5_000}


def put(folder: Path, file: str, name: str, version: str = "0") -> Path:
    path = folder / file
    path.write_text(json.dumps(route_response(name, {"stable": 10_000, "canary": 0}, version)))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> RouteFolder:
    put(tmp_path, "shop.json", "shop")
    folder = RouteFolder(tmp_path)
    assert folder.look()
    return folder


def versions(folder: RouteFolder) -> dict[str, str]:
    return {name: served.version for name, served in folder.served.items()}


def test_a_look_finds_what_is_new_and_what_others_have_changed(folder: RouteFolder) -> None:
    assert not folder.look()
    put(folder.folder, "store.json", "store")
    put(folder.folder, "shop.json", "shop", "deployed")
    (folder.folder / "notes.txt").write_text("nothing to serve")
    (folder.folder / ".draft.json").write_text("{")
    assert folder.look()
    assert versions(folder) == {"shop": "deployed", "store": "0"}
    assert folder.trouble == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is not valid JSON"),
        ("[]", "is not a DiscoveryResponse"),
        ('{"resources": [{"@type": "RouteConfiguration", "name": "shop", "virtual_hosts": [3]}]}', "Envoy would take"),
        (json.dumps(route_response("shop", {"stable": 0})), "all weights are zero"),
        (json.dumps(route_response("shop", {"stable": 1})).replace("domains", "domain"), "domain"),
    ],
)
def test_of_a_broken_file_what_it_said_before_is_served(folder: RouteFolder, text: str, told: str) -> None:
    before = folder.served
    path = folder.folder / "shop.json"
    path.write_text(text)
    assert not folder.look()
    assert folder.served == before
    assert told in folder.trouble[str(path)]
    with pytest.raises(RouteRejected, match="proxies keep what it said before"):
        folder.read("shop")
    put(folder.folder, "shop.json", "shop", "mended")
    assert folder.read("shop").version.text == "mended"
    assert folder.trouble == {}


def test_a_file_that_is_gone_takes_no_route_from_anybody(folder: RouteFolder) -> None:
    (folder.folder / "shop.json").unlink()
    assert not folder.look()
    assert versions(folder) == {"shop": "0"}
    with pytest.raises(RouteRejected, match=r"is not there.*proxies keep"):
        folder.read("shop")


def test_two_files_with_one_route_are_named(folder: RouteFolder) -> None:
    second = put(folder.folder, "zz.json", "shop", "other")
    folder.look()
    assert versions(folder) == {"shop": "0"}
    assert str(folder.folder / "shop.json") in folder.trouble[str(second)]


def test_a_route_may_move_to_another_file(folder: RouteFolder) -> None:
    (folder.folder / "shop.json").unlink()
    put(folder.folder, "moved.json", "shop", "moved")
    folder.look()
    assert folder.read("shop").version.text == "moved"
    assert folder.trouble == {}


def test_a_write_is_in_the_file_before_it_is_served(folder: RouteFolder) -> None:
    result = folder.write("shop", HALF, 3, NOBODY)
    version = json.loads((folder.folder / "shop.json").read_text())["version_info"]
    assert versions(folder) == {"shop": version}
    assert version.startswith("3:")
    with pytest.raises(StaleGeneration):
        folder.write("shop", HALF, 2, NOBODY)
    assert folder.put_back(result.written[0], "shop", 3)
    assert folder.read("shop").splits[0].live == {"stable": 100.0}
    assert folder.read("shop").version.generation == 3


def test_a_route_nobody_has_is_refused_with_those_that_are_there(folder: RouteFolder) -> None:
    for ask in (folder.read, lambda name: folder.rehearse(name, HALF, NOBODY)):
        with pytest.raises(RouteRejected, match=r"route 'stor' \(there are: 'shop'\)"):
            ask("stor")


def test_what_would_be_no_route_is_not_written(folder: RouteFolder) -> None:
    before = (folder.folder / "shop.json").read_text()
    assert "no entry of route 'shop'" in folder.rehearse("shop", {"ghost": 10_000}, NOBODY)
    with pytest.raises(RouteRejected, match="no entry of route 'shop'"):
        folder.write("shop", {"ghost": 10_000}, 1, NOBODY)
    assert (folder.folder / "shop.json").read_text() == before


def test_a_folder_that_is_gone_is_told(folder: RouteFolder, tmp_path: Path) -> None:
    (tmp_path / "shop.json").unlink()
    tmp_path.rmdir()
    assert not folder.look()
    assert versions(folder) == {"shop": "0"}
    assert "cannot be read" in folder.trouble[str(tmp_path)]
