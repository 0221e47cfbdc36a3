"""The worker's log: one JSON object a line, and every line of a rollout says which one (docs/worker.md).

Three sources flow through one formatter: our own lines (structlog), the SDK's and workflows' (``logging``), and those
of the SDK's native core, which the worker forwards to ``logging``.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Literal, TextIO

import structlog
from structlog.contextvars import bind_contextvars
from structlog.stdlib import ProcessorFormatter
from temporalio import activity, workflow
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from coalmine.records import RolloutContext
from coalmine.redaction import redactor
from coalmine.telemetry.spans import ids

LOG_FIELDS = "log_fields"
"""A workflow class with a method of this name, returning a RolloutContext, has its lines say what it says."""

_CANARY = "canary/"
_NAMES = ("rollout_id", "service", "environment", "version", "step", "look")


def configure_logging(
    level: str = "info", form: Literal["json", "text"] = "json", stream: TextIO | None = None
) -> None:
    """Send every line of this process through one formatter to ``stream`` (default: stderr)."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        _name_rollout,
        _name_trace,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    last: list[Any] = (
        [structlog.processors.format_exc_info, _without_secrets, _plain_text()]
        if form == "text"
        else [
            _telling_first,
            structlog.processors.format_exc_info,
            _without_secrets,
            structlog.processors.JSONRenderer(default=str),
        ]
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(foreign_pre_chain=shared, processors=[ProcessorFormatter.remove_processors_meta, *last])
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # Both adapters would repeat their fields inside the message.
    activity.logger.activity_info_on_message = False
    workflow.logger.workflow_info_on_message = False


def _plain_text() -> structlog.dev.ConsoleRenderer:
    # Tracebacks are text by then; any other formatter warns that it has nothing to format.
    return structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)


def core_logger() -> logging.Logger:
    """Where the SDK's native core is to send its lines."""
    return logging.getLogger("temporalio.core")


def rollout_fields(request: object, workflow_id: str = "") -> dict[str, Any]:
    """Which rollout an activity's input is about; nothing when it is about none.

    The input's ``context`` says it best; else its own fields; else the workflow id of a canary.
    """
    context = getattr(request, "context", None)
    context = context if isinstance(context, RolloutContext) else RolloutContext()
    of_id = _of_workflow_id(workflow_id)
    fields: dict[str, Any] = {}
    for name in (*_NAMES, "region"):
        said = getattr(context, name)
        said = said if said not in (None, "") else getattr(request, name, None)
        fields[name] = said if said not in (None, "") else of_id.get(name)
    if not fields["service"] and not fields["rollout_id"]:
        return {}
    return _without_region(fields)


class RolloutLogging(Interceptor):
    """Binds the rollout to every line an activity writes, and writes one line when it is done."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """See the SDK's ``Interceptor``."""
        return _ActivityLogging(super().intercept_activity(next))


class _ActivityLogging(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        request = input.args[0] if input.args else None
        # Never unbound: each activity runs in a context of its own, and the SDK still logs its failure in there.
        bind_contextvars(**rollout_fields(request, info.workflow_id or ""), **ids())
        began = time.monotonic()
        result = await super().execute_activity(input)
        activity.logger.info("activity done", extra={"seconds": round(time.monotonic() - began, 4)})
        return result


Line = MutableMapping[str, Any]


def _name_rollout(logger: Any, method: str, line: Line) -> Line:
    """Spread what the SDK knows over the line's own keys, and add what the workflow knows of its rollout."""
    line.pop("temporal_log", None)
    line.pop("__temporal_error_identifier", None)
    for about, names in _SDK_FIELDS.items():
        details = line.pop(about, None) or {}
        for source, target in names.items():
            if source in details:
                line.setdefault(target, details[source])
    if line.get("workflow_type") == "Canary":
        for name, value in _of_workflow(str(line.get("workflow_id", ""))).items():
            line.setdefault(name, value)
    return line


def _name_trace(logger: Any, method: str, line: Line) -> Line:
    """Add ``trace_id`` and ``span_id`` where a span is active; the innermost one says it best."""
    line.update(ids())
    return line


_SDK_FIELDS: dict[str, dict[str, str]] = {
    "temporal_workflow": {"workflow_id": "workflow_id", "run_id": "run_id", "workflow_type": "workflow_type"},
    "temporal_activity": {
        "workflow_id": "workflow_id",
        "workflow_run_id": "run_id",
        "workflow_type": "workflow_type",
        "activity_type": "activity",
        "attempt": "attempt",
    },
    "temporal_update": {"update_id": "update_id", "update_name": "update"},
}


def _without_secrets(logger: Any, method: str, line: Line) -> Line:
    """Comes after tracebacks have become text."""
    found: Line = redactor.anything(line)
    return found


def _telling_first(logger: Any, method: str, line: Line) -> Line:
    return {**{name: line.pop(name) for name in ("timestamp", "level", "event", *_NAMES) if name in line}, **line}


def _of_workflow(workflow_id: str) -> dict[str, Any]:
    fields: dict[str, Any] = {**dict.fromkeys(_NAMES), **_of_workflow_id(workflow_id)}
    if workflow.in_workflow():
        tell: Callable[[], RolloutContext] | None = getattr(workflow.instance(), LOG_FIELDS, None)
        if tell is not None:
            said = tell().model_dump()
            fields |= {name: value for name, value in said.items() if value not in (None, "")}
    return _without_region({"region": None, **fields})


def _of_workflow_id(workflow_id: str) -> dict[str, str]:
    if not workflow_id.startswith(_CANARY):
        return {}
    return dict(zip(("environment", "service", "region"), workflow_id.removeprefix(_CANARY).split("/"), strict=False))


def _without_region(fields: dict[str, Any]) -> dict[str, Any]:
    """Region only where there is one: most services have none."""
    return {name: value for name, value in fields.items() if name != "region" or value}
