"""What is gathered at a rollback: from stores that answer, hang, fail or cannot, and from the ledger of the others."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from activities import diagnosis as module
from activities.diagnosis import DiagnosisActivities
from activities.ledgers.file import FileLedger
from coalmine.errors import SourceUnreachable
from coalmine.records import (
    ArmCounts,
    BreakdownRequest,
    DiagnosisRequest,
    Exemplar,
    LabelBreakdown,
    LabelCounts,
    LedgerEntry,
    MetricBreakdown,
    Window,
)
from coalmine.spec.canary import Diagnose
from coalmine.spec.ledger import Ledger
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source
from tests.report.stories import NOON
from tests.workflows.specs import make_spec

START, END = NOON - timedelta(minutes=10), NOON
LOGS = "https://logs.example/?q={service}+{version}&from={from_ms}&to={to}"


class Store:
    """Answers breakdowns by metric: a breakdown, an error, or a hang."""

    def __init__(self, **answers: MetricBreakdown | BaseException | None) -> None:
        self.answers = answers
        self.asked: list[BreakdownRequest] = []

    async def break_down(self, source: Source, metric: Metric, request: BreakdownRequest) -> MetricBreakdown:
        self.asked.append(request)
        answer = self.answers[metric.name]
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, MetricBreakdown):
            return answer
        assert answer is not None
        raise answer


def broken() -> MetricBreakdown:
    values = [("pay", 92, 400, 9, 3600), ("cart", 3, 1600, 31, 14400)]
    return MetricBreakdown(
        metric="errors",
        labels=[
            LabelBreakdown(
                label="route",
                values=[
                    LabelCounts(value=name, canary=ArmCounts(total=n, events=e), baseline=ArmCounts(total=m, events=b))
                    for name, e, n, b, m in values
                ],
            )
        ],
        exemplars=[Exemplar(trace_id="a/b?c", at=NOON)],
    )


def request(folder: Path, *names: str, **settings: Any) -> DiagnosisRequest:
    spec = make_spec()
    return DiagnosisRequest(
        decision="roll_back",
        reason="errors: 9 % against 1 %",
        at=END,
        window=Window(start=START, end=END),
        metrics=[Metric(name=name, kind="ratio", template="envoy") for name in names or ("errors",)],
        arms=spec.arms,
        sources=spec.sources,
        ledger=Ledger(path=str(folder)),
        settings=Diagnose.model_validate(settings),
        service="checkout",
        environment="test",
        rollout_id="test/checkout/1.1.0/7",
    )


async def note(folder: Path, rollout: str, minutes: float, kind: str, reason: str = "") -> None:
    at = END + timedelta(minutes=minutes)
    entry = LedgerEntry(kind=kind, rollout_id=rollout, sequence=abs(round(minutes)) + 1, at=at, reason=reason)
    await FileLedger(folder).append(rollout.rsplit("/", 2)[0], [entry])


async def test_what_points_to_the_cause(tmp_path: Path) -> None:
    await note(tmp_path, "test/cart/2.0/1", -5, "shifted", "shift 50 % to 2.0")
    await note(tmp_path, "test/cart/2.0/1", -4, "gate", "waits")
    await note(tmp_path, "test/cart/2.0/1", -40, "shifted", "long ago")
    await note(tmp_path, "test/cart/2.0/1", 3, "shifted", "later")
    await note(tmp_path, "test/checkout/1.1.0/7", -6, "shifted", "its own")
    await note(tmp_path, "live/cart/2.0/1", -5, "shifted", "elsewhere")
    store = Store(errors=broken())
    links = {"logs": LOGS, "traces": "https://traces.example/{trace_id}"}
    found = await DiagnosisActivities({"prometheus": store}).diagnose(request(tmp_path, labels=["route"], links=links))
    assert found.sentence == (
        "errors: route pay carries 100 % of the excess with 20 % of the traffic; "
        "1 other rollout changed something at that time"
    )
    assert found.reason == "errors: 9 % against 1 %"
    assert found.rankings[0].stands_out
    assert [change.what for change in found.changes] == ["shifted: shift 50 % to 2.0"]
    assert [link.url for link in found.links] == [
        "https://logs.example/?q=checkout+1.1.0&from=1772365800000&to=2026-03-01T12%3A00%3A00Z"
    ]
    assert found.exemplars[0].link == "https://traces.example/a%2Fb%3Fc"
    assert found.notes == []
    assert store.asked[0].labels == ["route"]
    assert store.asked[0].window.start == START


async def test_what_fails_is_a_note_and_the_rest_is_kept(tmp_path: Path) -> None:
    (tmp_path / "test/cart").mkdir(parents=True)
    (tmp_path / "test/cart/2.0-1.jsonl").write_text("{}\n")
    store = Store(errors=broken(), down=SourceUnreachable("it is down"), odd=KeyError("oops"))
    activities = DiagnosisActivities({"prometheus": store})
    found = await activities.diagnose(request(tmp_path, "down", "odd", "errors"))
    assert found.sentence.startswith("errors: route pay carries")
    assert sorted(note.split(":")[0] for note in found.notes) == ["changes", "down", "odd"]
    assert "down: it is down" in found.notes
    assert "odd: KeyError: 'oops'" in found.notes


async def test_a_store_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUDGET", timedelta(milliseconds=50))
    store = Store(errors=None, others=broken().model_copy(update={"metric": "others"}))
    found = await DiagnosisActivities({"prometheus": store}).diagnose(request(tmp_path, "errors", "others"))
    assert found.notes == ["errors: no answer within 0.05 s"]
    assert found.sentence.startswith("others: route pay")


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ({}, "errors: this worker serves no source 'prometheus' (kinds it serves: none)"),
        ({"prometheus": object()}, "errors: not supported: sources of kind prometheus cannot break a metric down"),
    ],
)
async def test_a_store_that_cannot_says_so(tmp_path: Path, sources: dict[str, object], said: str) -> None:
    found = await DiagnosisActivities(sources).diagnose(request(tmp_path))
    assert found.sentence == "nothing points to a cause"
    assert found.notes == [said]
