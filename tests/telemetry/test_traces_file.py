"""Traces in a file: OTLP's JSON by the letter, whole lines from every process, told where it cannot be written."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, Status, StatusCode, format_span_id, format_trace_id

from coalmine.errors import InputError, MissingExtra
from coalmine.telemetry import spans
from coalmine.telemetry.starting import FILE, finish, interceptors, set_up, traces_file
from coalmine.telemetry.traces_file import TracesFile, append
from coalmine.testing.otlp_lines import read_spans
from coalmine.testing.otlp_receiver import OtlpReceiver
from tests.conftest import TemporalServer


@pytest.fixture(autouse=True)
def _off_again() -> Iterator[None]:
    yield
    finish(5)
    for thread in threading.enumerate():
        if thread.name == "coalmine-traces":
            thread.join(60)
            assert not thread.is_alive()


def test_a_line_is_what_the_specification_says(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(TracesFile(str(path))))
    tracer = provider.get_tracer("coalmine", "1.2.3")
    with tracer.start_as_current_span("a job") as job:
        of_job = job.get_span_context()
    with tracer.start_as_current_span("über", links=[Link(of_job)], attributes={"coalmine.look": 3}) as outer:
        of_outer = outer.get_span_context()
        with tracer.start_as_current_span("inner", attributes={"on": True, "share": 0.5}) as inner:
            inner.set_status(Status(StatusCode.ERROR))
    text = path.read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert text.count("\n") == 3
    first, second, third = (json.loads(line)["resourceSpans"] for line in text.splitlines())
    (scope,) = second[0]["scopeSpans"]
    assert scope["scope"] == {"name": "coalmine", "version": "1.2.3"}
    (told,) = scope["spans"]
    assert (told["traceId"], told["parentSpanId"]) == (
        format_trace_id(of_outer.trace_id),
        format_span_id(of_outer.span_id),
    )
    assert re.fullmatch("[0-9a-f]{32}", told["traceId"])
    assert re.fullmatch("[0-9a-f]{16}", told["spanId"])
    assert (told["kind"], told["status"]) == (1, {"code": 2})
    assert isinstance(told["startTimeUnixNano"], str)
    assert told["startTimeUnixNano"].isdigit()
    assert {pair["key"]: pair["value"] for pair in told["attributes"]} == {
        "on": {"boolValue": True},
        "share": {"doubleValue": 0.5},
    }
    (told,) = third[0]["scopeSpans"][0]["spans"]
    assert told["name"] == "über"
    assert "über" in text
    assert "parentSpanId" not in told
    assert told["attributes"] == [{"key": "coalmine.look", "value": {"intValue": "3"}}]
    (link,) = told["links"]
    assert (link["traceId"], link["spanId"]) == (format_trace_id(of_job.trace_id), format_span_id(of_job.span_id))
    (told,) = first[0]["scopeSpans"][0]["spans"]
    assert told["name"] == "a job"
    read = {span.name: span for span in read_spans(path)}
    assert read["inner"].parent == read["über"].span_id
    assert (read["inner"].failed, read["über"].attributes) == (True, {"coalmine.look": 3})
    assert read["über"].links == (read["a job"].trace_id,)


def test_spans_are_all_there_at_the_end_also_beside_a_collector_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "traces.jsonl"
    with OtlpReceiver(hang=True) as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setenv(FILE, str(path))
        assert set_up("coalmine-worker", os.environ)
        assert len(interceptors()) == 1
        for number in range(1_500):
            with spans.span("work", number=number):
                pass
        assert finish() is False
    read = read_spans(path)
    assert {span.attributes["coalmine.number"] for span in read} == set(range(1_500))
    assert {span.service for span in read} == {"coalmine-worker"}


def test_a_file_alone_is_enough_and_one_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    exporter = TracesFile(str(path))
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("before"):
        pass
    path.rename(tmp_path / "traces.1.jsonl")
    with provider.get_tracer("test").start_as_current_span("after"):
        pass
    assert [span.name for span in read_spans(tmp_path / "traces.1.jsonl")] == ["before"]
    assert [span.name for span in read_spans(path)] == ["after"]
    assert set_up("coalmine", {FILE: str(path)})
    with spans.span("alone"):
        assert spans.traceparent()
    assert finish()
    assert [span.name for span in read_spans(path)] == ["after", "alone"]


WRITES = """
import sys
from coalmine.telemetry.traces_file import append
sys.stdin.readline()
for number in range(50):
    append(sys.argv[1], sys.argv[2].encode() * 150_000 + b"\\n")
"""


def test_lines_of_several_processes_are_not_torn(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITES, str(path), letter], stdin=subprocess.PIPE) for letter in "abc"
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"go\n")
        writer.stdin.close()
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    lines = path.read_text().splitlines()
    assert sorted(lines) == [letter * 150_000 for letter in "abc" for _ in range(50)]


FULL = """
import resource, sys
from coalmine.telemetry.traces_file import append
append(sys.argv[1], b"whole\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
try:
    append(sys.argv[1], b"x" * 5_000 + b"\\n")
except OSError as error:
    print(error.strerror)
"""


def test_a_line_waits_for_whoever_writes_one(tmp_path: Path) -> None:
    """What is taken back where the disk is full is cut off at the end: nobody else may have written there meanwhile."""
    file = tmp_path / "traces.jsonl"
    writing = threading.Thread(target=append, args=(str(file), b"ours\n"))
    with file.open("ab", buffering=0) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        writing.start()
        writing.join(0.2)
        assert file.read_bytes() == b""
        other.write(b"theirs\n")
    writing.join(20)
    assert file.read_bytes() == b"theirs\nours\n"


def test_of_a_line_that_does_not_fit_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    ran = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    assert ran.stdout == "File too large\n"
    assert path.read_text() == "whole\n"


def test_a_file_that_can_no_longer_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "traces"
    folder.mkdir()
    path = folder / "traces.jsonl"
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(TracesFile(str(path))))
    path.unlink()
    folder.rmdir()
    for _ in range(3):
        with provider.get_tracer("test").start_as_current_span("lost"):
            pass
    told = [record.getMessage() for record in caplog.records if record.name == "coalmine.telemetry"]
    assert told == [f"spans are lost: {path} cannot be written: No such file or directory"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nowhere/traces.jsonl", "No such file or directory"),
        ("", "it is no regular file"),
        ("pipe", "it is no regular file"),
        ("spec.yaml/traces.jsonl", "Not a directory"),
    ],
)
def test_what_cannot_be_written_is_refused_with_the_mend(tmp_path: Path, name: str, why: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "spec.yaml").touch()
    path = str(tmp_path / name)
    with pytest.raises(InputError) as refused:
        set_up("coalmine", {FILE: path})
    assert str(refused.value).startswith(f"COALMINE_TRACES_FILE: {path!r} cannot be written: {why}; name a file")
    assert interceptors() == []


@pytest.mark.parametrize("off", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}, {FILE: " "}])
def test_what_switches_tracing_off_does_so_for_the_file(tmp_path: Path, off: dict[str, str]) -> None:
    environ = {FILE: str(tmp_path / "traces.jsonl"), **off}
    assert traces_file(environ) is None
    assert set_up("coalmine", environ) is False
    assert not list(tmp_path.iterdir())


def test_a_file_without_the_extra_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(MissingExtra, match=r"COALMINE_TRACES_FILE needs the extra 'telemetry': pip install"):
        set_up("coalmine", {FILE: str(tmp_path / "traces.jsonl")})


def test_a_command_that_cannot_write_its_trace_says_so_and_goes_on(
    temporal_env: TemporalServer, tmp_path: Path
) -> None:
    environ = {**os.environ, **temporal_env.variables(), FILE: str(tmp_path / "nowhere" / "traces.jsonl")}
    ran = subprocess.run(
        [sys.executable, "-m", "coalmine.cli", "list", "-o", "json"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert "not traced: COALMINE_TRACES_FILE: " in ran.stderr
    assert json.loads(ran.stdout) is not None
