"""The contract, kept by the router of feature flags: on one file, on two, and on an object of S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

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
def store() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class TestFlagObject(RouterContract):
    @pytest.fixture
    def world(self, store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FlagWorld:
        for name, value in (
            ("AWS_ENDPOINT_URL", store), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_DEFAULT_REGION", "us-east-1"), ("AWS_CONFIG_FILE", str(tmp_path / "none")),
        ):  # fmt: skip
            monkeypatch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="flags")
        client.put_object(Bucket="flags", Key="shop/flags.json", Body=definitions().encode())
        client.close()
        return FlagObjectWorld(["s3://flags/shop/flags.json"])
