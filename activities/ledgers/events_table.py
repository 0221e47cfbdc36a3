"""The entries of a ledger as a table for DuckDB: all but the looks, one row each, tagged, with times in UTC."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from activities.ledgers.base import LedgerPages
from activities.ledgers.file_reading import LOOK_LINE
from activities.ledgers.names import book_of, version_of
from coalmine.errors import LedgerCorrupt, MissingExtra
from coalmine.records import LedgerEntry, unreadable

if TYPE_CHECKING:
    import duckdb

_BOOK = ("environment", "service", "region")
_TAGS = ("service", "environment", "region", "version", "experiment")
_COLUMNS = {
    "rollout_id": "VARCHAR",
    "sequence": "BIGINT",
    "kind": "VARCHAR",
    "at": "TIMESTAMP",
    "reason": "VARCHAR",
    "by": "VARCHAR",
    "data": "JSON",
    **dict.fromkeys(_TAGS, "VARCHAR"),
}


@contextmanager
def events_table(pages: LedgerPages, wanted: Callable[[str], bool]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory with the table ``events``; gone when the block ends.

    Args:
        pages: the ledger.
        wanted: whether a chain of this name is read.

    Raises:
        MissingExtra: DuckDB is not installed.
        LedgerError: the ledger cannot be read now.
        LedgerCorrupt: a line is no entry.
    """
    try:
        import duckdb
    except ImportError:
        raise MissingExtra("insights", "coalmine insights") from None
    with tempfile.TemporaryDirectory(prefix="coalmine-insights-") as folder:
        rows = Path(folder) / "events.jsonl"
        with rows.open("w", encoding="utf-8") as file:
            for chain in pages.chains():
                if wanted(chain):
                    file.writelines(json.dumps(row) + "\n" for row in _rows(pages, chain))
        # Everything it needs is in the wheel: it must not look for extensions elsewhere.
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "threads": "2",
        }
        with duckdb.connect(":memory:", config=config) as database:
            columns = ", ".join(f"'{name}': '{kind}'" for name, kind in _COLUMNS.items())
            # The path is ours, and has no quote in it that could end the text.
            source = str(rows).replace("'", "''")
            database.execute(
                f"CREATE TABLE events AS SELECT * FROM read_json('{source}', format='newline_delimited', "
                f"columns={{{columns}}}, maximum_object_size=67108864)"
            )
            database.execute("SET enable_external_access = false")
            yield database


def _rows(pages: LedgerPages, chain: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(pages.lines(chain), 1):
        if line.startswith(LOOK_LINE):
            continue
        try:
            entry = LedgerEntry.model_validate_json(line)
        except ValidationError as error:
            if not line.endswith(b"\n"):
                # Torn: it was never acknowledged.
                return
            text = f"{pages.where(chain)}:{number}: not a ledger entry ({unreadable(error)}): mend or remove the line"
            raise LedgerCorrupt(text) from None
        parts = book_of(entry.rollout_id).split("/")
        tags = {"version": version_of(entry.rollout_id), **dict(zip(_BOOK, parts, strict=False)), **entry.tags}
        yield {
            "rollout_id": entry.rollout_id,
            "sequence": entry.sequence,
            "kind": entry.kind,
            "at": entry.at.astimezone(UTC).replace(tzinfo=None).isoformat(),
            "reason": entry.reason,
            "by": entry.by,
            "data": entry.data,
            **{name: tags.get(name) for name in _TAGS},
        }
