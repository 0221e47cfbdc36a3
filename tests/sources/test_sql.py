"""What the source ``sql`` refuses: wrong types, writes, other files, slowness."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from coalmine.errors import QueryRejected, SourceUnreachable
from coalmine.records import MetricCounts, Window
from coalmine.spec.metrics import Metric
from coalmine.testing.source_contract import Happened, collect
from tests.sources.sql_worlds import SqlWorld, duckdb_world, postgres_world

SLOW = (
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 2000000000) "
    "SELECT count(*) FROM r WHERE {start} < {end} AND {arm.version} <> ''"
)


@pytest.fixture(params=["duckdb", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> SqlWorld:
    if request.param == "duckdb":
        return duckdb_world(tmp_path)
    return postgres_world(request.getfixturevalue("postgres_url"))


async def asked(world: SqlWorld, statement: str) -> MetricCounts:
    window = await world.happen({"baseline": Happened(5, 1), "canary": Happened(5, 1)})
    return await collect(world, Metric(name="events", kind="count", source="warehouse", events=statement), window)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ("1.5", "whole number"),
        ("CAST(2 AS double precision)", "whole number"),
        ("'7'", "whole number"),
        ("-1", "whole number"),
        ("true", "whole number"),
        ("1, 2", "one number"),
        ("nothing_here", "nothing_here"),
    ],
)
async def test_an_answer_that_is_no_count_is_refused(world: SqlWorld, answer: str, word: str) -> None:
    with pytest.raises(QueryRejected, match=word):
        await asked(world, f"SELECT {answer} FROM requests WHERE total = 5 AND version = {{arm.version}}")


async def test_null_and_no_row_are_no_data(world: SqlWorld) -> None:
    for statement, word in (
        ("SELECT sum(total) FROM requests WHERE false", "null"),
        ("SELECT 1 WHERE false", "no row"),
    ):
        counts = await asked(world, statement)
        assert counts.status == "no_data"
        assert word in counts.reason


async def test_that_a_canary_had_no_request_yet_is_nothing_wrong(world: SqlWorld) -> None:
    """As it is before every first step: ``validate --connect`` has to let it pass. A baseline has requests."""
    await world.happen({"baseline": Happened(5, 1), "canary": Happened(5, 1)})
    nobody = world.arms.canary.model_copy(update={"version": "1.99.0"})
    for arm, fine in (("canary", True), ("baseline", False)):
        arms = world.arms.model_copy(update={arm: nobody})
        (told,) = await world.adapter.check(world.source, world.ratio, arms)
        assert told.ok is fine, told
        assert fine == ("natural before its first request" in told.reason)
        assert told.name == ("errors: canary" if fine else "errors")


@pytest.mark.parametrize(
    ("query", "fine"),
    [
        ("SELECT max(1) FROM requests WHERE version = {arm.version}", True),
        ("SELECT max(1) FROM requests WHERE version = 'x' || {arm.version}", False),
        ("SELECT max(1) FROM requests WHERE version = 'x'", False),
    ],
)
async def test_a_query_that_has_no_answer_for_the_baseline_either_fails_the_check(
    world: SqlWorld, query: str, fine: bool
) -> None:
    """Looks ask it of the canary alone, so what is wrong in it would be taken for a canary without requests."""
    await world.happen({"baseline": Happened(5, 1), "canary": Happened(5, 1)})
    arms = world.arms.model_copy(update={"canary": world.arms.canary.model_copy(update={"version": "1.99.0"})})
    update = {"name": "queue", "kind": "threshold", "total": None, "events": None, "query": query}
    (told,) = await world.adapter.check(world.source, world.ratio.model_copy(update=update), arms)
    assert (told.ok, told.name) == (fine, "queue: canary" if fine else "queue")
    assert "query answered null" in told.reason


async def test_a_percent_sign_and_text_in_quotes_are_left_alone(world: SqlWorld) -> None:
    counts = await asked(world, "SELECT count(*) FROM requests WHERE version LIKE '1.4%' AND '{x}' <> {arm.version}")
    assert counts.canary is not None
    assert counts.canary.events == 2


async def test_a_value_is_bound_and_never_becomes_text(world: SqlWorld) -> None:
    window = await world.happen({"baseline": Happened(5, 1), "canary": Happened(5, 1)})
    evil = world.arms.canary.model_copy(update={"version": "' OR 1=1 --"})
    counts = await collect(world, world.ratio, window, arms=world.arms.model_copy(update={"canary": evil}))
    assert counts.status == "no_data"


async def test_nothing_can_be_written(world: SqlWorld) -> None:
    statement = "WITH gone AS (DELETE FROM requests RETURNING 1) SELECT count(*) FROM gone"
    with pytest.raises(QueryRejected):
        await asked(world, statement)


async def test_nothing_can_be_written_by_a_role_that_may_write_elsewhere(postgres_url: str) -> None:
    world = postgres_world(postgres_url)
    world.source = world.source.model_copy(update={"url": postgres_url})
    with pytest.raises(QueryRejected, match="read-only"):
        await asked(world, "WITH gone AS (DELETE FROM requests RETURNING 1) SELECT count(*) FROM gone")
    left = await asked(world, "SELECT count(*) FROM requests WHERE {start} < {end} AND {arm.version} <> ''")
    assert left.canary is not None
    assert left.canary.events == 4


async def test_a_slow_statement_ends_in_the_database(world: SqlWorld) -> None:
    world.source = world.source.model_copy(update={"timeout": timedelta(seconds=0.3)})
    with pytest.raises(SourceUnreachable, match=r"0\.3 s"):
        await asked(world, SLOW)


async def test_duckdb_reads_no_other_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    with pytest.raises(QueryRejected, match=r"disabled|[Pp]ermission"):
        await asked(duckdb_world(tmp_path), f"SELECT count(*) FROM read_csv('{secret}')")


async def test_a_file_somebody_writes_is_unreachable_and_not_empty(tmp_path: Path) -> None:
    world = duckdb_world(tmp_path)
    window = await world.happen({"baseline": Happened(5, 1), "canary": Happened(5, 1)})
    with duckdb.connect(world.source.url.removeprefix("duckdb://")), pytest.raises(SourceUnreachable):
        await collect(world, world.ratio, window)


async def test_a_window_is_not_over_before_its_flush_is(world: SqlWorld) -> None:
    window = await world.happen({"baseline": Happened(5, 1), "canary": Happened(5, 1)})
    world.source = world.source.model_copy(update={"flush": timedelta(hours=1)})
    counts = await collect(world, world.ratio, Window(start=window.start, end=window.end))
    assert counts.status == "no_data"
    assert "flush" in counts.reason
