"""The check ``traffic`` of ``doctor``: what the traffic guard would find, looked at from here."""

from __future__ import annotations

import asyncio
from typing import Literal

from temporalio.client import Client

from activities.guard import GuardActivities
from activities.routers.registry import Routers
from coalmine.errors import CoalmineError
from coalmine.guard_client import status
from coalmine.records import RouteFinding

WITHIN = 30.0
"""Seconds all routes together may take."""
SHOWN = 20
"""Findings that are listed."""
Told = tuple[Literal["ok", "warning", "error"], str, str]


async def traffic(client: Client) -> list[Told]:
    """Level, detail and mend for each route that is not at rest; one line when all are. Never raises for an answer."""
    try:
        async with asyncio.timeout(WITHIN):
            survey = await GuardActivities(client, Routers()).survey(None)
    except TimeoutError:
        return [("warning", f"the routes were not read within {WITHIN:g} s", "")]
    except CoalmineError as error:
        return [("warning", f"the routes could not be looked at: {error}", "")]
    told = [await _told(client, finding) for finding in survey.findings[:SHOWN]]
    more = len(survey.findings) - SHOWN
    if more > 0:
        told.append(("error", f"and {more} routes more", ""))
    told += [
        ("warning", f"{key.removeprefix('canary/')}: where its route should rest cannot be told: {why}", "")
        for key, why in list(survey.unknown.items())[:SHOWN]
    ]
    if survey.cut:
        told.append(("warning", "there are more rollouts than are looked at: the oldest were left out", ""))
    owned = f"{len(survey.live)} with a live rollout"
    return told or [("ok", f"{survey.looked} routes at rest are as they have to be; {owned}", "")]


async def _told(client: Client, finding: RouteFinding) -> Told:
    name = finding.workflow_id.removeprefix("canary/")
    if finding.kind == "unreadable":
        return (
            "warning",
            f"{name}: {finding.reason}",
            "look from where the worker is: its files and proxies may be there only",
        )
    environment = name.split("/")[0]
    try:
        guarded = (await status(client, environment)).running
    except CoalmineError:
        guarded = False
    mend = f"coalmine guard -e {environment} --status" if guarded else f"coalmine guard -e {environment}"
    return "error", f"{name}: {finding.reason}", mend
