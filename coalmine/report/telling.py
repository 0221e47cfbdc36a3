"""One rollout put together from its ledger entries.

The ledger is a copy that may lag, may have lost looks in an outage, and may have been written by an older version: what
is missing is said in ``notes``, never filled in.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from coalmine import fixed_sample
from coalmine.records import Check, Diagnosis, LedgerEntry, MetricVerdict, Outcome
from coalmine.report.adjusted import adjusted
from coalmine.report.single_look import single_looks
from coalmine.report.story import DecisionStory, LookStory, MetricStory, Point, Story, WeightStory

_VERDICTS = TypeAdapter(list[MetricVerdict])
_CHECKS = TypeAdapter(list[Check])


def tell(entries: Sequence[LedgerEntry]) -> Story:
    """Put the entries of one rollout together; their order does not matter.

    Raises:
        ValueError: there are none, or they are of several rollouts.
    """
    if len({entry.rollout_id for entry in entries}) != 1:
        raise ValueError(f"a report is about one rollout, these entries are of {len({e.rollout_id for e in entries})}")
    ordered = sorted(entries, key=lambda entry: (entry.at, entry.sequence))
    by_kind: dict[str, list[LedgerEntry]] = {}
    for entry in ordered:
        by_kind.setdefault(entry.kind, []).append(entry)
    notes: list[str] = _gaps(ordered)
    admitted = by_kind["admitted"][0] if "admitted" in by_kind else None
    closed = _end(by_kind.get("closed", []))
    promoted = by_kind["promoted"][-1] if "promoted" in by_kind else None
    about: dict[str, Any] = {**(closed.data if closed else {}), **(admitted.data if admitted else {})}
    spec = _mapping(about.get("spec"))
    if admitted is not None and not spec:
        notes.append(
            "The ledger was written by a version that did not keep the spec: policy and metrics are not shown."
        )
    looks = [_look(entry) for entry in by_kind.get("look", [])]
    metrics = _metrics(by_kind.get("look", []), spec, notes)
    # The end keeps the last verdicts in full, also when the last look was not written.
    _add_last_verdicts(metrics, by_kind.get("look", []), closed)
    diagnoses = _diagnoses(by_kind.get("diagnosis", []), notes)
    lacking = fixed_sample.missing()
    if not lacking:
        _add_single_looks(metrics, ordered, spec)
        diagnoses = [adjusted(diagnosis) for diagnosis in diagnoses]
    environment, service, region, version = _place(ordered[0].rollout_id)
    outcome = _text(closed.data.get("outcome")) if closed else _text(promoted.data.get("outcome")) if promoted else None
    story = Story(
        rollout_id=ordered[0].rollout_id,
        sentence="",
        outcome=outcome,
        open=closed is None,
        advise=bool(about.get("advise")),
        cause=_text(closed.data.get("cause")) if closed else None,
        reason=closed.reason if closed else promoted.reason if promoted else "",
        service=service,
        environment=environment,
        region=region,
        version=_text(about.get("version")) or version,
        baseline_version=_text(about.get("baseline")) or "",
        by=(admitted.by if admitted else "") or _text(about.get("by")) or "",
        automated=bool(about.get("automated")),
        began=ordered[0].at,
        ended=closed.at if closed else None,
        last=ordered[-1].at,
        seconds_to_restore=number(closed.data.get("seconds_to_restore")) if closed else None,
        spec_hash=_text(about.get("spec_hash")) or "",
        spec=spec,
        history_note=admitted.reason if admitted else "",
        planned_looks=int(number(about.get("planned_looks")) or 0),
        canary_requests=sum(look.canary_requests for look in looks),
        checks=_read(_CHECKS, about.get("checks")),
        metrics=metrics,
        looks=looks,
        weights=_weights(by_kind.get("shifted", []), about, spec),
        decisions=[_decision(entry) for entry in ordered if entry.kind not in ("look", "diagnosis")],
        diagnoses=diagnoses,
        notes=notes,
        single_look_note=lacking,
    )
    if story.open:
        story.notes.append(
            "The rollout was open when its ledger was read: looks without a decision are written in batches of 20, so "
            "the newest may be missing."
        )
    story.sentence = _sentence(story, ordered)
    return story


def number(value: Any) -> float | None:
    """A finite number out of JSON, None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= sys.float_info.max else None


def _sentence(story: Story, ordered: Sequence[LedgerEntry]) -> str:
    change = " → ".join(part for part in (story.baseline_version, story.version) if part)
    what = f"{story.service} {change}".strip()
    counted = f"{len(story.looks):,} looks and {story.canary_requests:,} canary requests"
    if story.outcome is not None:
        ended = story.outcome.replace("_", " ")
        return f"{what} was {ended} after {counted}: {story.reason.rstrip('.') or 'no reason was recorded'}."
    if not story.open:
        advice = f": {story.reason}" if story.reason else ""
        return f"{what} was judged without shifting traffic, over {counted}{advice}."
    phase = next((str(entry.phase).replace("_", " ") for entry in reversed(ordered) if entry.phase), "open")
    weight = story.weights[-1].weight if story.weights else 0.0
    last = ordered[-1].reason or ordered[-1].kind
    return f"{what} is not over: {phase} at {weight:g} % after {counted}; last: {last.rstrip('.')}."


def _end(closings: list[LedgerEntry]) -> LedgerEntry | None:
    """How it ended. A run that a reset made afterwards may have closed as blocked: the end before that still stands."""
    stands = [entry for entry in closings if entry.data.get("outcome") != Outcome.BLOCKED]
    return next(reversed(stands or closings), None)


def _gaps(ordered: Sequence[LedgerEntry]) -> list[str]:
    have = {entry.sequence for entry in ordered}
    last = max(have)
    missing = last - len([one for one in have if 1 <= one <= last])
    if missing <= 0:
        return []
    # Counted, not listed: a torn ledger may hold any number.
    first = next(wanted for wanted in itertools.count(1) if wanted not in have)
    return [f"{missing} of {last} entries are not in the ledger (the first is {first})."]


def _place(rollout: str) -> tuple[str, str, str | None, str]:
    parts = rollout.split("/")
    environment, service = (parts[0], parts[1]) if len(parts) > 1 else ("", rollout)
    return environment, service, parts[2] if len(parts) == 5 else None, parts[-2] if len(parts) > 3 else ""


def _look(entry: LedgerEntry) -> LookStory:
    data = entry.data
    return LookStory(
        look=int(number(data.get("look")) or 0),
        at=entry.at,
        stage=_text(data.get("stage")) or "compare",
        step=int(step) if (step := number(data.get("step"))) is not None else -1,
        weight=number(data.get("weight")) or 0.0,
        action=_text(data.get("action")) or "continue",
        finding=_text(data.get("finding")) or "",
        reason=entry.reason,
        seconds=number(data.get("seconds")) or 0.0,
        canary_requests=int(number(data.get("canary_requests")) or 0),
    )


def _metrics(looks: Sequence[LedgerEntry], spec: Mapping[str, Any], notes: list[str]) -> list[MetricStory]:
    stories: dict[str, MetricStory] = {}
    written = spec.get("metrics")
    for metric in written if isinstance(written, list) else []:
        if name := _text(_mapping(metric).get("name")):
            kind, role = _text(metric.get("kind")) or "", _text(metric.get("role")) or "guardrail"
            stories[name] = MetricStory(name=name, kind=kind, role=role)
    without = 0
    for entry in looks:
        points = _points(entry)
        without += points is None
        for name, point in (points or {}).items():
            stories.setdefault(name, MetricStory(name=name)).points.append(point)
    if without:
        notes.append(
            f"{without:,} of {len(looks):,} looks were written without the effect of each metric (by an earlier "
            "version, or in a ledger outage): the plots leave them out."
        )
    for story in stories.values():
        if story.points:
            story.verdict = story.points[-1].verdict
    return list(stories.values())


def _points(entry: LedgerEntry) -> dict[str, Point] | None:
    """A look's metrics; None when the entry does not hold them."""
    look = int(number(entry.data.get("look")) or 0)
    effects = entry.data.get("effects")
    if isinstance(effects, list):
        points: dict[str, Point] = {}
        for found in map(_mapping, effects):
            name = _text(found.get("metric"))
            if name is None:
                continue
            given = {key: number(found.get(key)) for key in ("effect", "low", "high", "margin", "baseline", "canary")}
            verdict = _text(found.get("verdict")) or "inconclusive"
            points[name] = Point.model_validate({"look": look, "at": entry.at, "verdict": verdict, **given})
        return points
    if "verdicts" not in entry.data:
        return None
    return {verdict.metric: _point(verdict, look, entry.at) for verdict in _read(_VERDICTS, entry.data["verdicts"])}


def _point(verdict: MetricVerdict, look: int, at: datetime) -> Point:
    low, high = verdict.interval or (None, None)
    return Point(
        look=look,
        at=at,
        verdict=verdict.verdict,
        effect=number(verdict.effect),
        low=number(low),
        high=number(high),
        margin=number(verdict.margin),
        baseline=number(verdict.baseline),
        canary=number(verdict.canary),
    )


def _add_last_verdicts(
    metrics: Sequence[MetricStory], looks: Sequence[LedgerEntry], closed: LedgerEntry | None
) -> None:
    """Each metric's last sentence: looks that decided something keep them, and so does the end."""
    latest: dict[str, tuple[int | None, MetricVerdict]] = {}
    for entry in (*looks, *([closed] if closed else [])):
        at = int(number(entry.data.get("look")) or 0) if entry is not closed else None
        latest.update({verdict.metric: (at, verdict) for verdict in _read(_VERDICTS, entry.data.get("verdicts"))})
    for story in metrics:
        if story.name not in latest:
            continue
        look, verdict = latest[story.name]
        stale = look is not None and bool(story.points) and story.points[-1].look > look
        story.sentence = f"At look {look}: {verdict.sentence}" if stale and verdict.sentence else verdict.sentence
        story.role, story.verdict = verdict.role, story.verdict or verdict.verdict


def _add_single_looks(metrics: Sequence[MetricStory], ordered: Sequence[LedgerEntry], spec: Mapping[str, Any]) -> None:
    written = spec.get("metrics")
    alpha = number(_mapping(spec.get("policy")).get("alpha"))
    if not isinstance(written, list) or alpha is None or not 0.0 < alpha < 1.0:
        return
    found = single_looks(ordered, [_mapping(metric) for metric in written], alpha)
    for story in metrics:
        story.single_looks = found.get(story.name, [])


def _weights(shifts: Sequence[LedgerEntry], about: Mapping[str, Any], spec: Mapping[str, Any]) -> list[WeightStory]:
    canary = _text(_mapping(_mapping(spec.get("arms")).get("canary")).get("backend"))
    snapshot = {name: number(share) or 0.0 for name, share in _mapping(about.get("snapshot")).items()}
    main = max(snapshot, key=lambda name: snapshot[name], default=None)

    def share(weights: Mapping[str, Any]) -> float:
        if canary is not None:
            return number(weights.get(canary)) or 0.0
        # Without a spec the backend the snapshot was on is known to be the baseline's: the rest is the canary's.
        return sum(number(weight) or 0.0 for name, weight in weights.items() if name != main)

    return [WeightStory(at=e.at, weight=share(_mapping(e.data.get("weights"))), what=e.reason) for e in shifts]


def _decision(entry: LedgerEntry) -> DecisionStory:
    verb = _text(entry.data.get("verb")) or ""
    kind = f"{entry.kind} {verb}".strip() if entry.kind in ("command", "refused") else entry.kind
    return DecisionStory(at=entry.at, kind=kind, reason=entry.reason, by=entry.by, phase=str(entry.phase or ""))


def _diagnoses(entries: Sequence[LedgerEntry], notes: list[str]) -> list[Diagnosis]:
    found: list[Diagnosis] = []
    for entry in entries:
        if not entry.data.get("diagnosis"):
            notes.append(f"A diagnosis was not made: {entry.reason}")
            continue
        try:
            found.append(Diagnosis.model_validate(entry.data["diagnosis"]))
        except ValidationError:
            notes.append(f"The diagnosis of entry {entry.sequence} cannot be read: it was written by another version.")
    return found


def _read(adapter: TypeAdapter[list[Any]], value: Any) -> list[Any]:
    try:
        return adapter.validate_python(value or [])
    except ValidationError:
        return []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
