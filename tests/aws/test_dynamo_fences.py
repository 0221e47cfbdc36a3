"""The contract of fences over a table, and what a broken table is told as."""

from __future__ import annotations

import pytest

from activities.aws_services import AwsPlace, shared_services
from activities.routers.aws_fences import DynamoFenceRows
from coalmine.errors import RouteRejected, RouterUnreachable
from coalmine.testing.aws_faults import AwsFault, add_fault, clear_faults
from coalmine.testing.fence_contract import FenceContract, Stores
from tests.aws.places import client


def rows(table: str) -> DynamoFenceRows:
    return DynamoFenceRows(shared_services(), AwsPlace(), table)


class TestDynamoFences(FenceContract):
    @pytest.fixture
    def stores(self, table: str) -> Stores:
        return [rows(table), rows(table)]


async def test_no_such_table_is_named(aws_environment: None) -> None:
    with pytest.raises(RouteRejected, match="fence table nowhere"):
        await rows("nowhere").get("route")


async def test_a_forbidden_table_says_what_to_allow(aws: str, table: str) -> None:
    clear_faults(aws)
    add_fault(aws, AwsFault(rf"GetItem\n.*{table}", code="AccessDeniedException"))
    with pytest.raises(RouteRejected, match=r"let the worker's role do dynamodb:GetItem"):
        await rows(table).get("route")


async def test_a_busy_table_is_worth_another_try(aws: str, table: str) -> None:
    clear_faults(aws)
    add_fault(aws, AwsFault(rf"GetItem\n.*{table}", code="ProvisionedThroughputExceededException", times=-1))
    with pytest.raises(RouterUnreachable, match="ProvisionedThroughputExceededException"):
        await rows(table).get("route")
    clear_faults(aws)


async def test_something_else_in_its_place_is_no_fence(table: str) -> None:
    client("dynamodb").put_item(TableName=table, Item={"route": {"S": "shop"}, "row": {"S": "{}}"}})
    with pytest.raises(RouteRejected, match="holds no fence of shop"):
        await rows(table).get("shop")
