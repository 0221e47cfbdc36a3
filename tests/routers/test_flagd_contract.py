"""The contract, kept by the router of feature flags: on files and on objects of S3, one and two."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.routers import flag_places
from coalmine.testing.router_contract import RouterContract
from coalmine.testing.router_fencing import FencingCases
from tests.routers.flag_worlds import FlagFilesWorld, FlagObjectsWorld, FlagWorld


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


class TestFlagObjects(RouterContract):
    @pytest.fixture
    def world(self, aws: str, bucket: str) -> FlagWorld:
        return FlagObjectsWorld(aws, bucket, 2)
