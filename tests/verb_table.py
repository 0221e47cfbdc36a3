"""The table verb x phase: what each word does to a rollout, or why it is refused. docs/commands.md shows it.

After a change: ``.venv/bin/python -m tests.verb_table`` writes the document anew.
"""

from __future__ import annotations

from pathlib import Path

from coalmine.records import Phase, Verb

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "commands.md"

NO = "refused: "
"""Begins a cell that is a refusal; the rest is part of its reason."""

_NOT_WAITING = NO + "no gate is waiting now"
_BACK = NO + "the rollout is rolling back; it ends when the route reads back right"
_CLOSED = NO + "the rollout is closed"
_FULL = NO + "all traffic is on the canary already"
_PAST = NO + "past its gates: send rollback to take it back"
_NO_PAUSE = NO + "there is nothing to pause while it is"
_NO_RESUME = NO + "it is neither paused nor held"
_NO_EXTEND = NO + "there is nothing to extend while it is"

_PAUSED = "paused: it will not advance"
_ROLL = "rolling back now"
_REJECT = "rejected: rolling back now"
_PROMOTE = "promoting to 100 % now"

TABLE: dict[Verb, dict[Phase, str]] = {
    Verb.APPROVE: {
        Phase.ADMITTING: _NOT_WAITING,
        Phase.GATED: "gate 'go' is open",
        Phase.STEPPING: _NOT_WAITING,
        Phase.HELD: _NOT_WAITING,
        Phase.PROMOTING: _NOT_WAITING,
        Phase.BAKING: _NOT_WAITING,
        Phase.WINDOW: _NOT_WAITING,
        Phase.ROLLING_BACK: _BACK,
        Phase.CLOSED: _CLOSED,
    },
    Verb.REJECT: {
        Phase.ADMITTING: _REJECT,
        Phase.GATED: _REJECT,
        Phase.STEPPING: _REJECT,
        Phase.HELD: _REJECT,
        Phase.PROMOTING: _PAST,
        Phase.BAKING: _PAST,
        Phase.WINDOW: _PAST,
        Phase.ROLLING_BACK: _BACK,
        Phase.CLOSED: _CLOSED,
    },
    Verb.PAUSE: {
        Phase.ADMITTING: _NO_PAUSE,
        Phase.GATED: _PAUSED,
        Phase.STEPPING: _PAUSED,
        Phase.HELD: NO + "it is held and does not advance anyhow",
        Phase.PROMOTING: _NO_PAUSE,
        Phase.BAKING: "paused: the bake's clock stops",
        Phase.WINDOW: _NO_PAUSE,
        Phase.ROLLING_BACK: _BACK,
        Phase.CLOSED: _CLOSED,
    },
    Verb.RESUME: {
        Phase.ADMITTING: _NO_RESUME,
        Phase.GATED: _NO_RESUME,
        Phase.STEPPING: _NO_RESUME,
        Phase.HELD: "resumed: '",
        Phase.PROMOTING: _NO_RESUME,
        Phase.BAKING: _NO_RESUME,
        Phase.WINDOW: _NO_RESUME,
        Phase.ROLLING_BACK: _BACK,
        Phase.CLOSED: _CLOSED,
    },
    Verb.EXTEND: {
        Phase.ADMITTING: _NO_EXTEND,
        Phase.GATED: "gate 'go' waits 30m longer",
        Phase.STEPPING: "the step lasts 30m longer",
        Phase.HELD: "the hold ends 30m later",
        Phase.PROMOTING: _NO_EXTEND,
        Phase.BAKING: "the bake ends 30m later",
        Phase.WINDOW: "the rollback window ends 30m later",
        Phase.ROLLING_BACK: _BACK,
        Phase.CLOSED: _CLOSED,
    },
    Verb.PROMOTE: {
        Phase.ADMITTING: NO + "the rollout is still being admitted",
        Phase.GATED: _PROMOTE,
        Phase.STEPPING: _PROMOTE,
        Phase.HELD: _PROMOTE,
        Phase.PROMOTING: _FULL,
        Phase.BAKING: _FULL,
        Phase.WINDOW: _FULL,
        Phase.ROLLING_BACK: _BACK,
        Phase.CLOSED: _CLOSED,
    },
    Verb.ROLLBACK: {
        **dict.fromkeys(Phase, _ROLL),
        Phase.ROLLING_BACK: "it is rolling back already",
        Phase.CLOSED: _CLOSED,
    },
}

_MEANING = {
    Verb.APPROVE: "Opens the gate that waits, or the one named by `gate` (also early: it is kept). "
    "`attempt` makes sure that an answer to an older question opens nothing. "
    "Approving the gate that a hold is about ends the hold.",
    Verb.REJECT: "Sends the release back before it has all traffic; the outcome is `rejected`.",
    Verb.PAUSE: "Stops advancing only: looks go on, and a failing guardrail still rolls back. "
    "In the bake the clock stops. "
    "A promotion that waits for the ledger can be paused too.",
    Verb.RESUME: "Goes on after a pause or a hold. What held is taken note of and does not hold again; "
    "clocks (data, extension, gate) start anew. A hold in the bake goes back to the bake.",
    Verb.EXTEND: "Lengthens the step, the waiting gate, the hold, the bake or the rollback window by `for` "
    "(default 30m).",
    Verb.PROMOTE: "Goes to 100 % past steps, gates and the no-harm proof. It is recorded as an override with its "
    "reason, and refused while a guardrail fails, and in a bake, which is at 100 % already.",
    Verb.ROLLBACK: "Restores the route as it was. It interrupts whatever is going on.",
}


def render() -> str:
    """The document, from the table."""
    phases, verbs = list(Phase), list(TABLE)
    lines = [
        "# What people can say to a rollout",
        "",
        "Seven verbs, each as a signal (Temporal UI, `temporal workflow signal`) and as an update of the same name",
        "(`coalmine approve` ...), whose refusal comes back with its reason. Both take one JSON object:",
        "",
        "```",
        "temporal workflow signal -w canary/production/checkout --name approve \\",
        '  --input \'{"by": "ana", "reason": "ok"}\'',
        "```",
        "",
        "| key | for | meaning |",
        "|---|---|---|",
        "| `by` | all, required | who says it (at most 200 characters) |",
        "| `reason` | all | why (at most 2,000 characters) |",
        "| `gate` | `approve`, `reject` | the gate that is meant; absent: the one that waits now |",
        "| `attempt` | `approve`, `reject` | which asking of that gate; a stale one is refused |",
        "| `for` | `extend` | how much longer, such as `45m`; absent: `30m` |",
        "| `token` | all | proves who says it, where decisions are signed ([identity](identity.md)) |",
        "| `break_glass` | `approve` | `true` opens the gate without its people, where it lets that; it is recorded |",
        "",
        "A refused input changes nothing. It is listed with its reason in the query `decisions`, on the rollout's page",
        "and in the ledger; so is a misspelt verb, or an input that is not JSON.",
        "",
        "## Verb and phase",
        "",
        "| | " + " | ".join(f"`{verb}`" for verb in verbs) + " |",
        "|---|" + "---|" * len(verbs),
    ]
    for phase in phases:
        cells = ["–" if TABLE[verb][phase].startswith(NO) else "yes" for verb in verbs]
        lines.append(f"| `{phase}` | " + " | ".join(cells) + " |")
    for verb in verbs:
        lines += ["", f"## {verb}", "", _MEANING[verb], "", "| phase | answer |", "|---|---|"]
        lines += [f"| `{phase}` | {_cell(TABLE[verb][phase])} |" for phase in phases]
    lines += [
        "",
        "`resume` is taken in every phase but the last two and the window while the rollout is paused. While one order",
        "(`rollback`, `reject`, `promote`) is being carried out, only `rollback` is taken.",
        "",
    ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    refused = text.startswith(NO)
    said = text.removeprefix(NO).rstrip(" ':")
    return f"refused: {said} …" if refused else f"{said} …" if text != said else said


if __name__ == "__main__":
    DOCUMENT.write_text(render(), encoding="utf-8")
