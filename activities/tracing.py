"""Says on an activity's span which rollout it works for, and what it did; without tracing it does nothing."""

from __future__ import annotations

from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.log_lines import rollout_fields
from coalmine.ownership import weights_text
from coalmine.records import Collected, EvaluateRequest, Evaluation, LedgerWrite, ShiftRequest
from coalmine.telemetry.spans import current


class RolloutSpans(Interceptor):
    """Comes after the interceptor that makes the spans."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """See the SDK's ``Interceptor``."""
        return _Naming(super().intercept_activity(next))


class _Naming(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info, marks = activity.info(), current()
        request = input.args[0] if input.args else None
        marks.set(**rollout_fields(request, info.workflow_id or ""), attempt=info.attempt, **_asked(request))
        answer = await super().execute_activity(input)
        marks.set(**_answered(answer))
        return answer


def _asked(request: Any) -> dict[str, Any]:
    match request:
        case ShiftRequest():
            told = {"generation": request.generation, "weights": weights_text(request.weights)}
            return {**told, "restoring": request.restoring, "router": request.route.router, "route": request.route.name}
        case EvaluateRequest():
            return {"stage": request.stage, "weight": None if request.share is None else 100 * request.share}
        case LedgerWrite():
            return {"entries": len(request.entries)}
    return {}


def _answered(answer: Any) -> dict[str, Any]:
    match answer:
        case Collected():
            silent = sorted(counts.metric for counts in answer.metrics if counts.status != "ok")
            return {"no_data": ", ".join(silent), "drifted": answer.drift is not None}
        case Evaluation():
            return {"finding": str(answer.finding), "canary_requests": answer.canary_requests}
    return {}
