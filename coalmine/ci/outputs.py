"""A rollout as later steps of a CI job read it: one ``name=value`` each."""

from __future__ import annotations

from collections.abc import Mapping

from coalmine.records import Receipt, RolloutStatus

NAMES = (
    "outcome", "cause", "stopped", "exit", "phase", "reason", "version", "canary_weight", "rollout_id",
    "workflow_id", "url",
)  # fmt: skip

LONGEST = 1_000
"""Characters of one value: GitLab takes a dotenv report of 5 KB, and a person's reason alone may have 2,000."""


def job_outputs(
    status: RolloutStatus | None, stopped: str, code: int, link: str | None, about: str = ""
) -> Mapping[str, str]:
    """What is known when the watching ends; what is not, is empty.

    Args:
        status: As the watcher saw it last; None when nobody ever answered.
        stopped: ``over`` ``timeout`` ``held`` ``detached``: why the watching ended.
        code: The command's exit code.
        link: The rollout's page in the Temporal UI.
        about: The workflow, where its status was never seen.
    """
    known = {"stopped": stopped, "exit": str(code), "url": link or "", "workflow_id": about}
    if status is not None:
        known |= {
            "outcome": str(status.outcome or ""),
            "cause": str(status.cause or ""),
            "phase": str(status.phase),
            "reason": status.reason or status.held_reason,
            "version": status.version,
            "canary_weight": f"{status.canary_weight:g}",
            "rollout_id": status.rollout_id,
            "workflow_id": status.workflow_id,
        }
    return {name: known.get(name, "") for name in NAMES}


def start_outputs(receipt: Receipt, outcome: str | None, code: int | None, link: str | None) -> Mapping[str, str]:
    """The same names, for a start that nobody watches: ``exit`` is empty while nothing is decided."""
    known = {
        "outcome": outcome or "",
        "stopped": "over" if outcome else "detached",
        "exit": "" if code is None else str(code),
        "reason": receipt.reason,
        "version": receipt.version,
        "rollout_id": receipt.rollout_id,
        "workflow_id": receipt.workflow_id,
        "url": link or "",
    }
    return {name: known.get(name, "") for name in NAMES}


def failure_outputs(code: int, reason: str) -> Mapping[str, str]:
    """The same names where the command failed: nothing is known of a rollout."""
    return dict.fromkeys(NAMES, "") | {"exit": str(code), "reason": reason}


def as_lines(outputs: Mapping[str, str]) -> str:
    """``name=value`` on lines of their own: what ``GITHUB_OUTPUT`` takes, and a dotenv report of GitLab.

    Both end a value at the end of its line, so line breaks within become spaces.
    """
    return "".join(f"{name}={_line(value)}\n" for name, value in outputs.items())


def _line(value: str) -> str:
    flat = " ".join(value.split())
    return flat if len(flat) <= LONGEST else flat[: LONGEST - 1] + "…"
