"""The contract, kept by the router of feature flags: on files and on objects of S3, one and two."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from activities.routers import flag_places
from activities.routers.locked_files import replace
from coalmine.cli import _spec_health
from coalmine.errors import RouteUnconfirmed
from coalmine.spec.canary import CanarySpec
from coalmine.testing.router_contract import RouterContract
from coalmine.testing.router_fencing import FencingCases
from tests.routers.flag_worlds import FlagFilesWorld, FlagObjectsWorld, FlagWorld, text_of

SPEC: dict[str, Any] = {
    "service": "shop", "environment": "production",
    "arms": {"baseline": {"version": "1", "backend": "old"}, "canary": {"version": "2", "backend": "new"}},
    "steps": [{"weight": 10, "for": "10m"}],
    "metrics": [{"name": "errors", "kind": "ratio", "max": 0.02, "total": 'all{b="{arm.backend}"}',
                 "events": 'bad{b="{arm.backend}"}'}],
    "sources": {"prometheus": {"url": "http://127.0.0.1:9"}},
}  # fmt: skip


class TestFlagFile(FencingCases):
    @pytest.fixture
    def world(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlagWorld:
        return FlagFilesWorld(tmp_path, 1, monkeypatch)


class TestFlagFiles(RouterContract):
    @pytest.fixture
    def world(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlagWorld:
        return FlagFilesWorld(tmp_path, 2, monkeypatch)


@pytest.fixture(scope="module")
def _client_of_its_own() -> Iterator[None]:
    """The one that is kept for the process is made for the server of these tests, and of no others."""
    flag_places.forget_client()
    yield
    flag_places.forget_client()


@pytest.fixture
def bucket(_client_of_its_own: None, aws_environment: None) -> str:
    name = f"flags-{uuid.uuid4().hex[:8]}"
    place = {"LocationConstraint": "eu-west-1"}
    flag_places.kept_client().create_bucket(Bucket=name, CreateBucketConfiguration=place)
    return name


class TestFlagObject(FencingCases):
    @pytest.fixture
    def world(self, aws: str, bucket: str) -> FlagWorld:
        return FlagObjectsWorld(aws, bucket, 1)


async def test_the_check_and_doctor_do_not_say_that_an_object_can_be_written(aws: str, bucket: str) -> None:
    """Who may read it need not be who may write it, and S3 has no dry run."""
    world = FlagObjectsWorld(aws, bucket, 1)
    told = f"{world.places[0]}: can be read; that it can be written is known once the first step has done it"
    checks = await world.workers[0].check(world.route, ["old", "new"], [10])
    assert [check.reason for check in checks if "dry run" in check.name] == [told]
    spec = CanarySpec.model_validate(SPEC | {"route": world.route.model_dump()})
    health = await _spec_health._route(spec)
    assert _spec_health.route_lines(health, "route")[-1] == (True, "route write", told)


async def test_a_file_in_a_folder_that_takes_no_write_is_told_by_the_dry_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = FlagFilesWorld(tmp_path, 2, monkeypatch)
    router, place = world.workers[0], world.places[1]

    async def dry_runs() -> list[tuple[bool, str]]:
        checks = await router.check(world.route, ["old", "new"], [10])
        return [(check.ok, check.reason) for check in checks if check.name == "dry run"]

    fine = [(True, f"{there}: can be written, every step of it") for there in world.places]
    assert await dry_runs() == fine
    (tmp_path / "mounted").mkdir()
    (tmp_path / "flags-1.json").rename(tmp_path / "mounted" / "flags-1.json")
    (tmp_path / "flags-1.json").symlink_to(tmp_path / "mounted" / "flags-1.json")
    kept = (tmp_path / "mounted").resolve()

    def access(path: Path, mode: int) -> bool:
        return path != kept or not mode & os.W_OK

    def read_only(path: Path, text: str) -> None:
        if path.resolve().parent == kept:
            raise OSError(errno.EROFS, "Read-only file system")
        replace(path, text)

    # Tests may run as root, whom no mode of a folder stops.
    monkeypatch.setattr(os, "access", access)
    monkeypatch.setattr(flag_places, "replace", read_only)
    before = [text_of(Path(there)) for there in world.places]
    told = f"{place}: could not be written: the worker needs to write into its folder"
    assert await dry_runs() == [fine[0], (False, told)]
    spec = CanarySpec.model_validate(SPEC | {"route": world.route.model_dump()})
    health = await _spec_health._route(spec)
    assert (health.written, health.reason) == (False, told)
    assert [text_of(Path(there)) for there in world.places] == before
    with pytest.raises(RouteUnconfirmed, match=r"Read-only file system\): the worker needs to write into its folder"):
        await router.apply(world.route, {"old": 90, "new": 10}, 1)


class TestFlagObjects(RouterContract):
    @pytest.fixture
    def world(self, aws: str, bucket: str) -> FlagWorld:
        return FlagObjectsWorld(aws, bucket, 2)
