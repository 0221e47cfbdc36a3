"""What a status looks like in words."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from coalmine.cli import _words
from coalmine.cli._bars import WIDTH, interval_bar
from coalmine.cli._page import draw
from coalmine.records import (
    Cause,
    Change,
    Diagnosis,
    Exemplar,
    GateStatus,
    Link,
    MetricVerdict,
    Outcome,
    Phase,
    RolloutStatus,
    StepStatus,
    Verb,
)
from coalmine.standing import looks_text

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def stepping() -> RolloutStatus:
    return RolloutStatus(
        phase=Phase.STEPPING,
        service="checkout",
        environment="production",
        region="eu",
        version="1.42.0",
        baseline_version="1.41.0",
        rollout_id="production/checkout/eu/1.42.0/3",
        workflow_id="canary/production/checkout/eu",
        by="ana@example.org",
        automated=True,
        step=1,
        steps=[
            StepStatus.model_validate({"weight": 1, "for": "5m", "state": "done"}),
            StepStatus.model_validate({"weight": 10, "for": "10m", "min_requests": 2000, "state": "now"}),
            StepStatus.model_validate({"weight": 50, "for": "20m", "gate": "big", "state": "todo"}),
        ],
        weights={"checkout-v41": 90, "checkout-v42": 10},
        canary_weight=10,
        looks=14,
        planned_looks=70,
        next_look_at=NOW + timedelta(seconds=12),
        step_ends_at=NOW + timedelta(minutes=4, seconds=10),
        step_requests=1203,
        unmet=["4m10s of step 2 are left", "797 more requests"],
        verdicts=[
            MetricVerdict(
                verdict="inconclusive",
                metric="errors",
                effect=1.02,
                interval=(0.8, 1.3),
                margin=1.1,
                sentence="errors: 0.5 % against 0.5 %",
            ),
            MetricVerdict(verdict="no_data", metric="latency", role="signal"),
        ],
        can_send=[Verb.PAUSE, Verb.ROLLBACK],
        started_at=NOW - timedelta(minutes=11),
    )


def test_more_looks_than_planned_are_not_said_to_be_a_part_of_them() -> None:
    assert looks_text(0, 0) == "0"
    assert looks_text(1_400, 1_400) == "1,400 of about 1,400"
    assert looks_text(61, 2) == "61, about 2 were planned"


def test_a_page_of_a_rollout_that_steps() -> None:
    assert _words.page(stepping(), NOW, "http://ui.example/x").splitlines() == [
        "checkout 1.41.0 → 1.42.0 in production (eu): stepping at 10 %",
        "",
        "rollout   production/checkout/eu/1.42.0/3",
        "workflow  canary/production/checkout/eu",
        "started   2026-11-23 11:49:00Z by ana@example.org (automated)",
        "steps     ● 1 %  ◐ 10 %  ○ 50 % [big]  ○ 100 %",
        "time      4m10s left, 1,203 of 2,000 requests",
        "traffic   checkout-v41 90 %, checkout-v42 10 %",
        "looks     14 of about 70; next in 12s",
        "not yet   4m10s of step 2 are left",
        "          797 more requests",
        "you can   pause rollback",
        "page      http://ui.example/x",
        "",
        "metric            verdict       less harm ┊ more harm          canary/baseline     margin",
        "errors            inconclusive           ├────●─┃──┤           ×1.02 [0.80, 1.30]  ×1.1",
        "latency (signal)  no_data",
        "",
        "errors: errors: 0.5 % against 0.5 %",
    ]


def test_a_page_of_a_gate_and_a_hold() -> None:
    waiting = stepping().model_copy(
        update={
            "phase": Phase.GATED,
            "gate": GateStatus(name="big", step=2, state="waiting", by=["sre"], count=2, approvals=["ana"]),
            "deadline_at": NOW + timedelta(hours=4),
            "paused": True,
        }
    )
    text = _words.page(waiting, NOW)
    assert "waiting at a gate at 10 %, paused" in text
    assert "gate      'big' waits for 2 of sre; approved by ana" in text
    assert "gate ends in 4h" in text
    held = stepping().model_copy(update={"phase": Phase.HELD, "held_reason": "sample ratio is off"})
    assert "held, needs a human at 10 %" in _words.change_line(held)
    assert "held: sample ratio is off" in _words.change_line(held)


def test_a_page_of_an_end() -> None:
    ended = stepping().model_copy(
        update={
            "phase": Phase.CLOSED,
            "outcome": Outcome.ROLLED_BACK,
            "cause": Cause.ANALYSIS,
            "exit": 3,
            "reason": "errors: 9 % against 1 %",
            "restored": True,
            "steps": [],
        }
    )
    text = _words.page(ended, NOW)
    assert text.startswith("checkout 1.41.0 → 1.42.0 in production (eu): rolled back (analysis)\n")
    assert "restored  yes, the route reads back as it was" in text
    assert "not yet" not in text


def test_the_live_page_shows_the_same() -> None:
    console = Console(width=140, no_color=True)
    with console.capture() as captured:
        console.print(draw(stepping(), NOW, None))
    text = captured.get()
    assert "checkout 1.41.0 → 1.42.0 in production (eu): stepping at 10 %" in text
    assert "├────●─┃──┤" in text
    assert "Ctrl-C detaches; the rollout goes on." in text


@pytest.mark.parametrize(
    ("effect", "interval", "margin", "drawn"),
    [
        (None, None, 1.1, ""),
        (1.0, (0.5, 2.0), None, " ├────────────●────────────┤ "),
        (3.0, (2.0, 20.0), 1.1, "              ┊┃   ├─●──────▶"),
        (0.01, (0.0, 0.02), 1.1, "●             ┊┃             "),
    ],
)
def test_bars(effect: float | None, interval: tuple[float, float] | None, margin: float | None, drawn: str) -> None:
    bar = interval_bar(effect, interval, margin)
    assert len(bar) in (0, WIDTH)
    assert bar == drawn


def test_bars_keep_their_width_whatever_comes() -> None:
    for low in (1e-12, 0.1, 1.0, 3.0, 1e9):
        for factor in (1.0, 1.0001, 50.0, 1e6):
            assert len(interval_bar(low, (low, low * factor), 1.1)) == WIDTH


def test_what_points_to_the_cause_is_shown_with_its_links() -> None:
    found = Diagnosis(
        sentence="errors: route pay carries it all",
        links=[Link(name="logs", url="https://logs.example/")],
        exemplars=[Exemplar(trace_id="abc", at=NOW, link="https://traces.example/abc")],
        changes=[Change(at=NOW, rollout_id="production/cart/2.0/1", what="shifted")],
    )
    page = _words.page(stepping().model_copy(update={"diagnosis": found}), NOW)
    assert re.search("^cause +errors: route pay carries it all$", page, re.MULTILINE)
    assert "logs: https://logs.example/" in page
    assert "trace abc: https://traces.example/abc" in page
    assert "2026-11-23 12:00:00Z production/cart/2.0/1 shifted" in page
