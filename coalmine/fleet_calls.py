"""What concerns a whole environment: bans, slots, freezes. Part of ``Coalmine``."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeVar

from temporalio.client import Client

from coalmine.errors import RolloutNotFound
from coalmine.fleet_client import ask_fleet, check_names, update_fleet
from coalmine.questions import ask
from coalmine.records import (
    EVERYWHERE,
    Ban,
    BrakeAction,
    FleetRequest,
    FleetState,
    Freeze,
    FreezeOrder,
    Frozen,
    Record,
    SlotBook,
    SlotLimit,
    Thaw,
    fleet_id,
)

WITHIN = timedelta(seconds=10)
"""How long a question waits for a worker."""
Answer = TypeVar("Answer", bound=Record)


class FleetCalls:
    """``Coalmine`` inherits it."""

    temporal: Client

    async def ban(
        self, environment: str, service: str, version: str, *, by: str, reason: str = "", region: str | None = None
    ) -> Ban:
        """Keep automation from starting this version.

        Raises:
            RefusedError: something is missing.
            TemporalUnavailable: no worker answers.
        """
        return await ask_fleet(
            self.temporal,
            FleetRequest(
                verb="ban", environment=environment, service=service, version=version, region=region, by=by,
                reason=reason,
            )
        )  # fmt: skip

    async def unban(
        self, environment: str, service: str, version: str, *, by: str, reason: str = "", region: str | None = None
    ) -> Ban:
        """Lift a ban; answers with the ban that was.

        Raises:
            RefusedError: that version is not banned; lists those that are.
            TemporalUnavailable: no worker answers.
        """
        return await ask_fleet(
            self.temporal,
            FleetRequest(
                verb="unban", environment=environment, service=service, version=version, region=region, by=by,
                reason=reason,
            )
        )  # fmt: skip

    async def bans(self, environment: str) -> FleetState:
        """The bans of an environment, and how many rollouts each version had.

        Raises:
            TemporalUnavailable: no worker answers.
        """
        try:
            return await self._asked(environment, "bans", FleetState)
        except RolloutNotFound:
            return FleetState(environment=environment)

    async def slots(self, environment: str) -> SlotBook:
        """How many rollouts may run at once, which run, and which wait.

        Raises:
            TemporalUnavailable: no worker answers.
        """
        try:
            return await self._asked(environment, "slots", SlotBook)
        except RolloutNotFound:
            return SlotBook()

    async def limit_slots(self, environment: str, limit: int | None, *, by: str, reason: str = "") -> SlotBook:
        """Set how many rollouts may run at once; None lifts the limit. Those that run go on.

        Raises:
            RefusedError: nobody says so.
            TemporalUnavailable: no worker answers.
        """
        given = SlotLimit(limit=limit, by=by, reason=reason)
        return await update_fleet(self.temporal, environment, "slots", given, SlotBook)

    async def freeze(
        self,
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
        check_names(environment, service)
        new = Freeze(environment=environment, service=service, by=by, reason=reason, until=until)
        return await update_fleet(self.temporal, environment, "freeze", FreezeOrder(freeze=new, brake=brake), Frozen)

    async def unfreeze(self, environment: str, service: str | None = None, *, by: str) -> Frozen:
        """Lift a freeze; answers with the one that was.

        Raises:
            InputError: no spec could have these names.
            RefusedError: it is not frozen; says what is.
            TemporalUnavailable: no worker answers.
        """
        check_names(environment, service)
        given = Thaw(environment=environment, service=service, by=by)
        return await update_fleet(self.temporal, environment, "unfreeze", given, Frozen)

    async def freezes(self, environment: str) -> Frozen:
        """What is frozen in an environment, by itself and with all others, and its brake that was pulled last.

        Raises:
            InputError: no environment can have this name.
            TemporalUnavailable: no worker answers.
        """
        check_names(environment, None)
        here = await self._frozen(environment)
        if environment == EVERYWHERE:
            return here
        all_over = await self._frozen(EVERYWHERE)
        return here.model_copy(
            update={"freezes": [*all_over.freezes, *here.freezes], "brake": here.brake or all_over.brake}
        )

    async def _frozen(self, environment: str) -> Frozen:
        try:
            return await self._asked(environment, "freezes", Frozen)
        except RolloutNotFound:
            return Frozen()

    async def _asked(self, environment: str, query: str, answer: type[Answer]) -> Answer:
        return await ask(self.temporal, self.temporal.get_workflow_handle(fleet_id(environment)), query, answer, WITHIN)
