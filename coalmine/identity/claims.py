"""What a signed decision says: who decides what, at which gate and attempt of which rollout, until when."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from coalmine.spec.durations import format_duration

AUDIENCE = "coalmine"
LIFETIME = timedelta(minutes=5)
LONGEST_LIFETIME = timedelta(minutes=15)
"""A token that lives longer is refused: it could be found and used by somebody else."""
LONGER = "for"
"""The claim of an extend. Versions that did not know it signed without."""
SKEW = timedelta(seconds=30)
"""How far the signer's clock may be ahead of ours."""
LONGEST_TOKEN = 8_000
"""Characters."""


def start_subject(workflow_id: str, version: str, digest: str) -> str:
    """What the signature of a start is bound to in place of a rollout's id, which it has not got yet.

    Args:
        workflow_id: Of the canary: service, environment and region.
        version: That is to be rolled out.
        digest: Of the spec: nobody starts another one with it.
    """
    return f"{workflow_id}/{version}#{digest}"


def longer_said(longer: timedelta | None) -> str:
    """How an extend's ``for`` is signed: one text for ``90m`` and ``1h30m``; empty where it is left to the rollout."""
    return "" if longer is None else format_duration(longer)


@dataclass(frozen=True)
class Decided:
    """What is decided. ``gate`` and ``attempt`` are for approve alone, else None; so is ``longer`` for extend."""

    verb: str
    rollout_id: str
    reason: str = ""
    gate: str | None = None
    attempt: int | None = None
    break_glass: bool = False
    longer: str | None = None
    """As ``longer_said`` has it."""

    def claims(self) -> dict[str, object]:
        """As the token carries it; of the reason only its SHA-256, since a token is no place for prose."""
        said: dict[str, object] = {
            "verb": self.verb,
            "rollout": self.rollout_id,
            "reason_sha256": hashlib.sha256(self.reason.encode("utf-8", "surrogatepass")).hexdigest(),
            "break_glass": self.break_glass,
        }
        if self.gate is not None:
            said |= {"gate": self.gate, "attempt": self.attempt}
        if self.longer is not None:
            said[LONGER] = self.longer
        return said
