"""The exit codes of a rollout (docs/cli.md): what it came to, as one number for scripts. Pure."""

from __future__ import annotations

from coalmine.records import Action, Cause, Outcome

EXIT = {
    Outcome.PROMOTED: 0,
    Outcome.FAILED: 1,
    Outcome.BLOCKED: 5,
    Outcome.REJECTED: 4,
    Outcome.SUPERSEDED: 9,
}
"""Exit codes by outcome; ``rolled_back`` is 4 when a human said so, else 3 (docs/cli.md)."""


def exit_code(outcome: Outcome, cause: Cause | None) -> int:
    """Of a rollout that has its outcome."""
    if outcome is Outcome.ROLLED_BACK:
        return 4 if cause is Cause.HUMAN else 3
    return EXIT[outcome]


def advised_exit_code(advice: Action | None) -> int:
    """Of one that shifted nothing: what it would have come to; 4 where it was stopped before it had an advice."""
    if advice is None:
        return 4
    return {Action.ROLL_BACK: 3, Action.HOLD: 8}.get(advice, 0)
