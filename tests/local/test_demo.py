"""The demo's table, and the specs its releases come with."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from coalmine.local.demo import DemoReport, Scenario
from coalmine.local.demo_releases import APPROVER, GATE, Release, as_yaml, releases
from coalmine.local.demo_service import Faults
from coalmine.local.stack import SLOTS, Stack, seed_of
from coalmine.spec import parse_spec

STACK = Stack(
    folder="/stack",
    envoy={"url": "http://127.0.0.1:1", "admin": "http://127.0.0.1:2", "route_file": "/stack/envoy/route.json"},
    prometheus={"url": "http://127.0.0.1:3"},
)


def _table() -> list[Scenario]:
    return [
        Scenario(one.name, one.version, one.expected, outcome=one.expected, decision="analysis") for one in releases()
    ]


def test_a_table_is_right_when_every_scenario_ended_as_it_must() -> None:
    report = DemoReport(_table())
    assert report.right
    assert report.as_data()["right"] is True


@pytest.mark.parametrize("row", range(4))
@pytest.mark.parametrize("outcome", ["none", "no outcome", "blocked", "failed"])
def test_one_wrong_row_makes_the_table_wrong(row: int, outcome: str) -> None:
    table = _table()
    table[row] = replace(table[row], outcome=outcome)
    assert not DemoReport(table).right


def test_a_bad_release_that_ran_out_of_data_was_not_judged() -> None:
    table = _table()
    table[2] = replace(table[2], decision="deadline")
    assert not DemoReport(table).right


@pytest.mark.parametrize("rows", range(4))
def test_a_table_with_rows_missing_is_wrong(rows: int) -> None:
    assert not DemoReport(_table()[:rows]).right


def test_a_row_that_was_never_run_is_wrong() -> None:
    assert not Scenario("good", "1.1.0", "promoted").right


def test_the_release_that_only_makes_history_is_listed_apart() -> None:
    data = DemoReport(_table(), logs="/logs", seconds=83.21).as_data()
    assert [row["version"] for row in data["history"]] == ["1.0.1"]
    assert [row["version"] for row in data["scenarios"]] == ["1.1.0", "1.2.0", "1.3.0"]
    assert (data["seconds"], data["logs"]) == (83.2, "/logs")
    assert json.loads(json.dumps(data)) == data


def test_a_report_of_nothing_can_be_shown() -> None:
    assert DemoReport().as_data() | {"scenarios": [], "history": [], "right": False} == DemoReport().as_data()


@pytest.mark.parametrize("release", releases(), ids=lambda release: release.name)
def test_every_release_has_a_valid_spec(release: Release) -> None:
    spec = parse_spec(as_yaml(release.spec(STACK, ("1.0.0", SLOTS[0]), SLOTS[1])), "demo.yaml")
    assert (spec.arms.canary.version, spec.arms.canary.backend) == (release.version, SLOTS[1])
    gates = [step.gate.name for step in spec.steps if step.gate is not None]
    assert gates == ([GATE] if release.approve else [])
    assert APPROVER in spec.people["oncall"]


def test_releases_expect_both_outcomes_and_have_versions_of_their_own() -> None:
    assert [one.expected for one in releases()] == ["promoted", "promoted", "rolled_back", "rolled_back"]
    assert len({one.version for one in releases()}) == len(releases())


@pytest.mark.parametrize("release", releases(), ids=lambda release: release.name)
def test_what_the_service_draws_for_a_release_is_what_its_name_says(release: Release) -> None:
    behaviour, requests = release.behaviour, 1000
    faults = Faults(seed_of(release.version), [behaviour])
    drawn = [faults.draw(0) for _ in range(requests)]
    for share, expected in (
        (sum(status == 500 for status, _ in drawn) / requests, behaviour.errors),
        (sum(seconds > behaviour.p99() for _, seconds in drawn) / requests, 0.01),
    ):
        assert abs(share - expected) < 2 * (expected * (1 - expected) / requests) ** 0.5
