"""An interceptor that keeps a signal with too many or too few inputs from wedging a workflow."""

from __future__ import annotations

from temporalio import workflow
from temporalio.worker import (
    HandleSignalInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

with workflow.unsafe.imports_passed_through():
    from coalmine.records import Verb

_BETWEEN_WORKFLOWS = frozenset({"fleet_answer", "admit", "ban", "unban", "release"})
"""Signals that workflows send to each other, always with one input."""


class OneInput(Interceptor):
    """Keeps a signal with two inputs, or none, from wedging the workflow: the SDK would call its handler so."""

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor] | None:
        """The guard for workflows."""
        return _OneInputInbound


class _OneInputInbound(WorkflowInboundInterceptor):
    async def handle_signal(self, input: HandleSignalInput) -> None:
        if input.signal in _BETWEEN_WORKFLOWS and len(input.args) != 1:
            workflow.logger.warning("signal dropped", extra={"signal": input.signal, "inputs": len(input.args)})
            return
        # Not isinstance: in the sandbox the class is another one than here.
        refuse = getattr(workflow.instance(), "refuse_surplus", None)
        if refuse is not None and input.signal in set(Verb) and len(input.args) > 1:
            refuse(input.signal, len(input.args))
            return
        await super().handle_signal(input)
