"""What interfaces need of ``coalmine.client.Coalmine``, as protocols.

``coalmine.testing.fake_rollouts`` is another one. The errors are those of ``Coalmine``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from coalmine.recorded import Recorded
from coalmine.records import CommandReceipt, DecisionLog, Receipt, RolloutStatus, Verb
from coalmine.searching import RolloutRef, RolloutRow
from coalmine.spec.canary import CanarySpec
from coalmine.timeline import TimelineEntry


class Rollouts(Protocol):
    """The rollouts of one namespace: asked, and told something."""

    async def find(self, name: str, environment: str | None = None, region: str | None = None) -> RolloutRef:
        """The rollout a name means."""
        ...

    async def rollouts(
        self,
        *,
        service: str | None = None,
        environment: str | None = None,
        region: str | None = None,
        running: bool | None = None,
        phase: str | None = None,
        workflow_ids: Sequence[str] | None = None,
        limit: int = 50,
    ) -> list[RolloutRow]:
        """Rollouts as their search attributes show them: the latest started open ones, then the latest closed."""
        ...

    async def status(self, ref: RolloutRef) -> RolloutStatus:
        """Everything about a rollout now."""
        ...

    async def decisions(self, ref: RolloutRef) -> DecisionLog:
        """Every decision, and every refused input."""
        ...

    async def send(
        self,
        ref: RolloutRef,
        verb: Verb,
        *,
        by: str,
        reason: str = "",
        gate: str | None = None,
        attempt: int | None = None,
        longer: timedelta | None = None,
        token: str | None = None,
        break_glass: bool = False,
        once: str | None = None,
    ) -> CommandReceipt:
        """Say something to a rollout; the same ``once`` is said once."""
        ...

    def ui_link(self, workflow_id: str, run_id: str | None = None) -> str | None:
        """Where the Temporal UI shows it."""
        ...


class Releases(Rollouts, Protocol):
    """Rollouts that are started too, and whose past is read."""

    async def history(self, ref: RolloutRef, everything: bool = False) -> list[TimelineEntry]:
        """What happened, in words."""
        ...

    async def unlike(self, known: Sequence[RolloutRow], limit: int = 500) -> list[RolloutRow]:
        """Open rollouts in another phase, at another weight or with another outcome than known, and unknown ones.

        At least ``limit`` of them, the latest started, or all; who asks again with these hears of the others.
        """
        ...

    async def mark(self, ref: RolloutRef) -> str:
        """Text that is another one after anything happened to a rollout; no worker is asked."""
        ...

    async def recorded(self, ref: RolloutRef) -> Recorded:
        """What every look found, and what was shifted when."""
        ...

    async def start(
        self,
        spec: CanarySpec,
        *,
        by: str,
        automated: bool = False,
        reason: str = "",
        advise: bool = False,
        during_freeze: bool = False,
        authors: Sequence[str] = (),
        token: str = "",
        within: timedelta = timedelta(seconds=30),
    ) -> Receipt:
        """Start a release, or attach to it."""
        ...
