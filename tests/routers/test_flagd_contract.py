"""The contract, kept by the router of feature flags: on one file, on two, and on an object of S3."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.routers import flag_places
from coalmine.testing.router_contract import RouterContract
from coalmine.testing.router_fencing import FencingCases
from tests.routers.flag_worlds import FlagFilesWorld, FlagObjectWorld, FlagWorld, definitions


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


class TestFlagObject(RouterContract):
    @pytest.fixture
    def world(self, _client_of_its_own: None, aws_environment: None) -> FlagWorld:
        client, bucket = flag_places.kept_client(), f"flags-{uuid.uuid4().hex[:8]}"
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        client.put_object(Bucket=bucket, Key="shop/flags.json", Body=definitions().encode())
        return FlagObjectWorld([f"s3://{bucket}/shop/flags.json"])
