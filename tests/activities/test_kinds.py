"""Collecting and judging together, look by look, for every kind of metric."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.evaluation import evaluate
from activities.metrics import MetricsActivities
from coalmine.records import CollectRequest, EvaluateRequest, Evaluation, Finding, Judge, Window
from coalmine.spec import parse_spec
from coalmine.spec.canary import CanarySpec
from coalmine.testing.fake_source import FakeSource, Flows, Traffic, fake_sources, latency_shares

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BOUNDS = [0.1, 0.25, 0.5]
GOOD = Traffic(rate=30, errors=0.001, buckets=latency_shares(BOUNDS, 0.08), value=300)


def spec() -> CanarySpec:
    path = Path(__file__).parents[2] / "examples" / "kinds.yaml"
    return parse_spec(path.read_text(), path.name)


async def rolled(canary: Traffic, looks: int = 40, *, bake: bool = False, together: bool = False) -> list[Evaluation]:
    """Looks of half a minute at a tenth of the traffic, through the activities' own records."""
    plan = spec()
    plan.policy.no_history = "roll_back"
    shared = canary.errors if together else GOOD.errors
    baseline = Traffic(rate=270, errors=shared, buckets=GOOD.buckets, value=GOOD.value)
    clock = BEGIN + looks * plan.policy.look
    source = FakeSource(Flows(baseline, canary, since=BEGIN), bounds=BOUNDS, clock=lambda: clock)
    activities = MetricsActivities(fake_sources(source))
    judge = Judge(metrics=plan.metrics, policy=plan.policy, planned_looks=looks)
    found: list[Evaluation] = []
    for number in range(looks):
        window = Window(start=BEGIN + number * plan.policy.look, end=BEGIN + (number + 1) * plan.policy.look)
        asked = CollectRequest(
            window=window, metrics=plan.metrics, arms=plan.arms, sources=plan.sources, compare=not bake
        )
        collected = await activities.collect(CollectRequest.model_validate_json(asked.model_dump_json()))
        request = EvaluateRequest(
            judge=judge,
            counts=collected.metrics,
            stage="bake" if bake else "compare",
            share=None if bake else 0.1,
            evidence=found[-1].evidence if found else None,
        )
        found.append(await evaluate(EvaluateRequest.model_validate_json(request.model_dump_json())))
    return found


async def test_a_release_without_fault_shows_no_harm_in_every_kind() -> None:
    found = await rolled(GOOD)
    last = found[-1]
    assert last.finding is Finding.NO_HARM, last.reason
    assert [verdict.metric for verdict in last.verdicts if verdict.verdict == "pass"] == [
        metric.name for metric in spec().metrics if metric.role == "guardrail"
    ]
    assert {one.finding for one in found} == {Finding.UNDECIDED, Finding.NO_HARM}


@pytest.mark.parametrize(
    ("canary", "metric", "finding"),
    [
        (Traffic(rate=30, errors=0.001, buckets=GOOD.buckets, value=300 + 1e9), "memory", Finding.HARM),
        (Traffic(rate=30, errors=0.05, buckets=GOOD.buckets, value=300), "availability", Finding.HARM),
        (Traffic(rate=30, errors=0.001, buckets=GOOD.buckets, value=501), "queue", Finding.HARM),
    ],
)
async def test_a_fault_is_found_by_the_metric_that_shows_it(canary: Traffic, metric: str, finding: Finding) -> None:
    # Errors of both versions alike: only the objective sees them.
    found = await rolled(canary, 30, together=metric == "availability")
    first = next(one for one in found if one.finding is finding)
    assert metric in [verdict.metric for one in found for verdict in one.verdicts if verdict.verdict == "fail"]
    assert first.verdicts
    if metric == "queue":
        # Two looks may fail, the third is one too many: no evidence is waited for.
        assert found.index(first) == 2


async def test_the_bake_shows_all_and_judges_the_absolute_ones() -> None:
    good = (await rolled(GOOD, 6, bake=True))[-1]
    assert good.finding is Finding.NO_HARM, good.reason
    verdicts = {verdict.metric: verdict for verdict in good.verdicts}
    assert verdicts["memory"].sentence == "memory: 300 bytes in this look, no absolute limit: shown only"
    assert verdicts["memory"].verdict == "inconclusive"
    assert verdicts["queue"].verdict == "pass"
    assert verdicts["availability"].verdict == "pass"
    bad = await rolled(Traffic(rate=300, errors=0.05, buckets=GOOD.buckets, value=300), 6, bake=True)
    assert bad[-1].finding is Finding.HARM


async def test_windows_say_how_long_they_are() -> None:
    source = FakeSource(Flows(GOOD, GOOD, since=BEGIN), bounds=BOUNDS, clock=lambda: BEGIN + timedelta(hours=1))
    plan = spec()
    asked = CollectRequest(
        window=Window(start=BEGIN, end=BEGIN + timedelta(seconds=90)),
        metrics=plan.metrics,
        arms=plan.arms,
        sources=plan.sources,
    )
    collected = await MetricsActivities(fake_sources(source)).collect(asked)
    assert {one.seconds for one in collected.metrics} == {90.0}
