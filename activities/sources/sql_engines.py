"""The databases the source ``sql`` can ask: every statement of a look in one read-only transaction, within a time."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from activities.sources.rows import Row
from coalmine.errors import MissingExtra, QueryRejected, SourceUnreachable
from coalmine.spec.sources import Source

MOST_ROWS = 10_000
"""Of one answer: a histogram or the instances of a service are far below."""
_MARKER = re.compile(r"\{(start|end|arm\.version|arm\.backend)\}")


class Engine(Protocol):
    """One kind of database."""

    def ask(self, source: Source, statements: Sequence[str], values: Mapping[str, object]) -> list[list[Row]]:
        """The rows each statement answers, all from one snapshot.

        Args:
            source: where, and within which time.
            statements: ``{start}`` ``{end}`` ``{arm.version}`` ``{arm.backend}`` in them are bound, never written in.
            values: what is bound, by these names.

        Raises:
            SourceUnreachable: no connection, or no answer in time.
            QueryRejected: the database refused a statement.
        """
        ...


def engine_of(source: Source) -> Engine:
    """The engine a source's URL names."""
    return DuckDb() if source.url.startswith("duckdb:") else Postgres()


class DuckDb:
    """A DuckDB file, opened read-only; statements cannot reach other files, nor the network."""

    def ask(self, source: Source, statements: Sequence[str], values: Mapping[str, object]) -> list[list[Row]]:
        """See ``Engine``."""
        try:
            import duckdb
        except ImportError:
            raise MissingExtra("insights", "a source of kind sql with DuckDB") from None
        path = unquote(urlsplit(source.url).path)
        try:
            database = duckdb.connect(path, read_only=True, config={"enable_external_access": "false"})
        except duckdb.Error as error:
            raise SourceUnreachable(f"{path}: {_first(error)}") from error
        timer = threading.Timer(source.timeout.total_seconds(), database.interrupt)
        timer.start()
        try:
            database.execute("BEGIN TRANSACTION READ ONLY")
            return [
                database.execute(_marked(one, "${}"), _used(one, values)).fetchmany(MOST_ROWS + 1) for one in statements
            ]
        except duckdb.InterruptException as error:
            raise SourceUnreachable(f"{path}: no answer within {source.timeout.total_seconds():g} s") from error
        except duckdb.Error as error:
            raise QueryRejected(f"DuckDB refused: {_first(error)}") from error
        finally:
            timer.cancel()
            database.close()


class Postgres:
    """PostgreSQL, and what speaks its protocol."""

    def ask(self, source: Source, statements: Sequence[str], values: Mapping[str, object]) -> list[list[Row]]:
        """See ``Engine``."""
        try:
            import psycopg
        except ImportError:
            raise MissingExtra("postgres", "a source of kind sql with PostgreSQL") from None
        seconds = source.timeout.total_seconds()
        given: dict[str, Any] = {"connect_timeout": max(2, round(seconds))}
        if source.password_env is not None:
            password = os.environ.get(source.password_env)
            if not password:
                raise QueryRejected(f"password_env: {source.password_env} is not set on the worker")
            given["password"] = password
        if source.ca_file is not None:
            given |= {"sslrootcert": source.ca_file, "sslmode": "verify-full"}
        limit = f"-c statement_timeout={max(1, round(seconds * 1000))}"
        try:
            with psycopg.connect(source.url, application_name="coalmine", options=limit, **given) as database:
                database.read_only = True
                database.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                return [
                    database.execute(_marked(one.replace("%", "%%"), "%({})s"), _used(one, values)).fetchmany(
                        MOST_ROWS + 1
                    )
                    for one in statements
                ]
        except psycopg.errors.QueryCanceled as error:
            raise SourceUnreachable(f"{_shown(source)}: no answer within {seconds:g} s") from error
        except psycopg.OperationalError as error:
            raise SourceUnreachable(f"{_shown(source)}: {_first(error)}") from error
        except psycopg.Error as error:
            raise QueryRejected(f"PostgreSQL refused: {_first(error)}") from error


def _marked(statement: str, marker: str) -> str:
    return _MARKER.sub(lambda found: marker.format(found[1].replace(".", "_")), statement)


def _used(statement: str, values: Mapping[str, object]) -> dict[str, object]:
    """DuckDB refuses a value no statement asks for."""
    return {found.replace(".", "_"): values[found] for found in _MARKER.findall(statement)}


def _shown(source: Source) -> str:
    return urlsplit(source.url).hostname or source.url


def _first(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
