"""An alias of a Lambda function: how its versions share the traffic, and what its description says of that.

The generation stands at the very end, where builds that know of no weights look for it, and the weights before it. It
counts wherever it stands: people write behind it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from activities.routers.weights import TOTAL
from coalmine.errors import RouteRejected, StaleGeneration

LONGEST_DESCRIPTION = 256
_MARK = re.compile(r"\s*\[coalmine (?:generation (\d+)|(\d+): ([\d=. ]+))\]", re.ASCII)


@dataclass(frozen=True)
class Alias:
    """One alias as it was read: ``shares`` in units of 0.01 % by version."""

    name: str
    shares: Mapping[str, int]
    primary: str
    said: str
    """The description, without our marks."""
    generation: int
    revision: str
    given: str = ""
    """The shares its generation was written with, as ``shares_text`` has them; empty where nobody wrote them down."""

    @property
    def meddled(self) -> str:
        """Why its shares are not those of its generation; empty when they are, or cannot be compared."""
        if self.given in ("", now := shares_text(self.live)):
            return ""
        return (
            f"{self.name}: shows generation {self.generation} with other weights than were written "
            f"({now}, not {self.given})"
        )

    @property
    def live(self) -> dict[str, int]:
        """Versions that get traffic."""
        return {version: share for version, share in self.shares.items() if share}


def shares_text(shares: Mapping[str, int]) -> str:
    """Shares as the description has them: ``VERSION=PERCENT`` of those that get traffic."""
    return " ".join(f"{version}={share * 100 / TOTAL:g}" for version, share in sorted(shares.items()) if share)


def alias_of(function: str, answer: Mapping[str, Any]) -> Alias:
    """What Lambda answers of an alias."""
    further = (answer.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    shares = {str(version): round(share * TOTAL) for version, share in further.items()}
    primary = str(answer["FunctionVersion"])
    shares = {primary: TOTAL - sum(shares.values()), **shares}
    said = answer.get("Description") or ""
    marks = [(int(mark[1] or mark[2]), mark[3]) for mark in _MARK.finditer(said)]
    generation = max((number for number, _ in marks), default=0)
    return Alias(
        name=f"{function}:{answer['Name']}",
        shares=shares,
        primary=primary,
        said=_MARK.sub("", said),
        generation=generation,
        revision=answer["RevisionId"],
        # A worker of an older build writes its generation behind whatever it finds.
        given=next((shares for number, shares in marks if shares and number == generation), ""),
    )


def is_written(alias: Alias, wanted: Mapping[str, int] | None, generation: int) -> bool:
    """Whether it carries this generation already, with these weights (None: whatever they are).

    Raises:
        StaleGeneration: it carries a newer generation, or this one with other weights.
    """
    if alias.generation > generation:
        raise StaleGeneration(f"{alias.name}: carries generation {alias.generation}, newer than {generation}")
    if alias.generation < generation:
        return False
    if wanted is not None and alias.live != dict(wanted):
        raise StaleGeneration(f"{alias.name}: carries generation {generation} with other weights")
    return True


def written(alias: Alias, shares: Mapping[str, int], generation: int) -> dict[str, Any]:
    """What ``update_alias`` is to be told.

    Raises:
        RouteRejected: the description has no room for the generation.
    """
    mark = f"[coalmine generation {generation}]"
    before = f"{alias.said} " if alias.said else ""
    description = f"{before}[coalmine {generation}: {shares_text(shares)}] {mark}"
    if len(description) > LONGEST_DESCRIPTION:
        # The fence first: without the weights nobody can tell later that hands changed them.
        description = before + mark
    if len(description) > LONGEST_DESCRIPTION:
        raise RouteRejected(
            f"{alias.name}: its description has no room for {mark!r}: "
            f"shorten it to {LONGEST_DESCRIPTION - 40} characters"
        )
    # Who is primary changes as late as can be: of two that share, AWS shows the primary as "the" version.
    primary = alias.primary if alias.primary in shares else max(shares, key=lambda version: shares[version])
    further = {version: share / TOTAL for version, share in shares.items() if version != primary}
    return {
        "FunctionVersion": primary,
        "RoutingConfig": {"AdditionalVersionWeights": further},
        "Description": description,
        "RevisionId": alias.revision,
    }
