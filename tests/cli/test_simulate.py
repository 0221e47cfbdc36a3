"""``coalmine simulate`` over a real Prometheus that holds an hour of the past."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from temporalio.testing import ActivityEnvironment

from activities.ledger import LedgerActivities
from coalmine.analysis import evaluate
from coalmine.cli import main
from coalmine.local.prometheus import PrometheusServer
from coalmine.records import ArmCounts, EvaluateRequest, Finding, HistoryRequest, Judge, MetricCounts
from coalmine.spec.canary import CanarySpec
from coalmine.spec.document import parse_parts

SPEC = """\
arms:
  baseline: {version: 1.41.0, backend: shop-v41}
  canary: {version: 1.42.0, backend: shop-v42}
metrics:
  - {name: errors, kind: ratio, template: http}
policy: {look: 30s}
sources: {prometheus: {url: "http://127.0.0.1:1", scrape: 10s}}
"""
SCRAPE, LOOK = 10, 30
LOOKS = 64
INSTANCES = ("a:80", "b:80", "c:80", "d:80")
BEGIN = datetime.fromtimestamp((datetime.now(UTC) - timedelta(hours=3)).timestamp() // 7200 * 7200, UTC)
"""A moment at which a block of Prometheus begins, long enough ago."""


def samples() -> str:
    """Counters of four instances of the live version, and of a canary with ten times the errors, as OpenMetrics.

    The canary takes half as much CPU again, and a queue grows beyond 100 in the twelfth look. Once in the fifth look of
    the canary, and in the seventh of a live instance, a disk reports nonsense; one live instance has other buckets.
    """
    rng = np.random.default_rng(11)
    rows = []
    cpu = []
    queue, disk, took = [], [], []
    for version, instance, rate in [("1.41.0", one, 0.004) for one in INSTANCES] + [("1.42.0", "e:80", 0.04)]:
        good = bad = 0
        for tick in range(-12, LOOKS * LOOK // SCRAPE + 3):
            at = BEGIN.timestamp() + tick * SCRAPE
            failed = int(rng.binomial(500, rate))
            good, bad = good + 500 - failed, bad + failed
            level = (0.6 if version == "1.42.0" else 0.4) + 0.02 * rng.standard_normal()
            cpu.append(f'process_cpu{{version="{version}",instance="{instance}"}} {level:.6f} {at:.3f}')
            odd = {"e:80": 5, "a:80": 7}.get(instance, -1) * LOOK // SCRAPE + 1
            disk.append(f'disk{{version="{version}",instance="{instance}"}} {1e200 if tick == odd else 1} {at:.3f}')
            for bound in ("0.25" if instance == "d:80" else "0.1", "+Inf"):
                labels = f'version="{version}",instance="{instance}",le="{bound}"'
                took.append(f"took_bucket{{{labels}}} {good + bad} {at:.3f}")
            if version == "1.42.0":
                queue.append(f"queue {12 if tick < 12 * LOOK // SCRAPE else 120} {at:.3f}")
            for code, value in (("200", good), ("503", bad)):
                labels = f'version="{version}",instance="{instance}",job="shop",code="{code}"'
                rows.append((version, instance, code, at, f"http_requests_total{{{labels}}} {value} {at:.3f}"))
    body = "\n".join(row[-1] for row in sorted(rows))
    gauges = "\n".join(["# TYPE process_cpu gauge", *cpu, "# TYPE queue gauge", *queue, "# TYPE disk gauge", *disk])
    times = "\n".join(took)
    return f"# TYPE http_requests counter\n{body}\n{gauges}\n# TYPE took histogram\n{times}\n# EOF\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prometheus(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PrometheusServer]:
    folder = tmp_path_factory.mktemp("past")
    (folder / "past.txt").write_text(samples())
    words = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(folder / "past.txt"), str(folder / "data")]
    await asyncio.to_thread(lambda: subprocess.run(words, check=True, stdout=subprocess.DEVNULL))
    async with PrometheusServer(folder) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.yaml").write_text(SPEC)
    return tmp_path


def period(looks: int = LOOKS) -> list[str]:
    return ["--from", BEGIN.isoformat(), "--to", (BEGIN + timedelta(seconds=looks * LOOK)).isoformat()]


@pytest.mark.asyncio(loop_scope="module")
async def test_the_live_version_split_raises_no_alarm_and_teaches_its_noise(
    prometheus: PrometheusServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["simulate", "spec.yaml", "--prometheus", prometheus.url, *period()]
    split = [*words, "--split", "instance", "--save-history", "aa.jsonl", "-o", "json"]
    assert await asyncio.to_thread(main, split) == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert [one["trace"].split()[0] for one in told["releases"]] == [f"instance={name}" for name in INSTANCES]
    assert told["false_alarms"]["of"] == 4
    assert told["false_alarms"]["rolled_back"] == told["false_alarms"]["held"] == 0
    # Not one request is lost or counted twice: 500 in every scrape.
    assert {one["canary_requests"]["errors"] for one in told["releases"]} == {LOOKS * LOOK // SCRAPE * 500}
    assert "4 releases without change: 0 rolled back, 0 held by an alarm" in printed.err
    looks = [json.loads(line) for line in (folder / "aa.jsonl").read_text().splitlines()]
    assert len(looks) == LOOKS
    assert looks[0]["observations"]["errors"]["canary"]["total"] == 3000
    assert looks[0]["observations"]["errors"]["baseline"]["total"] == 3000

    assert await asyncio.to_thread(main, [*words, "--history", "aa.jsonl", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["false_alarms"] is None
    release = told["releases"][0]
    assert (release["trace"], release["decision"], release["look"]) == ("1.42.0", "roll_back", 0)
    assert await asyncio.to_thread(main, [*words, "-o", "json"]) == 0
    cold = json.loads(capsys.readouterr().out)["releases"][0]
    assert (cold["decision"], cold["look"]) == ("roll_back", 1)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_stored_history_is_what_the_next_rollout_judges_with(
    prometheus: PrometheusServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "spec.yaml").write_text(f"service: shop\nenvironment: production\nledger: {{path: books}}\n{SPEC}")
    words = ["simulate", "spec.yaml", "--prometheus", prometheus.url, "--split", "instance", "--store-history"]
    for _ in range(2):
        assert await asyncio.to_thread(main, [*words, *period()]) == 0
        said = capsys.readouterr().err
        assert f"{LOOKS} looks of 1.41.0 against itself; rollouts of production/shop judge with them" in said
    (stored,) = (folder / "books").rglob("*.*")
    assert stored.parent == folder / "books/production/shop", "stored again, the same period is there once"

    spec = read_spec_parts(folder)
    request = HistoryRequest(
        service="shop", environment="production", metrics=spec.metrics, ledger=spec.ledger, now=datetime.now(UTC)
    )
    known = await ActivityEnvironment().run(LedgerActivities().read_history, request)
    assert known.looks == LOOKS
    assert known.load == pytest.approx(4 * 50, rel=0.01)
    counts = MetricCounts(
        metric="errors", canary=ArmCounts(total=1500, events=60), baseline=ArmCounts(total=4500, events=20)
    )
    findings = []
    for history in (known, None):
        judge = Judge(metrics=spec.metrics, policy=spec.policy, planned_looks=LOOKS, history=history)
        findings.append(evaluate(EvaluateRequest(judge=judge, counts=[counts], share=0.25)).finding)
    assert findings == [Finding.HARM, Finding.UNDECIDED], "the judge that knows the service needs one look"

    overlapping = ["--from", (BEGIN + timedelta(seconds=LOOK)).isoformat(), *period()[2:]]
    assert await asyncio.to_thread(main, [*words, *overlapping]) == 1
    assert "the same time would count twice" in capsys.readouterr().err
    assert await asyncio.to_thread(main, [*words, *period(59)]) == 2
    said = capsys.readouterr().err
    assert "--store-history: 59 of 59 looks have data of every metric and are at most 30d old" in said
    assert "a history needs 60: choose a longer or later period" in said


def read_spec_parts(folder: Path) -> CanarySpec:
    return parse_parts((folder / "spec.yaml").read_text(), ("metrics", "policy", "arms"))[0]


@pytest.mark.asyncio(loop_scope="module")
async def test_steps_cut_the_period_into_releases(
    prometheus: PrometheusServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "spec.yaml").write_text(SPEC + "steps: [{weight: 10, for: 5m}]\n")
    words = ["simulate", "spec.yaml", "--prometheus", prometheus.url, "--split", "instance"]
    assert await asyncio.to_thread(main, [*words, *period(25), "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["releases"]) == 2 * len(INSTANCES)
    assert await asyncio.to_thread(main, [*words, *period(25)]) == 0
    assert capsys.readouterr().out.count("instance=a:80") == 2
    assert await asyncio.to_thread(main, [*words, *period(9)]) == 2
    assert "the period has 9 looks, the spec's steps plan 10: choose a longer one" in capsys.readouterr().err
    assert await asyncio.to_thread(main, [*words[:-1], "job", *period(12)]) == 2
    assert "--split job: values in this period: 1; a split needs two at least" in capsys.readouterr().err


CPU = "{name: cpu, kind: value, values: 'process_cpu{version=\"{arm.version}\"}'}"
QUEUE = "{name: queue, kind: threshold, query: max(queue), limits: {max: 100, failures: 2}}"
SLO = "{name: availability, kind: slo, template: http, slo: {objective: 0.99, burn: [{rate: 2, long: 5m, short: 1m}]}}"
BAD = '{name: bad, kind: count, events: \'http_requests_total{version="{arm.version}",code="503"}\'}'


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("metric", "decision", "least", "most", "said"),
    [
        (CPU, "roll_back", 19, 40, "allowed +0.08"),
        (QUEUE, "roll_back", 12, 12, "queue: 120, at most 100 allowed; 2 of 13 looks failed"),
        (SLO, "roll_back", 0, 12, "times what 99 % allow"),
        (BAD, "hold", None, None, "bad: "),
    ],
    ids=["value", "threshold", "slo", "count"],
)
async def test_further_kinds_are_replayed(
    prometheus: PrometheusServer,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    metric: str,
    decision: str,
    least: int | None,
    most: int | None,
    said: str,
) -> None:
    text = SPEC.replace("{name: errors, kind: ratio, template: http}", metric)
    (folder / "spec.yaml").write_text(text.replace("look: 30s", "look: 30s, no_history: roll_back"))
    words = ["simulate", "spec.yaml", "--prometheus", prometheus.url, *period()]
    assert await asyncio.to_thread(main, [*words, "-o", "json"]) == 0
    printed = capsys.readouterr()
    (release,) = json.loads(printed.out)["releases"]
    assert release["decision"] == decision
    assert release["look"] is None if least is None else least <= release["look"] <= (most or 0)
    (found,) = release["metrics"].values()
    assert said in found["reason"]
    assert ("which is not in Prometheus: it shows nothing here" in printed.err) == (metric == BAD)


@pytest.mark.asyncio(loop_scope="module")
async def test_instances_are_split_by_what_they_take(
    prometheus: PrometheusServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "spec.yaml").write_text(SPEC.replace("policy:", f"  - {CPU}\npolicy:"))
    words = ["simulate", "spec.yaml", "--prometheus", prometheus.url, "--split", "instance", *period()]
    assert await asyncio.to_thread(main, [*words, "--save-history", "aa.jsonl", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["false_alarms"]["rolled_back"] == told["false_alarms"]["held"] == 0
    assert {one["metrics"]["cpu"]["verdict"] for one in told["releases"]} == {"pass"}
    look = json.loads((folder / "aa.jsonl").read_text().splitlines()[0])
    assert [len(look["observations"]["cpu"][arm]["values"]) for arm in ("canary", "baseline")] == [2, 2]

    (folder / "spec.yaml").write_text(SPEC.replace("policy:", f"  - {QUEUE}\npolicy:"))
    assert await asyncio.to_thread(main, words) == 2
    assert "--split instance: metrics.queue is a threshold, whose query is of no version" in capsys.readouterr().err


DISK = "{name: disk, kind: value, values: 'disk{version=\"{arm.version}\"}'}"
TOOK = "{name: took, kind: latency, buckets: 'took_bucket{version=\"{arm.version}\"}'}"


def at_look(number: int) -> str:
    return (BEGIN + timedelta(seconds=(number + 1) * LOOK)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("split", "lacking", "said"),
    [
        ([], [5, 7], f"disk: 2 of 20 looks lack data, first that to {at_look(5)}: rejected: canary.values[0]: "),
        (
            ["--split", "instance"],
            [7],
            f"disk: 1 of 20 looks lack data, first that to {at_look(7)}: instance=a:80: rejected: canary.",
        ),
    ],
)
async def test_a_number_beyond_counting_costs_its_metric_that_look(
    prometheus: PrometheusServer,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    split: list[str],
    lacking: list[int],
    said: str,
) -> None:
    (folder / "spec.yaml").write_text(SPEC.replace("{name: errors, kind: ratio, template: http}", DISK))
    words = ["simulate", "spec.yaml", "--prometheus", prometheus.url, *period(20), *split]
    assert await asyncio.to_thread(main, [*words, "--all-looks", "-o", "json"]) == 0
    printed = capsys.readouterr()
    assert said in printed.err
    assert "is beyond 1e+100: use another unit" in printed.err
    assert printed.err.count("\n") == 1 + bool(split)
    first, *others = json.loads(printed.out)["releases"]
    assert [one["look"] for one in first["looks"] if one["finding"] == "no_data"] == lacking
    assert not any(one["finding"] == "no_data" for release in others for one in release["looks"])


@pytest.mark.asyncio(loop_scope="module")
async def test_an_instance_with_other_buckets_costs_the_latency_alone(
    prometheus: PrometheusServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "spec.yaml").write_text(SPEC.replace("policy:", f"  - {TOOK}\npolicy:"))
    words = ["simulate", "spec.yaml", "--prometheus", prometheus.url, "--split", "instance", *period(20)]
    assert await asyncio.to_thread(main, [*words, "-o", "json", "--save-history", "aa.jsonl"]) == 0
    printed = capsys.readouterr()
    assert (
        f"took: 20 of 20 looks lack data, first that to {at_look(0)}: instance=d:80 shares no bucket bound with the "
        "others: use the same for all" in printed.err
    )
    for release in json.loads(printed.out)["releases"]:
        assert release["metrics"]["took"]["verdict"] == "no_data"
        assert release["metrics"]["errors"]["verdict"] != "no_data"
    look = json.loads((folder / "aa.jsonl").read_text().splitlines()[0])
    assert look["observations"]["took"]["baseline"] is None


@pytest.mark.asyncio(loop_scope="module")
async def test_what_cannot_be_read_at_all_names_the_look(
    prometheus: PrometheusServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = QUEUE.replace("max(queue)", "process_cpu")
    (folder / "spec.yaml").write_text(SPEC.replace("policy:", f"  - {many}\npolicy:"))
    words = ["simulate", "spec.yaml", "--prometheus", prometheus.url, *period(1)]
    assert await asyncio.to_thread(main, words) == 1
    said = capsys.readouterr().err
    assert f"look to {at_look(0)}: metrics.queue.query: process_cpu answers 5 series" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*period(0)], "the period is shorter than one look"),
        ([*period(10**6)], "the period has 1,000,000 looks, at most 20,000 are read"),
        ([*period(700)], "samples up to "),
        (["--from", "yesterday", "--to", "2026-01-01T00:00:00Z"], "'yesterday' is no time such as"),
        (["--from", "2026-01-01", "--to", "2026-01-01T00:00:00Z"], "'2026-01-01' has no time zone"),
        ([*period(), "--save-history", "a.jsonl"], "--save-history needs --split"),
        ([*period(), "--store-history"], "--store-history needs --split"),
        (
            [*period(), "--store-history", "--split", "instance"],
            "--store-history: service and environment are missing in the spec",
        ),
        ([*period(), "--prometheus", "localhost"], "--prometheus: "),
    ],
)
def test_wrong_use_is_one_line(words: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "spec.yaml", "--prometheus", "http://127.0.0.1:1", *words]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_a_metric_that_reads_nothing_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "spec.yaml").write_text(SPEC.replace(", template: http", "").partition("sources:")[0])
    assert main(["simulate", "spec.yaml", "--prometheus", "http://127.0.0.1:1", *period()]) == 2
    assert "metrics.errors.total is missing: write a selector, or a template" in capsys.readouterr().err


def test_a_store_that_does_not_answer_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "spec.yaml", "--prometheus", "http://127.0.0.1:1", *period(3)]) == 1
    printed = capsys.readouterr()
    assert "127.0.0.1:1" in printed.err
    assert "error: " in printed.err
    assert "internal error" not in printed.err
    assert printed.err.count("\n") == 1
