"""Counts by SQL: each selector of a metric is a statement that answers for one arm and one window (docs/sql.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from activities.sources.rows import Asked, Row, RowSource
from activities.sources.sql_engines import MOST_ROWS, engine_of
from coalmine.errors import QueryRejected
from coalmine.records import Window
from coalmine.spec.canary import Arm
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source


class SqlSource(RowSource):
    """DuckDB files and PostgreSQL."""

    async def ask(
        self, source: Source, metric: Metric, asked: Sequence[Asked], arm: Arm, window: Window
    ) -> list[list[Row]]:
        """See ``RowSource``; all statements are answered from one snapshot."""
        values = {"start": window.start, "end": window.end, "arm.version": arm.version, "arm.backend": arm.backend}
        statements = [text for _, text in asked]
        answers = await asyncio.to_thread(engine_of(source).ask, source, statements, values)
        if any(len(rows) > MOST_ROWS for rows in answers):
            raise QueryRejected(f"an answer has more than {MOST_ROWS:,} rows: count in the database")
        return answers
