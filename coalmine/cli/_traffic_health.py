"""The checks ``traffic`` and ``guard`` of ``doctor``: what a guard would find, and whether one is there to find it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Literal

from temporalio.client import Client

from activities.guard import GuardActivities
from activities.routers.registry import Routers
from coalmine.errors import CoalmineError
from coalmine.guard_client import status
from coalmine.guarding import CUT
from coalmine.records import GuardStatus, RouteFinding
from coalmine.spec.durations import format_duration

WITHIN = 30.0
"""Seconds all routes together may take."""
SHOWN = 20
"""Findings that are listed."""
MISSED = 3
"""Looks in a row that a guard may be late before something is wrong with it."""
LEAST_LATE = timedelta(minutes=1)
Told = tuple[Literal["ok", "warning", "error"], str, str]


async def traffic(client: Client) -> tuple[list[Told], list[Told]]:
    """Level, detail and mend: of each route that is not at rest, and of each environment's guard.

    One line when all routes are at rest. Never raises for an answer.
    """
    try:
        async with asyncio.timeout(WITHIN):
            survey = await GuardActivities(client, Routers()).survey(None)
    except TimeoutError:
        return [("warning", f"the routes were not read within {WITHIN:g} s", "")], []
    except CoalmineError as error:
        return [("warning", f"the routes could not be looked at: {error}", "")], []
    told: list[Told] = [
        ("error", f"{one.workflow_id.removeprefix('canary/')}: {one.reason}", one.mend) for one in survey.stuck[:SHOWN]
    ]
    more = len(survey.stuck) + len(survey.also_stuck) - SHOWN
    if more > 0:
        told.append(("error", f"and {more} rollouts more are stuck", ""))
    told += [await _told(client, finding) for finding in survey.findings[:SHOWN]]
    more = len(survey.findings) - SHOWN
    if more > 0:
        told.append(("error", f"and {more} routes more", ""))
    told += [
        ("warning", f"{key.removeprefix('canary/')}: where its route should rest cannot be told: {why}", "")
        for key, why in list(survey.unknown.items())[:SHOWN]
    ]
    if survey.cut:
        told.append(("warning", CUT, ""))
    owned = f"{len(survey.live)} with a live rollout"
    told = told or [("ok", f"{survey.looked} routes at rest are as they have to be; {owned}", "")]
    seen = {watched.environment for watched in survey.watched}
    seen |= {key.split("/")[1] for key in (*survey.live, *survey.unknown)}
    return told, [await _guard(client, environment) for environment in sorted(seen)[:SHOWN]]


async def _guard(client: Client, environment: str) -> Told:
    """Whether somebody watches an environment that has rollouts."""
    try:
        found = await status(client, environment)
    except CoalmineError as error:
        return "warning", f"the guard of {environment} could not be asked: {error}", "coalmine worker"
    return of_guard(found, datetime.now(UTC))


def of_guard(found: GuardStatus, now: datetime) -> Told:
    """What is to be said of a guard."""
    name, shows = f"the guard of {found.environment}", f"coalmine guard -e {found.environment} --status"
    if not found.running:
        left = "what a terminated rollout leaves split, or a hand changes afterwards, nobody finds"
        return "warning", f"{name} is off: {left}", f"coalmine guard -e {found.environment}"
    every = format_duration(found.settings.every)
    if found.last_look is None:
        return "warning", f"{name} has not looked yet, and should every {every}", shows
    ago = now - found.last_look
    said = f"looked {format_duration(timedelta(seconds=round(ago.total_seconds())))} ago, and should every {every}"
    if ago > max(MISSED * found.settings.every, LEAST_LATE):
        return "error", f"{name} {said}: a worker is missing, or its looks fail", shows
    if found.failure:
        return "warning", f"{name} {said}, but did not see everything: {found.failure}", shows
    return "ok", f"{name} {said}; findings open: {len(found.findings) + len(found.stuck)}", ""


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
