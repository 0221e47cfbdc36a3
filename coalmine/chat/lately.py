"""Rollouts that closed in the time a digest tells of, with their records."""

from __future__ import annotations

import logging

from coalmine.chat.digest import Span
from coalmine.chat.follow import MOST_LISTED
from coalmine.chat.listed import as_listed
from coalmine.chat.settings import ChatSettings
from coalmine.client import RolloutRef, RolloutRow
from coalmine.errors import CoalmineError
from coalmine.records import LedgerEntry, RolloutStatus
from coalmine.rollouts import Rollouts

_log = logging.getLogger("coalmine.chat")


async def closed_in(
    rollouts: Rollouts, span: Span, settings: ChatSettings
) -> list[tuple[RolloutStatus, list[LedgerEntry]]]:
    """All that have a channel; one that cannot be read is as the list has it, and says why: no later digest has it.

    Raises:
        TemporalUnavailable: there is no list.
    """
    found = []
    for row in await rollouts.rollouts(limit=MOST_LISTED):
        if row.open or row.closed_at not in span:
            continue
        if settings.channel_of(row.environment, row.service, row.region) is not None:
            found.append((await _status(rollouts, row), await _record(rollouts, row)))
    return found


async def _status(rollouts: Rollouts, row: RolloutRow) -> RolloutStatus:
    try:
        return await rollouts.status(RolloutRef(row.workflow_id, row.run_id))
    except CoalmineError as error:
        _log.info("%s: %s", row.workflow_id, error)
        why = f"it cannot be read: {error}"
    except Exception as error:
        _log.exception("%s cannot be read", row.workflow_id)
        why = f"it cannot be read ({type(error).__name__}); the log of the chat app tells more"
    return as_listed(row, why)


async def _record(rollouts: Rollouts, row: RolloutRow) -> list[LedgerEntry]:
    """Without it, overrides that nobody had heard of are not counted: the rollout is told all the same."""
    try:
        return (await rollouts.decisions(RolloutRef(row.workflow_id, row.run_id))).entries
    except CoalmineError as error:
        _log.info("%s: %s", row.workflow_id, error)
    except Exception:
        _log.exception("the record of %s cannot be read", row.workflow_id)
    return []
