"""Any valid spec survives YAML, JSON and payloads unchanged, and durations are exact."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from coalmine.identity.names import folded
from coalmine.spec import check_spec, parse_spec, recheck
from coalmine.spec.canary import CanarySpec
from coalmine.spec.durations import LONGEST, format_duration, parse_duration
from coalmine.spec.plan import plan


def durations(least: int = 0, most: int = 10_000_000) -> st.SearchStrategy[str]:
    """Durations as people write them, in milliseconds from ``least`` to ``most``."""
    return st.integers(least, most).map(lambda count: f"{count}ms")


_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
_texts = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20)
_people = st.lists(_texts.filter(folded), min_size=1, max_size=3, unique_by=folded)
"""Who can be told apart: some characters show nothing at all."""
_versions = st.text("abc019.+_-:~", min_size=1, max_size=12)
_shares = st.floats(0.0001, 0.9999)
_urls = st.sampled_from(["http://127.0.0.1:9090", "https://metrics.example.org/api", "http://[::1]:1/x"])


@st.composite
def _metric(draw: st.DrawFn, name: str, sources: list[str]) -> dict[str, Any]:
    kind = draw(st.sampled_from(["ratio", "latency"]))
    metric: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "source": draw(st.sampled_from(sources)),
        "role": draw(st.sampled_from(["guardrail", "signal"])),
        "no_harm": draw(st.floats(1.01, 10)),
        "floor": draw(st.floats(0, 0.99)),
    }
    if draw(st.booleans()):
        metric["margin"] = draw(st.floats(1, 10))
    if draw(st.booleans()):
        metric["template"] = draw(st.sampled_from(["envoy", "http"]))
    else:
        own = f'{draw(st.sampled_from(["a_total", "b:c"]))}{{version="{{arm.version}}",path!~"/a{{2}}"}}'
        for key in ("total",) if kind == "ratio" else ("buckets",):
            metric[key] = draw(st.sampled_from([own, [own, own + " "]]))
        if kind == "ratio":
            metric["events"] = draw(st.sampled_from([own[:-1] + ',code=~"5..|4..$"}', [own[:-1] + ',x="1"}']]))
    if kind == "ratio":
        metric["max"] = draw(_shares)
    else:
        metric["objective"] = {"under": draw(durations(1)), "share": draw(_shares)}
    return metric


@st.composite
def spec_data(draw: st.DrawFn) -> dict[str, Any]:
    """The data of any valid spec."""
    sources = draw(st.lists(_texts, min_size=1, max_size=3, unique=True))
    look = draw(st.integers(1_000, 600_000))
    people = draw(st.dictionaries(_texts, _people, max_size=2))
    hundredths = sorted(draw(st.lists(st.integers(1, 9_999), min_size=1, max_size=4, unique=True)))
    steps: list[dict[str, Any]] = [
        {
            "weight": weight / 100,
            "for": draw(durations(look)),
            "min_requests": draw(st.integers(0, 10**9)),
        }
        for weight in hundredths
    ]
    if draw(st.booleans()):
        approval: dict[str, Any] = {"by": list(people), "timeout": draw(durations(1))}
        steps[-1]["gate"] = {"name": draw(_texts), "approval": approval}
    names = draw(st.lists(_texts, min_size=1, max_size=3, unique=True))
    metrics = [draw(_metric(name, sources)) for name in names]
    metrics[0]["role"] = "guardrail"
    backends = draw(st.lists(_versions, min_size=2, max_size=2, unique=True))
    versions = draw(st.lists(_versions, min_size=2, max_size=2, unique=True))
    data: dict[str, Any] = {
        "service": draw(_names),
        "environment": draw(_names),
        "arms": {
            "baseline": {"version": versions[0], "backend": backends[0]},
            "canary": {"version": versions[1], "backend": backends[1]},
        },
        "route": {"router": "envoy", "name": draw(_texts), "files": ["/a.yaml"], "admins": ["http://localhost:9901"]},
        "steps": steps,
        "metrics": metrics,
        "policy": {
            "look": f"{look}ms",
            "alpha": draw(st.floats(0.0001, 0.49)),
            "no_data_limit": draw(durations(look)),
            "held": {"timeout": draw(durations(1)), "action": draw(st.sampled_from(["roll_back", "promote"]))},
        },
        "promotion": {"bake": draw(durations()), "rollback_window": draw(durations())},
        "people": people,
        "sources": {name: {"url": draw(_urls), "scrape": draw(durations(1, look))} for name in sources},
        "hooks": draw(st.dictionaries(st.sampled_from(["prepare", "verify", "retire", "rolled_back"]), _urls)),
        "notify": draw(
            st.lists(
                st.one_of(st.just({"kind": "log"}), _urls.map(lambda u: {"kind": "webhook", "url": u})), max_size=2
            )
        ),
    }
    if draw(st.booleans()):
        data["region"] = draw(_names)
    return data


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spec_data())
def test_a_spec_survives_every_form(data: dict[str, Any]) -> None:
    spec = check_spec(data)
    yaml = io.StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.dump(json.loads(spec.model_dump_json()), yaml)
    assert parse_spec(yaml.getvalue()) == spec
    assert parse_spec(spec.model_dump_json()) == spec
    assert CanarySpec.model_validate_json(spec.model_dump_json()) == spec
    assert recheck(spec) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spec_data())
def test_a_plan_is_in_order_and_has_a_look(data: dict[str, Any]) -> None:
    spec = check_spec(data)
    course = plan(spec)
    offsets = [step.starts for step in course.steps]
    assert offsets == sorted(offsets)
    assert offsets[-1] <= course.promotes <= course.bake_ends <= course.window_ends
    assert course.promotes <= course.longest
    assert course.looks >= max(sum(step.looks for step in course.steps), 1)


@given(st.integers(0, LONGEST // timedelta(milliseconds=1)))
def test_durations_survive(milliseconds: int) -> None:
    value = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(value)) == value


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("250ms", 250), ("1.5h", 5_400_000), ("1h30m", 5_400_000), ("0.1s", 100), ("7d", 604_800_000), ("0s", 0)],
)
def test_durations_are_exact(text: str, milliseconds: int) -> None:
    assert parse_duration(text) == timedelta(milliseconds=milliseconds)


@pytest.mark.parametrize(
    "text", ["", "5", "5 m", "m", "-5m", "5M", "1e3s", "0.1ms", "366d", "99999999999999999999d", "٥m", 5, None]
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


def test_a_negative_timedelta_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        parse_duration(timedelta(seconds=-1))
