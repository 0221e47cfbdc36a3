"""Whether a Temporal namespace has what rollouts need, and the exact commands that bring what is missing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from coalmine.connection import meaning
from coalmine.search_attributes import SEARCH_ATTRIBUTES

RETENTION = timedelta(days=30)
"""How long a namespace we create keeps closed rollouts."""
VISIBLE_WITHIN = 60.0
"""Seconds until a server's caches show what was just created."""
_CALL = timedelta(seconds=10)
_KINDS = {
    "Keyword": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "Int": IndexedValueType.INDEXED_VALUE_TYPE_INT,
}


@dataclass(frozen=True)
class Lack:
    """One thing that is missing or wrong, and the command a human runs against it."""

    what: str
    command: str

    def __str__(self) -> str:
        return f"{self.what}; run: {self.command}"


async def find_lacks(client: Client) -> list[Lack]:
    """What the client's namespace lacks; empty when all is well.

    Raises:
        TemporalUnavailable: the server does not answer, or does not let us look.
    """
    namespace = client.namespace
    if not await _namespace_exists(client):
        retention = f"{RETENTION.days * 24}h"
        create = f"temporal operator namespace create --namespace {namespace} --retention {retention}"
        return [Lack(f"namespace {namespace!r} does not exist", create), *_lacks_of(namespace, {})]
    try:
        listed = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=namespace), timeout=_CALL
        )
    except RPCError as error:
        raise meaning(error, f"the search attributes of namespace {namespace!r}", namespace, _CALL) from error
    return _lacks_of(namespace, listed.custom_attributes)


async def create_missing(client: Client) -> list[str]:
    """Create the namespace and the search attributes that are not there, as a local stack may, and wait for them.

    Returns:
        What was created, in words.

    Raises:
        TemporalUnavailable: an attribute has another type (nothing but a human mends that), or the server refused.
    """
    namespace, created = client.namespace, []
    try:
        if not await _namespace_exists(client):
            await client.workflow_service.register_namespace(
                RegisterNamespaceRequest(
                    namespace=namespace,
                    workflow_execution_retention_period=Duration(seconds=int(RETENTION.total_seconds())),
                ),
                timeout=_CALL,
            )
            created.append(f"namespace {namespace}")
            await _until_visible(client)
        listed = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=namespace), timeout=_CALL
        )
        missing = {
            name: _KINDS[kind] for name, kind in SEARCH_ATTRIBUTES.items() if name not in listed.custom_attributes
        }
        if missing:
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(namespace=namespace, search_attributes=missing), timeout=_CALL
            )
            created += [f"search attribute {name}" for name in missing]
    except RPCError as error:
        raise meaning(error, f"creating what namespace {namespace!r} lacks", namespace, _CALL) from error
    deadline = time.monotonic() + VISIBLE_WITHIN
    while created and await find_lacks(client) and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    return created


def complaint(lacks: Sequence[Lack]) -> str:
    """All that is missing, with the commands, a line each."""
    return "\n".join(str(lack) for lack in lacks)


async def _until_visible(client: Client) -> None:
    """Wait until the server's caches know a namespace that was just registered."""
    deadline = time.monotonic() + VISIBLE_WITHIN
    while True:
        try:
            await client.operator_service.list_search_attributes(
                ListSearchAttributesRequest(namespace=client.namespace), timeout=_CALL
            )
            return
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND or time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.2)


async def _namespace_exists(client: Client) -> bool:
    try:
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace), timeout=_CALL
        )
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise meaning(error, f"namespace {client.namespace!r}", client.namespace, _CALL) from error
    return True


def _lacks_of(namespace: str, found: Mapping[str, IndexedValueType.ValueType]) -> list[Lack]:
    lacks: list[Lack] = []
    missing = [name for name in SEARCH_ATTRIBUTES if name not in found]
    if missing:
        pairs = " ".join(f"--name {name} --type {SEARCH_ATTRIBUTES[name]}" for name in missing)
        lacks.append(
            Lack(
                f"namespace {namespace!r} lacks the search attributes {', '.join(missing)}",
                f"temporal operator search-attribute create --namespace {namespace} {pairs}",
            )
        )
    for name, kind in SEARCH_ATTRIBUTES.items():
        if name in found and found[name] != _KINDS[kind]:
            is_kind = IndexedValueType.Name(found[name]).removeprefix("INDEXED_VALUE_TYPE_").title()
            lacks.append(
                Lack(
                    f"search attribute {name} of namespace {namespace!r} is {is_kind} and must be {kind}",
                    f"temporal operator search-attribute remove --namespace {namespace} --name {name} --yes && "
                    f"temporal operator search-attribute create --namespace {namespace} --name {name} --type {kind}",
                )
            )
    return lacks
