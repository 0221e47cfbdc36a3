"""Switching tracing on: only by its endpoint, refused where it cannot be, bounded where nobody takes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from coalmine.cli import main
from coalmine.errors import InputError, MissingExtra
from coalmine.telemetry import spans
from coalmine.telemetry.starting import endpoint, finish, interceptors, set_up
from coalmine.testing.otlp_receiver import OtlpReceiver
from tests.conftest import TemporalServer

URL = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.fixture(autouse=True)
def _off_again() -> Iterator[None]:
    yield
    finish(5)
    for thread in threading.enumerate():
        if thread.name == "coalmine-traces":
            thread.join(60)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {**URL, "OTEL_SDK_DISABLED": "TRUE"},
        {**URL, "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:4318"},
    ],
)
def test_without_an_endpoint_nothing_begins(environ: dict[str, str]) -> None:
    assert set_up("coalmine", environ) is False
    assert interceptors() == []
    with spans.span("nothing") as marks:
        marks.set(look=1)
        assert spans.ids() == {}
        assert spans.traceparent() == ""


def test_nothing_of_opentelemetry_is_imported_then() -> None:
    program = "import sys, worker, coalmine.client, coalmine.cli.start; print([n for n in sys.modules if 'telem' in n])"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "opentelemetry" not in ran.stdout


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "'collector:4318' is not a URL such as http://"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://' is not"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[::1"}, "is not a URL"),
        ({**URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "'grpc' is not spoken: set http/protobuf"),
    ],
)
def test_what_cannot_be_is_refused_with_the_mend(environ: dict[str, str], words: str) -> None:
    with pytest.raises(InputError) as refused:
        endpoint(environ)
    assert words in str(refused.value)


def test_the_protocol_of_traces_counts_before_that_of_all() -> None:
    both = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}
    assert endpoint({**URL, **both}) == "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318"


def test_an_endpoint_without_the_extra_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(MissingExtra, match=r"OTEL_EXPORTER_OTLP_ENDPOINT needs the extra 'telemetry': pip install"):
        set_up("coalmine", URL)


def test_spans_arrive_with_the_name_of_their_service(monkeypatch: pytest.MonkeyPatch) -> None:
    with OtlpReceiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{receiver.url}/v1/traces")
        assert set_up("coalmine-worker", os.environ)
        with spans.span("outer", service="checkout", look=None), spans.span("inner") as marks:
            marks.set(look=3, empty="")
            ids, parent = spans.ids(), spans.traceparent()
        assert finish()
        (inner,) = receiver.await_spans(lambda span: span.name == "inner")
        (outer,) = receiver.await_spans(lambda span: span.name == "outer")
    assert (inner.parent, inner.trace_id) == (outer.span_id, outer.trace_id)
    assert ids == {"trace_id": inner.trace_id, "span_id": inner.span_id}
    assert parent.startswith(f"00-{inner.trace_id}-{inner.span_id}-")
    assert (inner.service, inner.attributes) == ("coalmine-worker", {"coalmine.look": 3})
    assert outer.attributes == {"coalmine.service": "checkout"}


def test_a_collector_that_hangs_holds_up_neither_the_work_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with OtlpReceiver(hang=True) as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        assert set_up("coalmine", os.environ)
        for _ in range(5_000):  # More than the queue holds.
            with spans.span("work"):
                pass
        assert finish(0.2) is False
        assert receiver.requests <= 1
        assert interceptors() == []


def test_a_command_says_that_nobody_took_its_trace_and_ends_as_ever(temporal_env: TemporalServer) -> None:
    with OtlpReceiver(hang=True) as receiver:
        ran = subprocess.run(
            [sys.executable, "-m", "coalmine.cli", "list", "-o", "json"],
            env={**os.environ, **temporal_env.variables(), "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.splitlines()[-1].endswith("the trace was not taken within 2 s: is the collector up?")
    assert ran.stdout.startswith(("[", "{"))


def test_a_command_names_the_extra_that_its_endpoint_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    assert main(["list"]) == 1  # No server is there, and that is told as ever.
    told = capsys.readouterr()
    assert told.out == ""
    assert (
        "not traced: OTEL_EXPORTER_OTLP_ENDPOINT needs the extra 'telemetry': pip install 'coalmine[telemetry]'"
        in told.err
    )


def test_a_command_whose_tracing_cannot_be_set_up_says_so_and_goes_on(temporal_env: TemporalServer) -> None:
    environ = {**os.environ, **temporal_env.variables(), "OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}
    ran = subprocess.run(
        [sys.executable, "-m", "coalmine.cli", "list", "-o", "json"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert "not traced: OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' is not a URL" in ran.stderr
    assert json.loads(ran.stdout) is not None
