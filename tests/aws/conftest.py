"""What the tests of AWS need beside the server."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tests.aws.places import client
from tests.aws.worlds import AlbWorld, LambdaWorld, Route53World


@pytest.fixture
def table(aws_environment: None) -> str:
    """A table that keeps fences."""
    name = f"fences-{uuid.uuid4().hex[:8]}"
    client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "route", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "route", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


@pytest.fixture
def lambda_world(aws: str, aws_environment: None) -> LambdaWorld:
    return LambdaWorld(aws)


@pytest.fixture
def alb_world(aws: str, table: str) -> AlbWorld:
    return AlbWorld(aws, {"fence_table": table})


@pytest.fixture
def alb_file_world(aws: str, aws_environment: None, tmp_path: Path) -> AlbWorld:
    return AlbWorld(aws, {"fence_folder": str(tmp_path / "fences")})


@pytest.fixture
def route53_world(aws: str, table: str) -> Route53World:
    return Route53World(aws, table)
