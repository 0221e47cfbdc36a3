"""Fences of routes in AWS: rows in a DynamoDB table by conditional writes, or in a folder of the worker's host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from activities.aws_services import AwsPlace, AwsRefused, AwsServices, telling
from activities.routers.aws_place import aws_place
from activities.routers.fences import FenceRow, FenceRows, Fences
from activities.routers.file_fences import FileFenceRows
from coalmine.errors import RouteRejected, RouterUnreachable
from coalmine.spec.aws_routes import FencedRoute

LEASE = 12.0
"""Seconds after which a holder counts as dead; it begins nothing in the second half of them."""
LATEST = 30.0
"""Seconds after which no write of an older holder can come through: half a lease, and three calls of 8 s."""


class DynamoFenceRows:
    """Rows as items of one table, whose key is ``route`` (text)."""

    def __init__(self, services: AwsServices, place: AwsPlace, table: str) -> None:
        self._services, self._place, self._table = services, place, table

    async def get(self, key: str) -> FenceRow:
        """The row of a route."""
        found = await self._ask("get_item", Key={"route": {"S": key}}, ConsistentRead=True)
        if "Item" not in found:
            return FenceRow()
        try:
            return FenceRow.parse(found["Item"]["row"]["S"])
        except (KeyError, ValueError) as error:
            mend = "remove the item when nothing is released, and the next write begins anew"
            raise RouteRejected(f"fence table {self._table}: holds no fence of {key} ({error}): {mend}") from error

    async def put(self, key: str, row: FenceRow) -> bool:
        """Write the row if nobody has written since it was read."""
        condition: dict[str, Any] = {
            "ConditionExpression": "#revision = :before",
            "ExpressionAttributeNames": {"#revision": "revision"},
            "ExpressionAttributeValues": {":before": {"N": str(row.revision - 1)}},
        }
        if row.revision == 1:
            condition = {
                "ConditionExpression": "attribute_not_exists(#revision)",
                "ExpressionAttributeNames": {"#revision": "revision"},
            }
        item = {"route": {"S": key}, "revision": {"N": str(row.revision)}, "row": {"S": row.text()}}
        try:
            await self._ask("put_item", Item=item, **condition)
        except RouteRejected as error:
            if isinstance(error.__cause__, AwsRefused) and error.__cause__.code == "ConditionalCheckFailedException":
                # boto3 asks twice: what the first try wrote fails the second.
                return await self.get(key) == row
            raise
        return True

    async def _ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        with telling(RouteRejected, RouterUnreachable, f"fence table {self._table}"):
            return await self._services.ask(self._place, "dynamodb", operation, TableName=self._table, **arguments)


class AwsFences:
    """The fences a router's routes name; each place has one for as long as the worker runs."""

    def __init__(self, services: AwsServices) -> None:
        self._services = services
        self._fences: dict[tuple[AwsPlace, str | None, str | None], Fences] = {}

    def of(self, options: FencedRoute) -> Fences:
        """Those of a route."""
        key = (aws_place(options), options.fence_table, options.fence_folder)
        if key not in self._fences:
            self._fences[key] = Fences(self._rows(options), LEASE)
        return self._fences[key]

    def _rows(self, options: FencedRoute) -> FenceRows:
        if options.fence_table is not None:
            return DynamoFenceRows(self._services, aws_place(options), options.fence_table)
        return FileFenceRows(Path(options.fence_folder or ""))
