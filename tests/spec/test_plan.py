"""What a rollout will do and when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from coalmine.spec import check_spec
from coalmine.spec.plan import Plan, plan


def test_times_looks_and_gates(small: dict[str, Any]) -> None:
    small["people"] = {"sre": ["ana@example.org"]}
    small["steps"] = [
        {"weight": 1, "for": "5m"},
        {"weight": 10, "for": "10m", "min_requests": 50, "gate": {"approval": {"by": ["sre"], "timeout": "2h"}}},
    ]
    small["promotion"] = {"bake": "1h", "rollback_window": "24h"}
    course = plan(check_spec(small))
    first, second = course.steps
    assert (first.starts, first.lasts, first.looks, first.gate) == (timedelta(0), timedelta(minutes=5), 10, None)
    assert (second.starts, second.looks, second.min_requests) == (timedelta(minutes=5), 20, 50)
    assert (second.gate, second.waits, second.gate_timeout) == ("step-2", "approval by 1 of sre", timedelta(hours=2))
    assert course.looks == 30
    assert course.promotes == timedelta(minutes=15)
    assert course.bake_ends == timedelta(minutes=75)
    assert course.window_ends == timedelta(hours=25, minutes=15)
    # 15m of steps, 1h of extension for each, 2h at the gate
    assert course.longest == timedelta(hours=4, minutes=15)
    assert course.warnings == []


def test_looks_are_counted_over_all_steps_together(small: dict[str, Any]) -> None:
    small["policy"] = {"look": "20s"}
    small["steps"] = [{"weight": 1, "for": "30s"}, {"weight": 2, "for": "30s"}]
    course = plan(check_spec(small))
    assert ([step.looks for step in course.steps], course.looks) == ([1, 1], 3)


def test_it_survives_json(small: dict[str, Any]) -> None:
    course = plan(check_spec(small))
    assert '"promotes":"15m"' in course.model_dump_json()
    assert Plan.model_validate_json(course.model_dump_json()) == course


@pytest.mark.parametrize(
    ("section", "change", "about"),
    [
        ("steps", [{"weight": 1, "for": "30s"}], "step 1"),
        ("steps", [{"weight": 50, "for": "1h"}], "50 %"),
        ("promotion", {"bake": "0s"}, "no bake"),
        ("policy", {"held": {"action": "promote"}}, "promoted"),
        ("sources", {"prometheus": {"url": "https://db", "insecure_skip_verify": True}}, "certificate"),
    ],
)
def test_what_is_allowed_but_unwise_is_said(small: dict[str, Any], section: str, change: Any, about: str) -> None:
    warnings = plan(check_spec({**small, section: change})).warnings
    assert len(warnings) == 1
    assert about in warnings[0]


def test_a_guardrail_without_a_limit_is_said(small: dict[str, Any]) -> None:
    small["metrics"].append({"name": "latency", "kind": "latency", "template": "envoy"})
    (warning,) = plan(check_spec(small)).warnings
    assert warning.startswith("latency has no objective")
