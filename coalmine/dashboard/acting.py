"""Saying something to a rollout for a person: signed with the dashboard's key, so that workers need not trust its word.

The worker verifies the signature (docs/identity.md): the key is one that signs for anyone, and the token names the
person whom this server has authenticated, the rollout, the gate, the attempt and the reason that the person saw.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from coalmine.cli._signing import SIGNED
from coalmine.dashboard.people import Person
from coalmine.errors import InputError, RefusedError, TemporalUnavailable
from coalmine.identity.claims import Decided, longer_said, start_subject
from coalmine.identity.service import sign_for
from coalmine.records import CommandReceipt, Receipt, RolloutStatus, Verb, canary_id
from coalmine.rollouts import Releases
from coalmine.searching import RolloutRef
from coalmine.spec.canary import CanarySpec
from coalmine.spec.digest import spec_digest

TRIES = 3
"""A run that continued as new between question and word is asked and told again."""


@dataclass(frozen=True)
class Said:
    """One thing a person says, with what they saw when they said it."""

    verb: Verb
    reason: str = ""
    gate: str | None = None
    attempt: int | None = None
    longer: timedelta | None = None
    rollout_id: str = ""
    """The rollout that was shown; empty: whichever is the service's latest."""
    run_id: str = ""
    """The run that was shown."""
    once: str | None = None
    """Identifies what is said: the same again, of the same run, gets the first answer."""


@dataclass(frozen=True)
class Actor:
    """Carries out what people say."""

    rollouts: Releases
    key: dict[str, Any] | None = field(default=None, repr=False)
    """The signing key; None: only people whom nobody has to prove act."""

    def why_not(self, person: Person | None) -> str:
        """Why somebody may not act; empty when they may."""
        if person is None:
            return "Nobody knows who you are, so this page only shows: see docs/dashboard.md, --auth."
        if person.proved_by and self.key is None:
            return "This server has no key to sign decisions with, so it only shows: docs/dashboard.md, --sign-with."
        return ""

    async def say(self, ref: RolloutRef, said: Said, person: Person) -> CommandReceipt:
        """Sign it and send it. A rollback is left for the next worker while none answers, if its run is known.

        Raises:
            InputError: something is missing.
            RefusedError: it means nothing now, or was meant for another rollout; says why.
            TemporalUnavailable: no worker answers.
        """
        if reason := self.why_not(person):
            raise RefusedError(reason)
        if said.verb is Verb.PROMOTE and not said.reason.strip():
            raise InputError("reason: it is empty: promote overrides steps, gates and the proof of no harm: say why")
        meant = said.rollout_id
        for left in reversed(range(TRIES)):
            try:
                status = await self.rollouts.status(ref)
            except TemporalUnavailable:
                if said.verb is not Verb.ROLLBACK or (meant and not said.run_id):
                    raise
                run = RolloutRef(ref.workflow_id, said.run_id or ref.run_id)
                return await self.rollouts.send(run, said.verb, by=person.name, reason=said.reason, once=said.once)
            meant = meant or status.rollout_id
            if meant and status.rollout_id != meant:
                break
            # The run is named, so that it can be no other rollout's that took the id over a moment ago.
            pinned = RolloutRef(status.workflow_id or ref.workflow_id, status.run_id or ref.run_id)
            try:
                return await self.rollouts.send(
                    pinned,
                    said.verb,
                    by=person.name,
                    reason=said.reason,
                    gate=said.gate,
                    attempt=said.attempt,
                    longer=said.longer,
                    token=self._token(said, status, person),
                    once=said.once,
                )
            except RefusedError:
                now = await self.rollouts.status(ref)
                if not left or now.run_id == status.run_id:
                    raise
        raise RefusedError(f"{meant} is not running any more: {status.rollout_id} is. Open its page and decide anew")

    async def start(
        self,
        spec: CanarySpec,
        person: Person,
        *,
        reason: str = "",
        advise: bool = False,
        during_freeze: bool = False,
        authors: Sequence[str] = (),
        automated: bool = False,
    ) -> Receipt:
        """Start a release, signed for a person; the same again attaches.

        Raises:
            RefusedError: the workflow refused it.
            TemporalUnavailable: no worker took it.
        """
        if why := self.why_not(person):
            raise RefusedError(why)
        subject = start_subject(
            canary_id(spec.environment, spec.service, spec.region), spec.arms.canary.version, spec_digest(spec)
        )
        return await self.rollouts.start(
            spec,
            by=person.name,
            automated=automated,
            reason=reason,
            advise=advise,
            during_freeze=during_freeze,
            authors=authors,
            token=self._signed(Decided("start", subject, reason), person),
        )

    def _token(self, said: Said, status: RolloutStatus, person: Person) -> str | None:
        if said.verb not in SIGNED:
            return None
        gate, attempt = None, None
        if said.verb is Verb.APPROVE:
            shown = status.gate
            gate = said.gate or (shown.name if shown else "")
            attempt = said.attempt or (shown.attempt if shown and shown.name == gate else 1)
        longer = longer_said(said.longer) if said.verb is Verb.EXTEND else None
        decided = Decided(str(said.verb), status.rollout_id, said.reason, gate, attempt, longer=longer)
        return self._signed(decided, person) or None

    def _signed(self, decided: Decided, person: Person) -> str:
        if self.key is None or not person.proved_by:
            return ""
        now, token_id = datetime.now(UTC), secrets.token_hex(16)
        return sign_for(self.key, person.name, person.groups, decided, now, token_id)
