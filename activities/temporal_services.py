"""Connections to the Temporal whose workers are released: the one of our own worker, or another that a spec names."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import activity
from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.service import RPCError, RPCStatusCode

from coalmine import connection
from coalmine.errors import CoalmineError, InputError

WITHIN = timedelta(seconds=5)
"""How long one call may take: the server answers about a deployment it has just changed after a second."""
BUSY = "too many requests issued to Worker Deployment"
"""What the server answers to more than a few questions at once about one deployment or build."""
PATIENCE = 30.0
"""Seconds for which a busy deployment is asked again; the activity that asks has a shorter limit of its own."""
PAUSE = (0.05, 0.25)
"""Seconds between, at random so that those who wait do not meet again."""
Answer = TypeVar("Answer")
REFUSALS = frozenset(
    {
        RPCStatusCode.INVALID_ARGUMENT,
        RPCStatusCode.NOT_FOUND,
        RPCStatusCode.FAILED_PRECONDITION,
        RPCStatusCode.PERMISSION_DENIED,
        RPCStatusCode.UNAUTHENTICATED,
        RPCStatusCode.UNIMPLEMENTED,
        RPCStatusCode.OUT_OF_RANGE,
    }
)
"""Answers that stay the same when one asks again."""


@dataclass(frozen=True)
class Place:
    """Where a deployment is; what is not said is as our own worker has it."""

    address: str | None = None
    namespace: str | None = None
    profile: str | None = None


class TemporalServices:
    """Clients by place; each is made when it is first asked for, and kept."""

    def __init__(self) -> None:
        self._made: dict[Place, Client] = {}
        self._making = asyncio.Lock()

    async def client(self, place: Place) -> Client:
        """A client for the place.

        Raises:
            TemporalUnavailable: nobody answers there.
            InputError: the profile cannot be used.
        """
        if place.address is None and place.profile is None and activity.in_activity():
            own = activity.client()
            if place.namespace in (None, own.namespace):
                return own
        async with self._making:
            if place not in self._made:
                self._made[place] = await _connect(place)
            return self._made[place]


async def _connect(place: Place) -> Client:
    if place.address is not None:
        # Without our own worker's key and certificates: they are for another server.
        settings = connection.Settings(place.address, place.namespace or "default", "the spec's address", None, {})
        return await connection.connect_client(settings)
    environ = dict(os.environ)
    if place.profile is not None:
        try:
            found = ClientConfig.load_client_connect_config(profile=place.profile, disable_env=True)
        except (RuntimeError, ValueError, OSError) as error:
            raise InputError(f"profile {place.profile!r}: {error} (in the worker's Temporal configuration)") from None
        options: dict[str, Any] = dict(found)
        address = options.pop("target_host", None)
        if not address:
            raise InputError(f"profile {place.profile!r} has no address: give it one in the Temporal configuration")
        namespace = place.namespace or options.pop("namespace", None) or "default"
        options.pop("namespace", None)
        return await connection.connect_client(
            connection.Settings(address, namespace, f"profile {place.profile!r}", None, options)
        )
    own = connection.settings(environ=environ)
    namespace = place.namespace or own.namespace
    return await connection.connect_client(
        connection.Settings(own.address, namespace, own.origin, own.ui, own.options, own.keys)
    )


async def ask(
    call: Callable[..., Awaitable[Answer]],
    request: Any,
    *,
    refused: type[CoalmineError],
    unreachable: type[CoalmineError],
    within: timedelta = WITHIN,
) -> Answer:
    """One call to the service, whose refusals are told apart from silence; again while it is too busy with one thing.

    Args:
        call: a method of ``client.workflow_service``.
        request: what it takes.
        refused: raised when the same question would be refused again.
        unreachable: raised when asking again may help.
        within: how long it may take.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE
    while True:
        try:
            return await call(request, timeout=within)
        except RPCError as error:
            text = (error.message or str(error)).strip().splitlines()[0]
            if BUSY not in text or loop.time() > until:
                kind = refused if error.status in REFUSALS else unreachable
                raise kind(f"Temporal answered {error.status.name.lower().replace('_', ' ')}: {text}") from error
        except (OSError, RuntimeError) as error:
            raise unreachable(f"Temporal did not answer: {error}") from error
        await asyncio.sleep(random.uniform(*PAUSE))
