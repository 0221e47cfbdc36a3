"""Databases a test fills: a DuckDB file, and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from glob import glob
from pathlib import Path

import duckdb
import psycopg

from activities.sources.base import MetricSource
from activities.sources.sql import SqlSource
from coalmine.local.processes import Process, await_port, free_ports
from coalmine.records import Window
from coalmine.spec.canary import Arm, ArmName, Arms
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source
from coalmine.testing.source_contract import Happened

TABLES = (
    "CREATE TABLE requests (happened timestamptz, version text, total bigint, failed bigint)",
    "CREATE TABLE durations (happened timestamptz, version text, bound double precision, n bigint)",
)
WINDOW = "version = {arm.version} AND happened > {start} AND happened <= {end}"
BOUNDS = (0.1, 0.25, None)
Row = tuple[object, ...]
Write = Callable[[Sequence[Row], Sequence[Row]], None]


class SqlWorld:
    """The contract over two tables, with a row for each arm and window."""

    def __init__(self, url: str, write: Write) -> None:
        self._write = write
        self.now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
        self.adapter: MetricSource = SqlSource()
        self.source = Source(kind="sql", url=url, timeout=timedelta(seconds=20))
        self.arms = Arms(baseline=Arm(version="1.41.0", backend="v41"), canary=Arm(version="1.42.0", backend="v42"))
        self.ratio = Metric(
            name="errors",
            kind="ratio",
            source="warehouse",
            total=f"SELECT sum(total) FROM requests WHERE {WINDOW}",
            events=f"SELECT sum(failed) FROM requests WHERE {WINDOW} AND version LIKE '1.4%'",
        )
        self.latency = Metric(
            name="latency",
            kind="latency",
            source="warehouse",
            buckets=f"SELECT bound, sum(n) FROM durations WHERE {WINDOW} GROUP BY bound",
        )

    async def happen(self, arms: Mapping[ArmName, Happened]) -> Window:
        start, self.now = self.now, self.now + timedelta(seconds=10)
        requests: list[Row] = []
        durations: list[Row] = []
        for name, happened in arms.items():
            version = getattr(self.arms, name).version
            requests.append((self.now, version, happened.total, happened.events))
            durations += [(self.now, version, bound, n) for bound, n in zip(BOUNDS, happened.buckets, strict=True)]
        await asyncio.to_thread(self._write, requests, durations)
        return Window(start=start, end=self.now)

    async def go_down(self) -> None:
        gone = "duckdb:///no/such/file.db" if self.source.url.startswith("duckdb") else "postgresql://x@127.0.0.1:1/x"
        self.source = self.source.model_copy(update={"url": gone})


def duckdb_world(folder: Path) -> SqlWorld:
    """A file of its own."""
    path = folder / "requests.duckdb"
    with duckdb.connect(str(path)) as database:
        for table in TABLES:
            database.execute(table)

    def write(requests: Sequence[Row], durations: Sequence[Row]) -> None:
        with duckdb.connect(str(path)) as database:
            database.executemany("INSERT INTO requests VALUES (?, ?, ?, ?)", requests)
            database.executemany("INSERT INTO durations VALUES (?, ?, ?, ?)", durations)

    return SqlWorld(f"duckdb://{path}", write)


@asynccontextmanager
async def postgres(folder: Path) -> AsyncIterator[str]:
    """A server of its own on a free port, with a role that may only read; yields the owner's URL."""
    command = await asyncio.to_thread(_initialised, folder)
    (port,) = free_ports(1)
    process = Process("postgres", folder)
    process.start([*command, "-p", str(port), "-h", "127.0.0.1", "-k", ""])
    url = f"postgresql://owner@127.0.0.1:{port}/postgres"
    try:
        await await_port(process, port)
        await asyncio.to_thread(_prepare, url)
        yield url
    finally:
        await asyncio.to_thread(process.stop)


def _initialised(folder: Path) -> list[str]:
    """Make a cluster; returns the command that serves it."""
    found = shutil.which("postgres") or next(iter(sorted(glob("/usr/lib/postgresql/*/bin/postgres"))), None)
    assert found, "postgres is not installed: make setup does it"
    programs = Path(found).resolve().parent
    data = folder / "data"
    data.mkdir(parents=True)
    as_owner: list[str] = []
    if os.geteuid() == 0:
        # PostgreSQL does not run as root, so a test that does gives it to somebody else, who has to get there.
        as_owner = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        shutil.chown(data, "nobody", "nogroup")
        for above in data.parents:
            if not above.stat().st_mode & 0o001:
                above.chmod(above.stat().st_mode | 0o011)
    init = [*as_owner, str(programs / "initdb"), "-D", str(data), "-U", "owner", "-A", "trust", "--no-sync"]
    subprocess.run(init, check=True, capture_output=True, cwd="/")
    return [*as_owner, str(programs / "postgres"), "-D", str(data)]


def postgres_world(owner: str) -> SqlWorld:
    """Its tables emptied, read by the role that may only read."""

    def write(requests: Sequence[Row], durations: Sequence[Row]) -> None:
        with psycopg.connect(owner) as database, database.cursor() as cursor:
            cursor.executemany("INSERT INTO requests VALUES (%s, %s, %s, %s)", requests)
            cursor.executemany("INSERT INTO durations VALUES (%s, %s, %s, %s)", durations)

    with psycopg.connect(owner) as database:
        database.execute("TRUNCATE requests, durations")
    return SqlWorld(owner.replace("owner@", "reader@"), write)


def _prepare(url: str) -> None:
    for _ in range(200):
        try:
            with psycopg.connect(url, connect_timeout=5) as database:
                for statement in (*TABLES, "CREATE ROLE reader LOGIN", "GRANT SELECT ON requests, durations TO reader"):
                    database.execute(statement)
                return
        except psycopg.OperationalError:
            # It listens a moment before it lets anybody in.
            continue
    raise AssertionError("postgres let nobody in")
