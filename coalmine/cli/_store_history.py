"""``coalmine simulate --store-history``: a split period into the ledger, for the next rollouts of the service."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from coalmine.errors import InputError

if TYPE_CHECKING:
    from coalmine.spec.canary import CanarySpec
    from coalmine.spec.metrics import Metric

WHERE = ("service", "environment")
"""Sections that say where in the ledger."""


def refuse_nowhere(written: Collection[str]) -> None:
    """Raise InputError when the spec does not say whose history it is."""
    missing = [key for key in WHERE if key not in written]
    if missing:
        raise InputError(
            f"--store-history: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing in the spec: a "
            "ledger keeps the history of a service in an environment; add them"
        )


def store(spec: CanarySpec, metrics: Sequence[Metric], label: str, looks: Sequence[dict[str, Any]]) -> str:
    """Store the looks of a split period, as lines of a trace, where the worker will look for them.

    Returns:
        What was stored, in a sentence.

    Raises:
        InputError: too few of the looks can be used, or they are too old.
        LedgerError: the ledger cannot be written.
    """
    from activities.ledger import HISTORY_AGE
    from activities.ledgers.registry import open_ledger
    from coalmine.analysis.grids import MIN_HISTORY_LOOKS
    from coalmine.backtest import history_of
    from coalmine.backtest.learnt import look_entries
    from coalmine.backtest.trace import TraceReader
    from coalmine.spec.durations import format_duration

    now = datetime.now(UTC)
    recent = [look for look in looks if datetime.fromisoformat(look["at"]) >= now - HISTORY_AGE]
    reader = TraceReader("the period", metrics)
    for look in recent:
        reader.add(look, "the period")
    trace = reader.finished()
    usable = history_of(trace, metrics).looks if trace.looks > 1 else trace.looks
    if usable < MIN_HISTORY_LOOKS:
        raise InputError(
            f"--store-history: {usable} of {len(looks)} looks have data of every metric and are at most "
            f"{format_duration(HISTORY_AGE)} old, a history needs {MIN_HISTORY_LOOKS}: choose a longer or later period"
        )
    book = "/".join(part for part in (spec.environment, spec.service, spec.region) if part)
    version = spec.arms.baseline.version
    began = f"{trace.at[0]:%Y%m%dT%H%M%SZ}"
    entries = look_entries(trace, f"{book}/{version}/split-{label}-{began}", now)
    place = asyncio.run(open_ledger(spec.ledger).store_split(book, f"{version}-{label}-{began}", entries))
    return f"{place}: {trace.looks} looks of {version} against itself; rollouts of {book} judge with them"
