"""What the proxies and the route files showed while a rollout ran, seen from outside."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

from benchmarks.ground import canary_share_of
from coalmine.local.envoy import EnvoyProxy
from tests.faults import examine
from tests.faults.examine import Held

if TYPE_CHECKING:
    from tests.faults.act import Act

ALLOWED = frozenset({0.0, 10.0, 50.0, 100.0})
"""Shares of the canary in percent, by the steps of the spec."""
EVERYTHING = "I2: a bad canary got everything"


@dataclass
class Sightings:
    """Of one rollout, of its files in their order."""

    generations: list[list[int]]
    """Of each file, in the order seen."""
    contents: list[dict[int, set[str]]]
    """By file: the versions seen under each generation; there is one, or an older write came over its namesake."""
    held: Held = field(default_factory=dict)
    together: set[tuple[int, float]] = field(default_factory=set)
    """Every generation and share of the canary that a proxy showed together."""
    share: float = 0.0
    """What the first proxy shows."""


async def watch(act: Act) -> None:
    """Look at the files and proxies of a rollout until cancelled, and say what no proxy may show."""
    while True:
        for number, envoy in enumerate(act.envoys):
            document = json.loads(envoy.route_file.read_text())
            version = document["version_info"]
            generation = int(version.split(":")[0])
            written = generation, round(canary_share_of(document["resources"][0]), 2)
            act.seen.contents[number].setdefault(generation, set()).add(version)
            act.seen.generations[number].append(generation)
            if written not in act.seen.held:
                act.seen.held[written] = examine.in_ledger(act.scene.ground.folder, act.route)
            if number in act.deaf:
                continue
            approved = act.approved
            try:
                shown = await act.scene.ground.canary_shown(envoy)
            except (TimeoutError, aiohttp.ClientError):
                continue  # A fault began while we asked.
            share = shown[1]
            act.seen.together.add(shown)
            act.seen.share = share if number == 0 else act.seen.share
            if share not in {*ALLOWED, *act.by_hand.values()} or (share > 10 and not approved and not act.approved):
                act.add(f"I2: a proxy showed {share:g} % that no step and no approval allowed")
            if share == 100 and act.planned.bad:
                act.add(EVERYTHING)
        await asyncio.sleep(0.04)


def versions(envoys: Iterable[EnvoyProxy]) -> list[str]:
    """What the route files of these proxies say now."""
    return [json.loads(envoy.route_file.read_text()).get("version_info", "0") for envoy in envoys]


def by_guard(wrong: str, guarded: dict[int, float]) -> bool:
    """Whether a share that no step allowed is one that the guard ordered for a rollout which never wrote: that of
    the release before it, whose canary was a good one.
    """
    shares = set(guarded.values())
    shown = any(wrong.startswith(f"I2: a proxy showed {share:g} %") for share in shares)
    return shown or (wrong == EVERYTHING and 100.0 in shares)
