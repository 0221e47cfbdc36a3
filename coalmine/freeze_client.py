"""Freezing a service, an environment or everything, lifting that, and asking what is frozen."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from temporalio.client import Client

from coalmine.errors import InputError, RolloutNotFound
from coalmine.fleet_client import update_fleet
from coalmine.questions import ask
from coalmine.records import EVERYWHERE, BrakeAction, Freeze, FreezeOrder, Frozen, Thaw, fleet_id
from coalmine.spec.canary import IDENTIFIER

WITHIN = timedelta(seconds=10)
"""How long a question waits for a worker."""


async def freeze(
    client: Client,
    environment: str,
    service: str | None = None,
    *,
    by: str,
    reason: str,
    until: datetime | None = None,
    brake: BrakeAction | None = None,
) -> Frozen:
    """Let nothing start, and have the brake tell what is in flight where that is asked for.

    Args:
        environment: ``EVERYWHERE`` is every one.
        service: One service alone; None = all of them.
        until: With a time zone; None = until it is lifted.
        brake: What becomes of the rollouts that run; None = they go on.

    Returns:
        What is frozen now, and whom the brake has told so far: it goes on until nobody is left.

    Raises:
        InputError: no spec could have these names, so nothing would be frozen.
        RefusedError: the reason is missing, the end lies behind, the brake is pulled for one service.
        TemporalUnavailable: no worker answers.
    """
    _check_names(environment, service)
    new = Freeze(environment=environment, service=service, by=by, reason=reason, until=until)
    return await update_fleet(client, environment, "freeze", FreezeOrder(freeze=new, brake=brake), Frozen)


async def unfreeze(client: Client, environment: str, service: str | None = None, *, by: str) -> Frozen:
    """Lift a freeze; answers with the one that was.

    Raises:
        InputError: no spec could have these names.
        RefusedError: it is not frozen; says what is.
        TemporalUnavailable: no worker answers.
    """
    _check_names(environment, service)
    given = Thaw(environment=environment, service=service, by=by)
    return await update_fleet(client, environment, "unfreeze", given, Frozen)


async def freezes(client: Client, environment: str) -> Frozen:
    """What is frozen in an environment, by itself and with all others, and its brake that was pulled last.

    Raises:
        InputError: no environment can have this name.
        TemporalUnavailable: no worker answers.
    """
    _check_names(environment, None)
    here = await _asked(client, environment)
    if environment == EVERYWHERE:
        return here
    all_over = await _asked(client, EVERYWHERE)
    return here.model_copy(
        update={"freezes": [*all_over.freezes, *here.freezes], "brake": here.brake or all_over.brake}
    )


async def _asked(client: Client, environment: str) -> Frozen:
    try:
        return await ask(client, client.get_workflow_handle(fleet_id(environment)), "freezes", Frozen, WITHIN)
    except RolloutNotFound:
        return Frozen()


def _check_names(environment: str, service: str | None) -> None:
    for key, name in (("environment", None if environment == EVERYWHERE else environment), ("service", service)):
        if name is not None and not re.fullmatch(IDENTIFIER, name):
            raise InputError(f"{key}: {name!r} cannot be a name: it has letters, digits, '.', '_' and '-' only")
