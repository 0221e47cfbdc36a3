"""Carries a trace through Temporal: the SDK's own interceptor, kept to rollouts and to what stays readable.

- Only ``Canary`` workflows: a fleet or a guard lives for years, and all it did would hang on one old trace.
- No queries: a watched rollout is asked every second.
- Looks up to the ``LOOKS_TRACED``th: a bake of a week would make a trace of a hundred thousand spans.
- The next release of a service, which continues its workflow as new, goes into the trace of who submitted it.

Headers hold the trace's ids and nothing else, so they need no encryption; they are part of no decision, so histories
replay with and without them.
"""

from __future__ import annotations

from typing import Any, NoReturn

from opentelemetry.trace import Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio import activity, workflow
from temporalio.client import OutboundInterceptor, QueryWorkflowInput
from temporalio.contrib.opentelemetry import TracingInterceptor, TracingWorkflowInboundInterceptor
from temporalio.converter import PayloadConverter
from temporalio.worker import (
    ActivityInboundInterceptor,
    ContinueAsNewInput,
    ExecuteActivityInput,
    ExecuteWorkflowInput,
    HandleQueryInput,
    HandleSignalInput,
    HandleUpdateInput,
    StartActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

LOOKS_TRACED = 100
ROLLOUTS = "Canary"
"""The workflow type that is traced."""
HEADER = "_tracer-data"
"""The SDK's name for the header with a trace's ids."""
_OF_LOOKS = frozenset({"collect", "evaluate"})


class RolloutTracing(TracingInterceptor):
    """For clients, and by them for workers."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__(tracer)
        # The SDK's own takes baggage too: whatever the program that calls us keeps there would stand in clear.
        self.text_map_propagator = TraceContextTextMapPropagator()

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        """Trace what is started and said, not what is asked."""
        return _Client(super().intercept_client(next), next)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Trace activities of rollouts."""
        return _Activity(super().intercept_activity(next), next)

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[TracingWorkflowInboundInterceptor]:
        """Trace rollouts."""
        super().workflow_interceptor_class(input)
        return _Workflow


class _Client(OutboundInterceptor):
    def __init__(self, traced: OutboundInterceptor, plain: OutboundInterceptor) -> None:
        super().__init__(traced)
        self._plain = plain

    async def query_workflow(self, input: QueryWorkflowInput) -> Any:
        return await self._plain.query_workflow(input)


class _Activity(ActivityInboundInterceptor):
    def __init__(self, traced: ActivityInboundInterceptor, plain: ActivityInboundInterceptor) -> None:
        super().__init__(traced)
        self._plain = plain

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        if info.workflow_type != ROLLOUTS or is_late(info.activity_type, input.args):
            return await self._plain.execute_activity(input)
        return await super().execute_activity(input)


class _Workflow(TracingWorkflowInboundInterceptor):
    def __init__(self, next: WorkflowInboundInterceptor) -> None:
        super().__init__(_Wrapping(next))

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        if not _is_traced():
            return await self.next.execute_workflow(input)
        return await super().execute_workflow(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:
        if not _is_traced():
            return await self.next.handle_signal(input)
        return await super().handle_signal(input)

    async def handle_query(self, input: HandleQueryInput) -> Any:
        return await self.next.handle_query(input)

    def handle_update_validator(self, input: HandleUpdateInput) -> None:
        self.next.handle_update_validator(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:
        if not _is_traced():
            return await self.next.handle_update_handler(input)
        return await super().handle_update_handler(input)


class _Wrapping(WorkflowInboundInterceptor):
    """Puts our outbound interceptor around the SDK's."""

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))


class _Outbound(WorkflowOutboundInterceptor):
    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:
        late = is_late(input.activity, input.args)
        return (self.next.next if late else self.next).start_activity(input)

    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:
        submission = getattr(input.args[0], "submission", None) if input.args else None
        if submission is None:
            self.next.continue_as_new(input)
        if submission.trace:
            of_submitter = PayloadConverter.default.to_payloads([{"traceparent": submission.trace}])[0]
            input.headers = {**input.headers, HEADER: of_submitter}
        self.next.next.continue_as_new(input)


def _is_traced() -> bool:
    return workflow.info().workflow_type == ROLLOUTS


def is_late(name: str, args: Any) -> bool:
    """Whether an activity belongs to a look beyond those that are traced."""
    if name not in _OF_LOOKS or not args:
        return False
    context = getattr(args[0], "context", None)
    look = getattr(args[0], "look", None) or getattr(context, "look", None) or 0
    return look > LOOKS_TRACED
