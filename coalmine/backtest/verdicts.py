"""What became of one trace: the decision, the look it fell at, and what every metric showed there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from coalmine.analysis.standing import Conclusion
from coalmine.backtest.trace import Trace
from coalmine.decisions import alarm_of, doubts
from coalmine.records import Action, MetricVerdict, stamped

Decision = Literal["promote", "roll_back", "hold"]


@dataclass(frozen=True)
class JudgedLook:
    """What one look said."""

    look: int
    """From 0."""
    conclusion: Conclusion


@dataclass
class Course:
    """How one trace is judged, look by look; ``decision`` is None until it falls."""

    trace: Trace
    decision: Decision | None = None
    look: int | None = None
    """From 0; None when the trace ended undecided."""
    reason: str = ""
    at_decision: JudgedLook | None = None
    looks: list[JudgedLook] = field(default_factory=list)

    @property
    def open(self) -> bool:
        """Nothing is decided yet."""
        return self.decision is None

    def take(self, look: int, found: Conclusion, *, last: bool, keep: bool) -> None:
        """Take what a look says; once something is decided, later looks change nothing.

        Args:
            look: from 0.
            found: what it says.
            last: it is the trace's last.
            keep: keep it in ``looks``.
        """
        judged = JudgedLook(look, found)
        if keep:
            self.looks.append(judged)
        if not self.open:
            return
        alarm = alarm_of(found.finding)
        if alarm is Action.ROLL_BACK:
            self._decide("roll_back", look, found.reason, judged)
        elif alarm is Action.HOLD:
            self._decide("hold", look, found.reason, judged)
        elif last:
            unmet = doubts(found.finding, found.reason, found.verdicts, proof=True)
            if unmet:
                self._decide("hold", None, f"inconclusive: {'; '.join(unmet)}", judged)
            else:
                self._decide("promote", look, found.reason, judged)

    def _decide(self, decision: Decision, look: int | None, reason: str, judged: JudgedLook) -> None:
        self.decision, self.look, self.reason, self.at_decision = decision, look, reason, judged

    def canary_requests(self) -> dict[str, int]:
        """Requests the canary had served when the decision fell, by metric; those of the whole trace without one."""
        end = None if self.look is None else self.look + 1
        names = sorted(self.trace.columns)
        return {name: int(self.trace.columns[name].totals[0, :end].sum()) for name in names}

    def as_json(self, *, all_looks: bool) -> dict[str, Any]:
        """The result as programs read it (docs/backtest.md)."""
        judged = self.at_decision
        told: dict[str, Any] = {
            "trace": self.trace.name,
            "decision": self.decision,
            "look": self.look,
            "canary_requests": self.canary_requests(),
            "metrics": _metrics(judged.conclusion.verdicts) if judged is not None else {},
        }
        if all_looks:
            told["looks"] = [self._look(one) for one in self.looks]
        return told

    def _look(self, judged: JudgedLook) -> dict[str, Any]:
        found = judged.conclusion
        return {
            "look": judged.look,
            "at": stamped(self.trace.at[judged.look]),
            "weight": self.trace.weights[judged.look],
            "finding": str(found.finding),
            "reason": found.reason,
            "log_e_harm": found.log_e_harm,
            "metrics": _metrics(found.verdicts),
        }


def _metrics(verdicts: list[MetricVerdict]) -> dict[str, dict[str, Any]]:
    return {
        verdict.metric: {
            "verdict": verdict.verdict,
            "effect": verdict.effect,
            "lower": verdict.interval[0] if verdict.interval else None,
            "upper": verdict.interval[1] if verdict.interval else None,
            "reason": verdict.sentence,
        }
        for verdict in sorted(verdicts, key=lambda verdict: verdict.metric)
    }
