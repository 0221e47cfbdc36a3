"""Traces in a file, as OpenTelemetry's "OTLP File Exporter" writes them: JSON lines, each with ``resourceSpans``.

Every process may write to the same file: a batch is one line, appended under the file's lock, and taken back where the
disk takes only a part of it. The file is opened for each batch, so that it may be moved away at any time.

OpenTelemetry's own package for Python (a beta) writes through a buffer, which tears lines where several processes
write, and fits one version of the SDK only.
"""

from __future__ import annotations

import base64
import fcntl
import json
import logging
import os
import stat
from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

IDS = ("traceId", "spanId", "parentSpanId")
"""In hexadecimal; protobuf's own JSON has all bytes in base64."""
_log = logging.getLogger("coalmine.telemetry")


class TracesFile(SpanExporter):
    """Appends a line for each batch of spans."""

    def __init__(self, path: str) -> None:
        """Open it once, to see whether that is possible.

        Raises:
            OSError: it cannot be written, or is no file.
        """
        self._path = path
        self._failed = False
        # A pipe would hold whoever opens it until somebody reads.
        if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
            raise OSError("it is no regular file")
        os.close(_opened(path))

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """One line more; where that fails nothing of it is left, and the log says so once."""
        try:
            append(self._path, line(spans))
        except OSError as error:
            if not self._failed:
                _log.warning("spans are lost: %s cannot be written: %s", self._path, error.strerror or error)
            self._failed = True
            return SpanExportResult.FAILURE
        self._failed = False
        return SpanExportResult.SUCCESS


def line(spans: Sequence[ReadableSpan]) -> bytes:
    """A batch by OTLP's JSON encoding: ids in hexadecimal, enumerations as numbers, 64-bit numbers as strings."""
    said = MessageToDict(encode_spans(spans), use_integers_for_enums=True)
    for one in _with_ids(said):
        for name in IDS:
            if name in one:
                one[name] = base64.b64decode(one[name]).hex()
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def append(path: str, text: bytes) -> None:
    """All of a line at the end of a file, or nothing.

    Raises:
        OSError: it could not be written.
    """
    descriptor = _opened(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        before, left = os.fstat(descriptor).st_size, memoryview(text)
        try:
            while left:
                left = left[os.write(descriptor, left) :]
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


def _opened(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _with_ids(said: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in said.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                yield span
                yield from span.get("links", ())
