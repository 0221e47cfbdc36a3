"""Ledger entries of made-up rollouts, as workflows write them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import exp, sin
from typing import Any

from coalmine.effects import effect_record
from coalmine.records import (
    Change,
    Contribution,
    Diagnosis,
    Exemplar,
    LabelRanking,
    LedgerEntry,
    Link,
    MetricCounts,
    MetricVerdict,
    Phase,
    Window,
)
from coalmine.spec.digest import spec_digest, spec_record
from tests.workflows.specs import make_spec

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROLLOUT = "test/checkout/1.1.0/7"
NASTY = "</title><script>alert('x')</script><img src=x onerror=alert(1)>\"'`|[a](javascript:alert(1))"


class Book:
    """Writes entries with rising sequences, ten seconds apart unless told."""

    def __init__(self, rollout_id: str = ROLLOUT, every: float = 10) -> None:
        self.entries: list[LedgerEntry] = []
        self.at = NOON
        self._every = timedelta(seconds=every)
        self._rollout_id = rollout_id

    def add(self, kind: str, reason: str = "", by: str = "", phase: Phase = Phase.STEPPING, **data: Any) -> None:
        entry = LedgerEntry(
            kind=kind,
            rollout_id=self._rollout_id,
            sequence=len(self.entries) + 1,
            at=self.at,
            reason=reason,
            by=by,
            phase=phase,
            data=data,
        )
        self.entries.append(LedgerEntry.model_validate_json(entry.model_dump_json()))
        self.at += self._every

    def admit(self, text: str = "no history yet", **changes: Any) -> None:
        spec = make_spec(**changes)
        self.add(
            "admitted",
            text,
            "ana@example.org",
            version=spec.arms.canary.version,
            baseline=spec.arms.baseline.version,
            automated=True,
            advise=False,
            snapshot={"checkout-v1": 100.0},
            checks=[{"ok": True, "name": "router", "reason": text}],
            spec=spec_record(spec),
            spec_hash=spec_digest(spec),
            planned_looks=42,
        )

    def shift(self, weight: float, what: str = "shift") -> None:
        self.add("shifted", what, generation=1, weights={"checkout-v1": 100 - weight, "checkout-v2": weight})

    def look(
        self,
        number: int,
        verdicts: list[MetricVerdict],
        action: str = "continue",
        reason: str = "so far",
        counts: Sequence[MetricCounts] = (),
        **changes: Any,
    ) -> None:
        effects = [effect_record(verdict) for verdict in verdicts]
        full = [verdict.model_dump(mode="json", exclude_defaults=True) for verdict in verdicts]
        numbers: dict[str, Any] = {
            "look": number,
            "stage": "compare",
            "step": 0,
            "weight": 10.0,
            "seconds": 10.0,
            "canary_requests": 100,
            "finding": "undecided",
            "action": action,
            "effects": effects,
            "counts": [one.model_dump(mode="json", exclude_defaults=True) for one in counts],
            "from": (self.at - self._every).isoformat(),
            "to": self.at.isoformat(),
        } | changes
        if action != "continue":
            numbers["verdicts"] = full
        self.add("look", reason, **numbers)

    def close(self, outcome: str | None, reason: str, cause: str | None = None) -> None:
        self.add("closed", reason, phase=Phase.CLOSED, outcome=outcome, cause=cause, seconds_to_restore=0.42)


def verdict(
    metric: str = "errors", effect: float | None = 1.0, width: float = 0.5, name: str = "inconclusive", text: str = ""
) -> MetricVerdict:
    interval = (effect * exp(-width), effect * exp(width)) if effect is not None else None
    return MetricVerdict.model_validate(
        {
            "metric": metric,
            "verdict": name,
            "effect": effect,
            "interval": interval,
            "margin": 1.1,
            "baseline": 0.0021,
            "canary": 0.0021 * (effect or 1.0),
            "sentence": text or f"{metric}: 0.92 % against 0.21 %",
        }
    )


def diagnosis(text: str = "/pay carries 94 % of the excess") -> Diagnosis:
    return Diagnosis(
        sentence=text,
        reason=text,
        at=NOON,
        window=Window(start=NOON, end=NOON + timedelta(minutes=5)),
        rankings=[
            LabelRanking(
                metric="errors",
                label="route",
                stands_out=True,
                values=[
                    Contribution(
                        value=text,
                        share=0.94,
                        excess=88.2,
                        canary_events=92,
                        canary_total=4_000,
                        baseline_events=38,
                        baseline_total=36_000,
                        traffic=0.2,
                        chance=1e-9,
                    )
                ],
            )
        ],
        exemplars=[
            Exemplar(trace_id="4bf92f3577b34da6", at=NOON, value=1.2, link="https://traces.example/4bf92f3577b34da6"),
            Exemplar(trace_id=text, at=NOON, value=1.2, link="javascript:alert(1)"),
        ],
        links=[Link(name=text, url="https://logs.example/?q=checkout"), Link(name="bad", url=f"https://x/{text}")],
        changes=[Change(at=NOON, rollout_id="test/cart/2.0.0/1", what=text)],
        notes=[text],
    )


def rolled_back(looks: int = 30, text: str = "it is worse", every: float = 10, **changes: Any) -> list[LedgerEntry]:
    """Two metrics; errors rise and are found at the last look."""
    book = Book(every=every)
    book.admit(text, **changes)
    book.shift(10.0, text)
    for number in range(1, looks + 1):
        effect = 1.0 + 3.0 * number / looks + 0.05 * sin(number)
        last = number == looks
        errors = verdict(effect=effect, width=3 / (1 + number**0.5), name="fail" if last else "inconclusive", text=text)
        latency = verdict("latency", None if number % 10 == 3 else 0.9, 0.2, "pass", text)
        book.look(number, [errors, latency], "roll_back" if last else "continue", text)
    book.add("roll_back", text, cause="analysis", ending="rolled_back", phase=Phase.ROLLING_BACK)
    book.shift(0.0, text)
    book.add("diagnosis", text, phase=Phase.ROLLING_BACK, diagnosis=diagnosis(text).model_dump(mode="json"))
    book.close("rolled_back", text, "analysis")
    return book.entries
