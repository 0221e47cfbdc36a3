"""Switching tracing on, by the environment variables of OpenTelemetry and one for a file, and off again within bounds.

A collector that is away or hangs delays nothing: spans go to a queue of fixed length, a thread of its own sends them,
what does not fit is dropped, and the end of the process waits for it for two seconds at most.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from coalmine.errors import InputError, MissingExtra
from coalmine.telemetry import spans

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from temporalio.client import Interceptor

TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
FILE = "COALMINE_TRACES_FILE"
"""A file that traces are appended to, beside or without an endpoint: OpenTelemetry has no variable for one."""
LAST_WORDS = 2.0
"""Seconds that the end of a process waits for spans to go out."""

_provider: TracerProvider | None = None
_exporters: list[SpanExporter] = []
_interceptors: list[Interceptor] = []


def endpoint(environ: Mapping[str, str]) -> str | None:
    """Where traces go, as ``VARIABLE=value``; None: nowhere.

    Raises:
        InputError: the address is none, or a protocol is asked for that is not built in.
    """
    if _is_off(environ):
        return None
    variable = next((name for name in (TRACES_ENDPOINT, ENDPOINT) if environ.get(name, "").strip()), None)
    if variable is None:
        return None
    address = environ[variable].strip()
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InputError(f"{variable}: {address!r} is not a URL such as http://collector:4318")
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = environ.get(name, "").strip()
        if protocol:
            if protocol != "http/protobuf":
                raise InputError(
                    f"{name}: {protocol!r} is not spoken: set http/protobuf (collectors listen for it on port 4318), "
                    "or OTEL_SDK_DISABLED=true"
                )
            break
    return f"{variable}={address}"


def traces_file(environ: Mapping[str, str]) -> str | None:
    """The file that traces are appended to; None: none."""
    return None if _is_off(environ) else environ.get(FILE, "").strip() or None


def _is_off(environ: Mapping[str, str]) -> bool:
    off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return off or environ.get("OTEL_TRACES_EXPORTER", "").strip() == "none"


def set_up(service: str, environ: Mapping[str, str]) -> bool:
    """Begin to trace, when an endpoint is set, or a file.

    Args:
        service: What this process is called in traces, unless ``OTEL_SERVICE_NAME`` says otherwise.
        environ: The environment; the rest of OpenTelemetry's variables is read by its SDK.

    Returns:
        Whether it traces.

    Raises:
        InputError: the settings cannot be used.
        MissingExtra: OpenTelemetry is not installed.
    """
    global _provider, _interceptors
    found, path = endpoint(environ), traces_file(environ)
    if found is None and path is None:
        return False
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise MissingExtra("telemetry", found.partition("=")[0] if found is not None else FILE) from None

    from coalmine import __version__
    from coalmine.telemetry.export import Discreet
    from coalmine.telemetry.interceptor import RolloutTracing
    from coalmine.telemetry.traces_file import TracesFile

    exporters: list[SpanExporter] = []
    if path is not None:
        # Before the endpoint's: at the end they are emptied in this order, and a file does not hang.
        try:
            exporters.append(Discreet(TracesFile(path)))
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise InputError(
                f"{FILE}: {path!r} cannot be written: {why}; name a file, in a folder that is there, that this user "
                "may write"
            ) from None
    if found is not None:
        exporters.append(Discreet(OTLPSpanExporter()))
    resource = Resource.create({"service.version": __version__})
    if not environ.get("OTEL_SERVICE_NAME") and "service.name=" not in environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        resource = resource.merge(Resource({"service.name": service}))
    _provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    _exporters[:] = exporters
    for exporter in exporters:
        _provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = _provider.get_tracer("coalmine", __version__)
    spans.use(tracer)
    _interceptors = [RolloutTracing(tracer)]
    return True


def interceptors() -> list[Interceptor]:
    """What a Temporal client takes to carry traces; nothing while tracing is off."""
    return list(_interceptors)


def finish(within: float = LAST_WORDS) -> bool:
    """Send what is left, and trace no more.

    Returns:
        Whether all went out within so many seconds, or was given up for good.
    """
    global _provider, _interceptors
    provider, exporters = _provider, [*_exporters]
    _provider, _interceptors = None, []
    _exporters.clear()
    spans.use(None)
    if provider is None:
        return True
    # Its own time-outs are minutes long, and not all of them are kept.
    closing = threading.Thread(target=provider.shutdown, name="coalmine-traces", daemon=True)
    closing.start()
    closing.join(within)
    if not closing.is_alive():
        return True
    for exporter in exporters:
        exporter.shutdown()  # It tries no more, so that its thread ends.
    return False


@contextmanager
def traced_verb(
    verb: str, environ: Mapping[str, str] | None = None, *, untraced: Callable[[str], None]
) -> Iterator[spans.Marks]:
    """A span around one verb of the command line, below the CI job that ``TRACEPARENT`` names; ``finish`` sends it.

    Where the settings cannot be used, or OpenTelemetry is not installed, ``untraced`` hears why, and the verb goes on.
    """
    environ = os.environ if environ is None else environ
    try:
        traced = set_up("coalmine", environ)
    except InputError as unusable:
        untraced(str(unusable))
        traced = False
    if not traced:
        yield spans.Marks()
        return
    from opentelemetry.context import attach, detach
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    # Its complaints about a collector would stand between what the verb says.
    logging.getLogger("opentelemetry").propagate = False
    carrier: dict[str, Any] = {
        name.lower(): environ[name] for name in ("TRACEPARENT", "TRACESTATE") if environ.get(name)
    }
    token = attach(TraceContextTextMapPropagator().extract(carrier))
    try:
        with spans.span(f"coalmine {verb}", verb=verb) as marks:
            yield marks
    finally:
        detach(token)
