"""A bucket that answers as S3 does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from coalmine.spec.canary import Ledger
from tests.activities.ledgers.worlds import S3World, bucket_name, moto_server


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a ``moto_server`` process."""
    with moto_server(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture(scope="session")
def s3(aws: str) -> Any:
    """A client of it, to make and to look into buckets."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.session.Session(**keys, region_name="eu-west-1").client("s3", endpoint_url=aws)


@pytest.fixture
def environment(aws: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What leads a ledger there, and to no other AWS."""
    for variable in ("AWS_PROFILE", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", aws)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def bucket(s3: Any, environment: None) -> str:
    """An empty bucket."""
    name = bucket_name()
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return name


@pytest.fixture
def s3_world(bucket: str) -> S3World:
    """A ledger in it, below a prefix."""
    return S3World(Ledger(kind="s3", bucket=bucket, prefix="coalmine/"))
