"""What is fuzzed: each takes bytes from outside, and must answer, or refuse in words a person can act on."""

from __future__ import annotations

import asyncio
import contextlib
import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.exceptions import ApplicationError

from activities.hooks import understand
from activities.posting import post_json
from activities.sources.registry import make_source
from coalmine import details_page
from coalmine.analysis import evaluate
from coalmine.cli import main
from coalmine.command_input import decode
from coalmine.commands import carry_out, refusal
from coalmine.encryption import data_converter
from coalmine.errors import HookRefused, HookUnreachable, SourceError
from coalmine.records import (
    CollectRequest,
    CommandInput,
    EvaluateRequest,
    Judge,
    MetricCounts,
    Phase,
    Submission,
    Verb,
    Window,
)
from coalmine.rollout import HeldState, RolloutState
from coalmine.spec import parse_spec, recheck
from coalmine.spec.canary import Arms, Policy
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source
from tests.fuzz import seeds
from tests.fuzz.answering import Answering
from tests.fuzz.seeds import NOON, ROLLOUT
from tests.fuzz.store import KINDS, Store, split, store_seeds
from workflows.reception import problems

SPEC = parse_spec(seeds.GATED, "the fuzzed rollout's spec")


class Violation(AssertionError):
    """An input was not answered as it should be."""


@dataclass(frozen=True)
class Target:
    """One way in."""

    seeds: Sequence[bytes]
    run: Callable[[bytes], None]
    """Raises anything but nothing: that is a violation."""


def spec(data: bytes) -> None:
    """The loader, as ``coalmine validate`` uses it."""
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(data)
        file.flush()
        _typed("validate", file.name)


def trace(data: bytes) -> None:
    """The trace reader, and the judge behind it."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.write(data)
        file.flush()
        _typed("backtest", str(seeds.JUDGED), file.name)


def signal(data: bytes) -> None:
    """What a person sends to a rollout, as a payload of JSON, or of anything else."""
    for encoding in (b"json/plain", b"binary/plain", b"json/protobuf"):
        try:
            given = sent(data, encoding)
        except Exception:
            # A workflow lists it as refused, whatever the converter raises.
            continue
        for verb in Verb:
            with contextlib.suppress(ValueError):
                _obeyed(verb, decode(verb, given))
        try:
            submission = Submission.model_validate(given)
        except ValueError as error:
            if not problems(error).strip():
                raise Violation("refused without a word") from None
            continue
        for problem in recheck(submission.spec):
            _in_words(ValueError(str(problem)))


def sent(data: bytes, encoding: bytes = b"json/plain") -> Any:
    """The payload as ``workflows.inputs.decoded`` reads it, which itself works within a workflow only."""
    return data_converter(None).payload_converter.from_payload(Payload(metadata={"encoding": encoding}, data=data))


def _obeyed(verb: Verb, command: CommandInput) -> None:
    """The command, in every phase: refused in words, or carried out such that the state can still be carried over."""
    for phase in Phase:
        state = RolloutState.begin(Submission(spec=SPEC, by="ana"), "canary/test/checkout", "run", NOON)
        state.phase, state.step = phase, 0
        if phase is Phase.GATED:
            state.gates[0].waiting_since, state.gates[0].deadline = NOON, NOON + timedelta(hours=1)
        if phase is Phase.HELD:
            state.held = HeldState(finding="gate", reason="late", since=NOON, deadline=NOON, resume_to=Phase.STEPPING)
        why = refusal(state, verb, command)
        said = carry_out(state, verb, command, NOON) if why is None else why
        _in_words(ValueError(said.replace("\n", " ")))
        RolloutState.model_validate(state.model_dump(mode="json"))
        details_page.page(state)


def webhook(data: bytes) -> None:
    """The whole answer of a hook, its status line and headers too."""
    with Answering(data) as server:
        try:
            answer = asyncio.run(post_json(server.url, {"hook": "verify"}, "key", 5.0))
        except (HookRefused, HookUnreachable) as error:
            _in_words(error)
            return
    try:
        done = understand(answer, "hook verify")
    except (HookRefused, ApplicationError) as error:
        _in_words(error)
    else:
        done.model_dump_json()


def prometheus(data: bytes) -> None:
    """The body of every answer of a metric store: counts that can be judged, or a reason there are none."""
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        % len(data)
    )
    with Answering(head + data) as server:
        asyncio.run(_collected(server.url))


async def _collected(url: str) -> None:
    source = make_source("prometheus")
    where = Source.model_validate({"url": url, "scrape": "5s", "flush": "1s", "timeout": "2s"})
    window = Window(start=NOON - timedelta(seconds=10), end=NOON)
    arms = Arms.model_validate(
        {"baseline": {"version": "1", "backend": "v1"}, "canary": {"version": "2", "backend": "v2"}}
    )
    for metric in METRICS:
        request = CollectRequest(window=window, metrics=[metric], arms=arms, sources={"prometheus": where})
        try:
            counts = await source.collect(where, metric, request)
        except SourceError as error:
            _in_words(error)
            continue
        _judged(metric, counts)
    close = getattr(source, "close", None)
    if close is not None:
        close()


def store(data: bytes) -> None:
    """One answer of a metric store that answers well otherwise: counts of every kind, or a reason there are none."""
    asyncio.run(_collected_but_one(data))


async def _collected_but_one(data: bytes) -> None:
    number, place, body = split(data)
    metric, source, made = KINDS[number % len(KINDS)], make_source("prometheus"), Store()
    made.swap(place, body)
    with made.fake:
        request = made.request(metric)
        try:
            counts = await source.collect(request.sources["prometheus"], metric, request)
        except SourceError as error:
            _in_words(error)
        else:
            _judged(metric, counts)
        finally:
            getattr(source, "close", lambda: None)()


def _judged(metric: Metric, counts: MetricCounts) -> None:
    judge = Judge(metrics=[metric], policy=Policy(look=timedelta(seconds=10)), planned_looks=60)
    evaluate(EvaluateRequest(judge=judge, counts=[counts], share=0.1, new_step=True)).model_dump_json()


METRICS = [
    Metric.model_validate(one)
    for one in (
        {"name": "errors", "kind": "ratio", "source": "prometheus", "template": "envoy"},
        {"name": "latency", "kind": "latency", "source": "prometheus", "template": "envoy"},
    )
]


def ledger(data: bytes) -> None:
    """A rollout's file in the ledger, read by everything that reads one."""
    with tempfile.TemporaryDirectory() as folder:
        book = Path(folder) / "production" / "checkout"
        book.mkdir(parents=True)
        (book / "1.42.0-1.jsonl").write_bytes(data)
        (Path(folder) / "heads.jsonl").write_bytes(data[::-1])
        for words in (
            ("ledger", "verify"),
            ("report", ROLLOUT),
            ("decisions", ROLLOUT),
        ):
            _typed(*words, "--ledger", folder)


def _typed(*words: str) -> None:
    """Type a command: it ends with 0, 1 or 2, and says in lines what is wrong."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    said = err.getvalue()
    if "internal error" in said or "Traceback" in said:
        raise Violation(f"{' '.join(words[:2])}: {said[-500:]}")
    if code not in (0, 1, 2):
        raise Violation(f"{' '.join(words[:2])}: exit {code}: {said[-500:]}")
    if code == 2 and not said.strip():
        raise Violation(f"{' '.join(words[:2])}: refused without a word")
    if any(ord(letter) < 32 and letter not in "\n\t" for letter in said):
        raise Violation(f"{' '.join(words[:2])}: control characters reach the terminal: {said[-300:]!r}")


def _in_words(error: Exception) -> None:
    said = str(error)
    if not said.strip() or "\n" in said:
        raise Violation(f"{type(error).__name__} says {said!r}: it is one line of words")


TARGETS: Mapping[str, Target] = {
    "spec": Target(seeds.specs(), spec),
    "trace": Target(seeds.traces(), trace),
    "prometheus": Target(seeds.answers(), prometheus),
    "store": Target(store_seeds(), store),
    "signal": Target(seeds.signals(), signal),
    "webhook": Target(seeds.hook_answers(), webhook),
    "ledger": Target(seeds.ledgers(), ledger),
}
