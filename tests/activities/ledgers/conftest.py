"""A bucket that answers as S3 does."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from coalmine.spec.ledger import Ledger
from tests.activities.ledgers.worlds import S3World, bucket_name


@pytest.fixture(scope="session")
def s3(aws: str) -> Any:
    """A client of it, to make and to look into buckets."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.session.Session(**keys, region_name="eu-west-1").client("s3", endpoint_url=aws)


@pytest.fixture
def bucket(s3: Any, aws_environment: None) -> str:
    """An empty bucket."""
    name = bucket_name()
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return name


@pytest.fixture
def s3_world(bucket: str) -> S3World:
    """A ledger in it, below a prefix."""
    return S3World(Ledger(kind="s3", bucket=bucket, prefix="coalmine/"))
