"""The Markdown page in the Temporal UI's current details: state and what to do, what to paste, numbers. Pure.

The UI turns quotes and dashes of plain text into typographic ones: whatever people are to copy stands in code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from coalmine.command_input import PLACEHOLDER
from coalmine.commands import can_send
from coalmine.console import submitter
from coalmine.effects import effect_text, interval_text, level, margin_text
from coalmine.gates import approval_of
from coalmine.markdown import cell, code, table, url_length
from coalmine.queueing import line_text, places
from coalmine.records import LedgerEntry, MetricVerdict, Phase, Refusal, Verb
from coalmine.rollout import RolloutState
from coalmine.standing import approval_text, deadline_text, standing

PAGE_LIMIT = 3_500
"""Characters of the page."""
URL_LIMIT = 7_500
"""Bytes of the page as the UI sends it, URL-encoded: a reverse proxy may allow 8 KB. Looks and verdicts give way."""
_LOOKS_SHOWN = 6
_TEXT = 200
"""Characters of one free text on the page; all of it is in ``status`` and ``decisions``."""
_REFUSED_SHOWN = 3
_LOOKED_AT = (Phase.GATED, Phase.STEPPING, Phase.HELD, Phase.BAKING)
_ORDER = (Verb.RESUME, Verb.ROLLBACK, Verb.REJECT, Verb.PAUSE, Verb.EXTEND, Verb.PROMOTE)
"""In which order verbs are offered: what people need in a hurry first."""


def page(state: RolloutState) -> str:
    """The current details. The first line says how it stands and what to do, then comes what can be sent.

    Where all of it is too long, looks and verdicts give way: what can be sent is always there.
    """
    top = [f"### {cell(standing(state), _TEXT)}", _facts(state), _sendable(state)]
    foot = _foot(state)
    for looks, verdicts, tail in ((_LOOKS_SHOWN, 20, foot), (3, 20, foot), (1, 10, foot), (0, 5, foot), (0, 0, "")):
        text = "\n\n".join(part for part in [*top, _verdicts(state, verdicts), _looks(state, looks), tail] if part)
        if len(text) <= PAGE_LIMIT and (url_length(text) <= URL_LIMIT or not tail):
            return text
    return text[: PAGE_LIMIT - 2] + " …"


# ------------------------------------------------------------------------------------------- how it stands


def _facts(state: RolloutState) -> str:
    spec, arms = state.spec, state.spec.arms
    where = f"{spec.environment}{f' / {spec.region}' if spec.region else ''}"
    change = f"{spec.service} {arms.baseline.version} → {arms.canary.version}"
    facts = [f"**{cell(change, _TEXT)}** in {cell(where, _TEXT)}"]
    if state.phase is not Phase.CLOSED:
        facts.append(cell(_steps(state) + _next_look(state), 2 * _TEXT))
    if state.advise:
        facts.append("**advice only: no traffic is shifted**")
    if state.restore_failure and not state.restored:
        facts.append(f"**not restored yet**, try {state.restore_tries + 1}: {cell(state.restore_failure, _TEXT)}")
    elif state.restore_told and not state.restored:
        facts.append("**not restored yet**: the tab Pending Activities shows what the router says")
    if state.held is not None:
        facts.append(f"**held**: {cell(state.held.reason, _TEXT)}")
    wanted = approval_text(state)
    if wanted:
        facts.append(f"**wanted:** {cell(wanted, _TEXT)}")
    until = deadline_text(state)
    if until:
        facts.append(f"**{until}**")
    if state.refused and state.phase is not Phase.CLOSED:
        facts.append(f"**refused** {_refusal(state.refused[-1])}")
    if state.reason:
        facts.append(cell(state.reason, _TEXT))
    if state.phase is Phase.CLOSED:
        facts.append(_at_rest(state))
    if state.diagnosis is not None:
        facts.append(f"**points to the cause:** {cell(state.diagnosis.sentence, _TEXT)}")
    if state.line.waiting:
        facts.append(f"**next:** {cell(line_text(places(state.line)), _TEXT)}")
    if state.unmet and not wanted and state.phase not in (Phase.CLOSED, Phase.ROLLING_BACK):
        facts.append("**not yet:** " + cell("; ".join(state.unmet), 2 * _TEXT))
    return "\n".join(fact for fact in facts if fact)


def _steps(state: RolloutState) -> str:
    past = state.phase in (Phase.PROMOTING, Phase.WINDOW) or state.stage_is_bake
    shown = [
        f"{'●' if index < state.step or past else '◐' if index == state.step else '○'} {step.weight:g} %"
        for index, step in enumerate(state.spec.steps)
    ]
    return "`" + "  ".join([*shown, ("●" if state.canary_share() >= 100 else "○") + " 100 %"]) + "`"


def _next_look(state: RolloutState) -> str:
    if state.next_look is None or state.phase not in _LOOKED_AT:
        return ""
    return f" next look {state.next_look:%H:%M:%S} UTC"


def _at_rest(state: RolloutState) -> str:
    if not state.written:
        return "the route was not touched"
    shares = ", ".join(f"{name} {share:g} %" for name, share in state.weights.items() if share)
    took = f", {state.restore_seconds:.0f} s after the decision" if state.restore_seconds is not None else ""
    return f"the route: {cell(shares, _TEXT)}{took}"


def _refusal(refused: Refusal) -> str:
    # What to send instead stands below, ready to be copied.
    reason = refused.reason.partition("; send {")[0]
    who = f" {cell(refused.by, 40)}" if refused.by else ""
    return f"{refused.at:%H:%M:%S} `{cell(refused.verb, 40)}`{who}: {cell(reason, 160)}"


# ---------------------------------------------------------------------------------------- what can be sent


def _sendable(state: RolloutState) -> str:
    """Each verb that would be taken, with its input on a line of its own, to be copied."""
    verbs = can_send(state)
    lines = _approve(state) if Verb.APPROVE in verbs else []
    others = [verb for verb in _ORDER if verb in verbs]
    if others:
        lines += [f"{' '.join(_named(state, verb) for verb in others)} with input", code(_input(reason="why"))]
    return "\n".join(["**More Actions → Send a Signal:**", *lines]) if lines else ""


def _approve(state: RolloutState) -> list[str]:
    gate = state.waiting_gate()
    if gate is None:
        return []
    if approval_of(state.spec, gate.step).verified:
        service, environment = cell(state.spec.service, 80), cell(state.spec.environment, 80)
        command = f'coalmine approve {service} -e {environment} -m "looks fine" --sign-with KEY'
        return ["`approve` counts only when it is signed, which this page cannot do:", code(command)]
    return ["`approve` with input", code(_input(reason="looks fine", gate=gate.name, attempt=gate.attempt))]


def _named(state: RolloutState, verb: Verb) -> str:
    back = f" (back to {cell(state.spec.arms.baseline.version, 40)})"
    return f"`{verb}`" + (back if verb is Verb.ROLLBACK else "")


def _input(**given: str | int) -> str:
    return json.dumps({"by": PLACEHOLDER, **given}, ensure_ascii=False)


# ------------------------------------------------------------------------------------------------- numbers


def _verdicts(state: RolloutState, most: int) -> str:
    if not state.verdicts or not most:
        return ""
    kinds = {metric.name: metric.kind for metric in state.spec.metrics}
    shown = state.verdicts[:most]
    head = ["metric", "verdict"]
    levels = any(verdict.canary is not None for verdict in shown)
    compared = any(verdict.effect is not None or verdict.interval for verdict in shown)
    head += ["canary:", "baseline:"] if levels else []
    head += ["effect", "margin:"] if compared else []
    rows = [
        [
            verdict.metric if verdict.role == "guardrail" else f"{verdict.metric} (signal)",
            verdict.verdict.replace("_", " "),
            *((_level(verdict.canary, kinds, verdict), _level(verdict.baseline, kinds, verdict)) if levels else ()),
            *((_effect(verdict), margin_text(verdict) or "–") if compared else ()),
        ]
        for verdict in shown
    ]
    if len(state.verdicts) > most:
        rows.append([f"… and {len(state.verdicts) - most} more", *([""] * (len(head) - 1))])
    return table(head, rows) + ("\n\n" + cell(state.finding_reason, _TEXT) if state.finding_reason else "")


def _level(value: float | None, kinds: Mapping[str, str], verdict: MetricVerdict) -> str:
    return level(value, kinds.get(verdict.metric, ""))


def _effect(verdict: MetricVerdict) -> str:
    if verdict.effect is None and verdict.interval is None:
        return "–"
    shown = effect_text(verdict.effect, verdict.measure) if verdict.effect is not None else ""
    between = interval_text(verdict).replace("×", "")
    return f"{shown} ({between})".strip() if between else shown


def _looks(state: RolloutState, most: int) -> str:
    looks = [entry for entry in state.log if entry.kind == "look"]
    if not looks or not most:
        return ""
    # The newest first: people open the page to read that one.
    return table(("look:", "at", "canary:", "requests:", "decision"), map(_look_row, reversed(looks[-most:])))


def _look_row(entry: LedgerEntry) -> tuple[str, ...]:
    data = entry.data
    action = str(data.get("action", "")).replace("_", " ")
    return (
        str(data.get("look", "")),
        f"{entry.at:%H:%M:%S}",
        f"{data.get('weight', 0):g} %",
        f"{data.get('canary_requests', 0):,}",
        cell(f"{action}: {entry.reason}", 70),
    )


def _foot(state: RolloutState) -> str:
    named = f"`{state.rollout_id}` " if state.rollout_id else ""
    starter = state.starter.person if state.starter else ""
    lines = [f"{named}started by {cell(submitter(state.submission.by, starter), 160)}"]
    if state.submission.reason:
        lines[0] += f": {cell(state.submission.reason, _TEXT)}"
    if state.history_note and state.phase is not Phase.CLOSED:
        lines.append(cell(state.history_note, _TEXT))
    older = state.refused[-_REFUSED_SHOWN:] if state.phase is Phase.CLOSED else state.refused[-_REFUSED_SHOWN:-1]
    if older:
        lines += ["", "**Refused:**" if state.phase is Phase.CLOSED else "**Refused before:**", ""]
        lines += [f"- {_refusal(refused)}" for refused in reversed(older)]
    return "\n".join(lines)
