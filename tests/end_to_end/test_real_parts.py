"""Releases through the whole system: Temporal, Envoy, Prometheus, a service under load, worker, command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from ruamel.yaml import YAML

from coalmine.local import stack as local
from coalmine.local.demo_releases import HEALTHY, Release
from coalmine.local.stack import FIRST_VERSION
from coalmine.spec import parse_spec
from coalmine.testing.otlp_lines import read_spans
from coalmine.testing.otlp_receiver import OtlpReceiver, ReceivedSpan
from tests.end_to_end.stack_at_work import BLUE, GREEN, Ran, StackAtWork
from tests.infra.board_queries import BOARDS, expressions, value_queries

SLOW_STEP = [{"weight": 20, "for": "10m"}]
pytestmark = pytest.mark.timeout(600)


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.fixture(scope="module")
def at_work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackAtWork]:
    """One stack for all tests here: it takes seconds to come up. Afterwards nothing of it may be left."""
    folder = tmp_path_factory.mktemp("stack")
    with ExitStack() as around:
        receiver = around.enter_context(OtlpReceiver())
        traces_file = tmp_path_factory.mktemp("traces") / "traces.jsonl"
        environment = around.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        environment.setenv("COALMINE_TRACES_FILE", str(traces_file))
        yield from _stack(folder, receiver, traces_file)


def _stack(folder: Path, traces: OtlpReceiver, traces_file: Path) -> Iterator[StackAtWork]:
    with ThreadPoolExecutor(1) as thread:
        stack = thread.submit(asyncio.run, local.up(folder, [HEALTHY])).result()
    pids = [pid for pid in local.running(folder).values() if pid is not None]
    try:
        at_work = StackAtWork(stack, traces, traces_file)
        at_work.begin_load()
        yield at_work
    finally:
        stopped = local.down(folder)
    assert set(stopped) == set(local.NAMES) - {"codec"}
    assert not [pid for pid in pids if _alive(pid)]
    assert local.find(folder) is None


async def test_a_version_that_crashes_is_taken_back_at_its_first_window(at_work: StackAtWork) -> None:
    crashing = Release("crash", "2.0.0", "rolled_back", replace(HEALTHY, errors=1.0), SLOW_STEP)
    file = await at_work.release(crashing, environment="crash")
    ran = await at_work.coalmine("start", str(file), "--watch", "-o", "json")
    told = ran.data
    assert told["outcome"] == "rolled_back", ran.err
    assert told["cause"] == "analysis"
    assert ran.code == told["exit"] != 0

    served = await local.slot_stats(at_work.stack, GREEN)
    assert served["requests"] == served["codes"]["500"] > 0
    route = await at_work.route()
    assert route.weights[GREEN] == 0
    assert [proxy.weights[BLUE] for proxy in route.proxies] == [100]

    kept: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        # The outcome is told a moment before the last entries are in the ledger.
        while not {"closed", "archived"} <= {entry["kind"] for entry in kept}:
            paths = at_work.stack.path.glob("ledger/*/**/*.jsonl")
            lines = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
            kept = [entry for entry in lines if entry["rollout_id"] == told["rollout_id"]]
            await asyncio.sleep(0.05)
    assert [entry["sequence"] for entry in kept] == list(range(1, len(kept) + 1))
    looks = [entry["data"] for entry in kept if entry["kind"] == "look"]
    assert [look["finding"] for look in looks if look["canary_requests"]] == ["crash"]
    assert looks[-1]["action"] == "roll_back"
    listed = (await at_work.coalmine("decisions", "checkout", "-e", "crash", "-o", "json")).data["entries"]
    assert [entry["sequence"] for entry in listed] == [e["sequence"] for e in kept if e["kind"] != "look"]
    assert {entry["kind"] for entry in listed} >= {"admitted", "shifted", "roll_back", "closed"}


async def _connected(at_work: StackAtWork, file: Path) -> Ran:
    """``validate --connect`` once it is content: a rate needs scrapes, and the first ones come late."""
    last = Ran(None, "", "")
    try:
        async with asyncio.timeout(150):
            while last.code != 0:
                last = await at_work.coalmine("validate", "--connect", str(file), "-o", "json")
    except TimeoutError:
        raise AssertionError(last.out) from None
    return last


async def test_a_day_at_the_command_line(at_work: StackAtWork) -> None:
    file = await at_work.release(Release("slow", "2.1.0", "promoted", HEALTHY, SLOW_STEP), environment="day")
    checked = await _connected(at_work, file)
    assert checked.data["valid"] is True
    assert all(check["ok"] for check in checked.data["files"][0]["checks"]), checked.out

    started = await at_work.coalmine("start", str(file), "-o", "json")
    assert (started.code, started.data["disposition"]) == (0, "started"), started.err
    again = await at_work.coalmine("start", str(file), "-o", "json")
    assert (again.code, again.data["disposition"]) == (0, "attached"), again.err
    assert again.data["run_id"] == started.data["run_id"]
    other = at_work.stack.path / "other.yaml"
    other.write_text(file.read_text().replace('"2.1.0"', '"2.2.0"'))
    refused = await at_work.coalmine("start", str(other), "-o", "json")
    assert (refused.code, refused.data["disposition"]) == (5, "rejected"), refused.err
    assert "2.1.0" in refused.data["reason"]

    for garbage in ('"nonsense"', '{"by": 7}', "[]"):
        sent = await at_work.temporal(
            *("workflow", "signal", "--workflow-id", "canary/day/checkout"),
            *("--name", "approve", "--input", garbage),
        )
        assert sent.code == 0, sent.err
    log = (await at_work.coalmine("decisions", "checkout", "-e", "day", "-o", "json")).data
    assert [refusal["verb"] for refusal in log["refused"]] == ["approve"] * 3
    assert all(refusal["reason"] for refusal in log["refused"])

    async with asyncio.timeout(60):
        while (await at_work.route()).weights[GREEN] != 20:
            await asyncio.sleep(0.1)
    status = await at_work.coalmine("status", "checkout", "-e", "day", "-o", "json")
    assert (status.data["phase"], status.data["version"]) == ("stepping", "2.1.0"), status.err

    back = await at_work.coalmine("rollback", "checkout", "-e", "day", "-m", "enough for today", "-o", "json")
    assert (back.code, back.data["confirmed"], back.data["outcome"]) == (0, True, "rolled_back"), back.err
    route = await at_work.route()
    assert [proxy.weights for proxy in route.proxies] == [{BLUE: 100, GREEN: 0}]
    over = (await at_work.coalmine("status", "checkout", "-e", "day", "-o", "json")).data
    assert (over["phase"], over["outcome"], over["cause"]) == ("closed", "rolled_back", "human")
    assert "enough for today" in over["reason"]


def _route_file(at_work: StackAtWork) -> str:
    return Path(at_work.stack.envoy["route_file"]).read_text()


async def test_what_keeps_users_on_their_version_goes_with_the_rollback(at_work: StackAtWork) -> None:
    file = await at_work.release(Release("kept", "2.3.0", "promoted", HEALTHY, SLOW_STEP), environment="kept")
    spec = YAML(typ="safe").load(file.read_text())
    spec["route"]["sticky"] = {"header": "x-user-id"}
    file.write_text(json.dumps(spec))
    started = await at_work.coalmine("start", str(file), "-o", "json")
    assert (started.code, started.data["disposition"]) == (0, "started"), started.err
    async with asyncio.timeout(60):
        while (await at_work.route()).weights[GREEN] != 20:
            await asyncio.sleep(0.1)
    assert "use_hash_policy" in _route_file(at_work)
    back = await at_work.coalmine("rollback", "checkout", "-e", "kept", "-m", "seen", "-o", "json")
    assert (back.code, back.data["confirmed"], back.data["outcome"]) == (0, True, "rolled_back"), back.err
    assert "hash_policy" not in _route_file(at_work)
    assert [proxy.weights for proxy in (await at_work.route()).proxies] == [{BLUE: 100, GREEN: 0}]


CI_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CI_SPAN = "00f067aa0ba902b7"


def _way_to(written: ReceivedSpan, spans: dict[str, ReceivedSpan]) -> list[ReceivedSpan]:
    """From the write back to the job."""
    way = [written]
    while way[-1].parent in spans:
        way.append(spans[way[-1].parent])
    assert [(span.service, span.name) for span in reversed(way)] == [
        ("coalmine", "coalmine start"),
        ("coalmine", "StartUpdateWithStartWorkflow:Canary"),
        ("coalmine-worker", "StartActivity:shift"),
        ("coalmine-worker", "RunActivity:shift"),
        ("coalmine-worker", "route.apply"),
        ("coalmine-worker", "envoy.write"),
    ]
    assert way[-1].parent == CI_SPAN
    return way


async def _in_the_file(at_work: StackAtWork, name: str) -> dict[str, ReceivedSpan]:
    """The job's trace as the file has it, once there is such a span in it."""
    spans: dict[str, ReceivedSpan] = {}
    async with asyncio.timeout(60):
        while name not in {span.name for span in spans.values()}:
            await asyncio.sleep(0.1)
            spans = {one.span_id: one for one in read_spans(at_work.traces_file) if one.trace_id == CI_TRACE}
    return spans


async def test_one_trace_leads_from_the_ci_job_to_the_write_of_the_route(at_work: StackAtWork) -> None:
    file = await at_work.release(Release("traced", "2.4.0", "promoted", HEALTHY, SLOW_STEP), environment="traced")
    tracing = {"TRACEPARENT": f"00-{CI_TRACE}-{CI_SPAN}-01", "OTEL_EXPORTER_OTLP_ENDPOINT": at_work.traces.url}
    job = await at_work.ci_job(file, **tracing)
    assert (job.code, job.outputs["workflow_id"]) == (0, "canary/traced/checkout"), job.err

    def ours(span: ReceivedSpan) -> bool:
        return span.trace_id == CI_TRACE

    await asyncio.to_thread(
        at_work.traces.await_spans,
        lambda span: ours(span) and span.name == "RunActivity:evaluate",
    )
    (written,) = await asyncio.to_thread(
        at_work.traces.await_spans, lambda span: ours(span) and span.name == "envoy.write"
    )
    assert written.attributes["coalmine.generation"] >= 1
    spans = {span.span_id: span for span in at_work.traces.spans if ours(span)}
    way = _way_to(written, spans)
    shift = way[2]
    assert (
        shift.attributes
        | {
            "coalmine.rollout_id": job.outputs["rollout_id"],
            "coalmine.service": "checkout",
            "coalmine.environment": "traced",
            "coalmine.version": "2.4.0",
            "coalmine.step": 0,
            "coalmine.weights": f"{BLUE} 80 %, {GREEN} 20 %",
        }
        == shift.attributes
    )
    (shown,) = [span for span in spans.values() if span.name == "proxy.confirm"]
    assert shown.attributes["coalmine.proxy"] == at_work.stack.envoy["admin"]
    names = {span.name for span in spans.values()}
    assert names >= {"RunWorkflow:Canary", "HandleUpdate:submit", "route.read", "route.check", "metric.collect"}
    assert not any(name.startswith(("QueryWorkflow", "HandleQuery")) for name in names)
    assert not [span for span in at_work.traces.spans if at_work.stack.prometheus["url"] in span.text]
    filed = await _in_the_file(at_work, "RunActivity:evaluate")
    (in_file,) = [span for span in filed.values() if span.name == "envoy.write"]
    assert in_file.attributes == written.attributes
    assert [span.span_id for span in _way_to(in_file, filed)] == [span.span_id for span in way]

    garbage = ("--name", "approve", "--input", '"nonsense"')
    sent = await at_work.temporal("workflow", "signal", "--workflow-id", "canary/traced/checkout", *garbage)
    assert sent.code == 0, sent.err
    back = await at_work.coalmine("rollback", "checkout", "-e", "traced", "-m", "seen", "-o", "json")
    assert (back.code, back.data["outcome"]) == (0, "rolled_back"), back.err
    (said,) = await asyncio.to_thread(
        at_work.traces.await_spans, lambda span: ours(span) and span.name == "HandleUpdate:rollback"
    )
    assert said.links
    log = (at_work.stack.path / "worker.log").read_text()
    lines = [line for line in map(json.loads, log.splitlines()) if line.get("trace_id") == CI_TRACE]
    assert all(line["span_id"] for line in lines)
    assert {line.get("activity") for line in lines} >= {"shift", "collect", "evaluate"}
    assert "input refused" in {line["event"] for line in lines}, "lines of workflows carry it too"
    assert {line["environment"] for line in lines} == {"traced"}


NOTHING_WRONG = {
    "Metrics without data / {{service}} {{metric}}",
    "Messages and hooks that failed / message: {{result}}",
    "Messages and hooks that failed / hook {{hook}}: {{result}}",
    "Activities that failed / {{activity_type}}",
}
"""What shows failures alone."""


async def test_every_query_of_the_dashboards_has_its_data(at_work: StackAtWork) -> None:
    harmful = Release("crash", "2.5.0", "rolled_back", replace(HEALTHY, errors=1.0), SLOW_STEP)
    file = await at_work.release(harmful, environment="charts")
    ended = await at_work.coalmine("start", str(file), "--watch", "-o", "json")
    assert ended.data["outcome"] == "rolled_back", ended.err
    file = await at_work.release(Release("open", "2.6.0", "promoted", HEALTHY, SLOW_STEP), environment="charts")
    started = await at_work.coalmine("start", str(file), "-o", "json")
    assert started.data["disposition"] == "started", started.err
    values = {
        **{"environment": "charts", "service": "checkout", "baseline_backend": BLUE, "canary_backend": GREEN},
        **{"baseline_version": FIRST_VERSION, "canary_version": "2.6.0"},
    }
    asked = {where: expr for board in BOARDS.values() for where, expr in expressions(board, values).items()}
    lacking = {where for where in asked if where not in NOTHING_WRONG and not where.startswith("annotation")}
    choices = [(name, *found) for board in BOARDS.values() for name, found in value_queries(board, values).items()]
    async with aiohttp.ClientSession() as session:

        async def answer(path: str, **parameters: str) -> Any:
            async with session.get(f"{at_work.stack.prometheus['url']}/api/v1/{path}", params=parameters) as response:
                told = await response.json()
                assert told["status"] == "success", (parameters, told)
                return told["data"]

        try:
            # Gauges of open rollouts come every 15 s, rates need two samples, and what is rare is soon out of range.
            async with asyncio.timeout(150):
                while lacking:
                    for where, expr in asked.items():
                        if (await answer("query", query=expr))["result"]:
                            lacking.discard(where)
                    await asyncio.sleep(0.5)
        except TimeoutError:
            raise AssertionError("no data for " + "; ".join(f"{where}: {asked[where]}" for where in lacking)) from None
        for name, selector, label in choices:
            assert values[name] in await answer(f"label/{label}/values", **{"match[]": selector}), name
    back = await at_work.coalmine("rollback", "checkout", "-e", "charts", "-m", "seen", "-o", "json")
    assert back.code == 0, back.err


async def test_a_first_spec_is_written_from_what_the_stack_shows(at_work: StackAtWork) -> None:
    stack, file = at_work.stack, at_work.stack.path / "first.yaml"
    words = ["init", str(file), "--prometheus", stack.prometheus["url"], "--scrape", "1s", "--service", "checkout"]
    words += ["-e", "first", "--route-file", stack.envoy["route_file"], "--admin", stack.envoy["admin"]]
    # The route may name one backend alone, after what other tests did with it.
    words += ["--baseline", f"1.0.0={BLUE}", "--canary", f"9.0.0={GREEN}", "-o", "json"]
    async with asyncio.timeout(120):
        # Until Envoy was scraped twice under load there is no rate to find; its histograms come after its counters.
        while True:
            ran = await at_work.coalmine(*words, "--force")
            assert ran.code == 0 or "has neither" in ran.err, ran
            if ran.code == 0 and ran.data["plan"].get("forecast") and len(parse_spec(file.read_text()).metrics) == 2:
                break
            await asyncio.sleep(0.5)
    spec = parse_spec(file.read_text())
    assert {spec.arms.baseline.backend, spec.arms.canary.backend} == {BLUE, GREEN}
    assert [metric.template for metric in spec.metrics] == ["envoy", "envoy"]
    assert any(BLUE in found for found in ran.data["found"])
