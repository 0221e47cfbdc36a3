"""What the chat app must remember beyond its process: which message is whose, and what was told in its thread.

A small SQLite file, written before and after a message is posted. It needs no right to read channels, and survives a
crash at any moment; where the app may read them, it also finds a message that was posted in the very moment it died
(``coalmine.chat.board``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from coalmine.errors import InputError
from coalmine.records import LedgerEntry

KEPT_DAYS = 90
"""Closed rollouts are forgotten after so many days; nobody updates their messages any more."""
_TABLES = """
CREATE TABLE IF NOT EXISTS boards (
  rollout_id TEXT PRIMARY KEY, workflow_id TEXT NOT NULL, run_id TEXT NOT NULL, channel TEXT NOT NULL,
  ts TEXT NOT NULL, told INTEGER NOT NULL, shown TEXT NOT NULL, closed INTEGER NOT NULL, posting REAL NOT NULL,
  touched TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS overrides (
  rollout_id TEXT NOT NULL, sequence INTEGER NOT NULL, kind TEXT NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (rollout_id, sequence));
CREATE TABLE IF NOT EXISTS digested (
  rollout_id TEXT NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (rollout_id, sequence));
"""


@dataclass
class Kept:
    """One rollout's message."""

    rollout_id: str
    workflow_id: str
    run_id: str
    channel: str
    ts: str = ""
    """Slack's id of the message; empty until it was posted."""
    told: int = 0
    """The last sequence of the record that its thread tells."""
    shown: str = ""
    """Digest of what the message shows."""
    closed: bool = False
    """All is told: it is not looked at any more."""
    posting: float = 0.0
    """When posting it began (seconds since 1970); 0 = never. With an empty ``ts``: it may be there already."""


class Override(NamedTuple):
    """One time that people went past the rules, as the record of its rollout has it."""

    rollout_id: str
    sequence: int
    kind: str


class Memory:
    """The file. One process has it at a time."""

    def __init__(self, path: Path) -> None:
        """Open or make it.

        Raises:
            InputError: it cannot be used.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, timeout=5, isolation_level=None)
            # One process: two would post every message twice.
            self._file.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._file.execute("PRAGMA synchronous=NORMAL")
            self._file.executescript(_TABLES)
            self._file.execute("BEGIN IMMEDIATE")
            self._file.execute(
                "DELETE FROM boards WHERE closed AND touched < datetime('now', ?)", (f"-{KEPT_DAYS} days",)
            )
            self._file.execute(
                "DELETE FROM overrides WHERE at < CAST(strftime('%s', 'now', ?) AS REAL)", (f"-{KEPT_DAYS} days",)
            )
            self._file.execute(
                "DELETE FROM digested WHERE (rollout_id, sequence) NOT IN (SELECT rollout_id, sequence FROM overrides)"
            )
            self._file.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise InputError(
                f"--state: {path} cannot be used ({error}): name a file that this process alone may write; another "
                "coalmine chat that uses it must end first"
            ) from None

    def boards(self) -> Iterator[Kept]:
        """All that are kept."""
        columns = "rollout_id, workflow_id, run_id, channel, ts, told, shown, closed, posting"
        for row in self._file.execute(f"SELECT {columns} FROM boards").fetchall():
            rollout_id, workflow_id, run_id, channel, ts, told, shown, closed, posting = row
            yield Kept(rollout_id, workflow_id, run_id, channel, ts, told, shown, bool(closed), posting)

    def keep(self, board: Kept) -> None:
        """Write one."""
        self._file.execute(
            "INSERT INTO boards (rollout_id, workflow_id, run_id, channel, ts, told, shown, closed, posting) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (rollout_id) DO UPDATE SET run_id = excluded.run_id, "
            "ts = excluded.ts, told = excluded.told, shown = excluded.shown, closed = excluded.closed, "
            "posting = excluded.posting, channel = excluded.channel, touched = CURRENT_TIMESTAMP",
            (
                board.rollout_id, board.workflow_id, board.run_id, board.channel, board.ts, board.told, board.shown,
                int(board.closed), board.posting,
            ),
        )  # fmt: skip

    def keep_overrides(self, entries: Iterable[LedgerEntry]) -> None:
        """Keep these for the digest, each once: the record that a rollout answers with has its newest entries only."""
        self._file.executemany(
            "INSERT OR IGNORE INTO overrides (rollout_id, sequence, kind, at) VALUES (?, ?, ?, ?)",
            [(entry.rollout_id, entry.sequence, entry.kind, entry.at.timestamp()) for entry in entries],
        )

    def overrides(self, since: datetime, until: datetime) -> list[Override]:
        """Those that no digest has told, after the one moment and up to the other."""
        rows = self._file.execute(
            "SELECT rollout_id, sequence, kind FROM overrides WHERE at > ? AND at <= ? AND (rollout_id, sequence) "
            "NOT IN (SELECT rollout_id, sequence FROM digested) ORDER BY kind, rollout_id, sequence",
            (since.timestamp(), until.timestamp()),
        )
        return [Override(*row) for row in rows.fetchall()]

    def set_digested(self, told: Iterable[Override], before: datetime) -> None:
        """A digest has told these; and none will tell those up to ``before``."""
        self._file.executemany(
            "INSERT OR IGNORE INTO digested (rollout_id, sequence) VALUES (?, ?)",
            [(one.rollout_id, one.sequence) for one in told],
        )
        self._file.execute(
            "INSERT OR IGNORE INTO digested SELECT rollout_id, sequence FROM overrides WHERE at <= ?",
            (before.timestamp(),),
        )

    def note(self, name: str) -> str:
        """A word that was kept; empty when it was not."""
        row = self._file.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def set_note(self, name: str, value: str) -> None:
        """Keep a word."""
        self._file.execute("INSERT OR REPLACE INTO notes (name, value) VALUES (?, ?)", (name, value))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
