"""``coalmine simulate``: a past period of a Prometheus, judged by a spec."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coalmine.cli._output import Output
from coalmine.cli._parser import Args, Parser
from coalmine.errors import InputError

if TYPE_CHECKING:
    from coalmine.backtest import Course, Rules
    from coalmine.records import Window
    from coalmine.spec.canary import CanarySpec
    from coalmine.spec.sources import Source

NEEDED = ("metrics", "policy", "arms")
MOST_LOOKS = 20_000
"""Looks of one period."""


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument(
        "spec", metavar="SPEC", help="the spec; `metrics`, `policy` and `arms` are enough; - reads stdin"
    )
    parser.add_argument("--prometheus", metavar="URL", required=True, help="where the period was recorded")
    for name, what in (("from", "begins"), ("to", "ends")):
        parser.add_argument(
            f"--{name}", dest=f"{name}_", metavar="T", type=_moment, required=True,
            help=f"when the period {what}, such as 2026-01-01T00:00:00Z",
        )  # fmt: skip
    parser.add_argument(
        "--split", metavar="LABEL", help="split the live version by this label: each value against the others (A/A)"
    )
    parser.add_argument("--history", metavar="TRACE", help="an A/A trace of the service: its noise")
    parser.add_argument("--save-history", metavar="FILE", help="with --split: write an A/A trace of this period")
    parser.add_argument(
        "--store-history",
        action="store_true",
        help="with --split: the same into the spec's ledger, for its next rollouts",
    )
    parser.add_argument("--all-looks", action="store_true", help="tell what every look said, not the decision alone")
    parser.add_output()
    parser.epilog = "Without --split both versions of the spec are compared as they ran. See docs/backtest.md."


def run(args: Args, out: Output) -> int:
    """Read, judge, print; 0 whatever was decided."""
    import asyncio

    from coalmine.cli._specs import read_parts
    from coalmine.cli._store_history import refuse_nowhere, store
    from coalmine.cli.backtest import rules_of, table, with_history

    for given, option in ((args.save_history, "--save-history"), (args.store_history, "--store-history")):
        if given and not args.split:
            raise InputError(f"{option} needs --split: a history is the live version against itself")
    spec, written = read_parts(args.spec, NEEDED)
    if args.store_history:
        refuse_nowhere(written)
    rules = rules_of(spec, written)
    of_no_version = [metric.name for metric in spec.metrics if metric.kind == "threshold"]
    if args.split and of_no_version:
        raise InputError(
            f"--split {args.split}: metrics.{of_no_version[0]} is a threshold, whose query is of no version: leave the "
            "metric out of the spec, or --split"
        )
    for metric in spec.metrics:
        if metric.kind == "count":
            out.say(
                f"{metric.name}: a count is compared by how the traffic was shared, which is not in Prometheus: it "
                "shows nothing here"
            )
    if args.history is not None:
        rules = with_history(rules, args.history, out)
    courses, learnt = asyncio.run(_simulated(args, spec, rules, out))
    if args.save_history:
        _save(Path(args.save_history), learnt, out)
    if args.store_history:
        out.say(store(spec, rules.metrics, args.split, learnt))
    told: dict[str, Any] = {
        "from": args.from_.isoformat(),
        "to": args.to_.isoformat(),
        "split": args.split,
        "false_alarms": _false_alarms(courses) if args.split else None,
        "releases": [course.as_json(all_looks=args.all_looks) for course in courses],
    }
    out.data(told, "" if out.is_json else table(courses, args.all_looks))
    if args.split:
        alarms = told["false_alarms"]
        out.say(
            f"{alarms['of']} releases without change: {alarms['rolled_back']} rolled back, {alarms['held']} held by an "
            f"alarm; at most {alarms['upper_limit']:.1%} with 95 % confidence, if they were independent"
        )
    return 0


def _false_alarms(courses: list[Course]) -> dict[str, Any]:
    from coalmine.backtest.splits import upper_limit

    rolled_back = sum(course.decision == "roll_back" for course in courses)
    held = sum(course.decision == "hold" and course.look is not None for course in courses)
    limit = round(upper_limit(rolled_back + held, len(courses)), 6)
    return {"of": len(courses), "rolled_back": rolled_back, "held": held, "upper_limit": limit}


async def _simulated(
    args: Args, spec: CanarySpec, rules: Rules, out: Output
) -> tuple[list[Course], list[dict[str, Any]]]:
    """What was decided, and of a split one half of the values against the other, as lines of a trace."""
    from activities.sources.prometheus_replay import PrometheusReplay
    from coalmine.backtest import judge_traces
    from coalmine.backtest.gaps import gaps
    from coalmine.backtest.past import observation_of
    from coalmine.backtest.splits import lines, split_traces
    from coalmine.backtest.trace import TraceReader
    from coalmine.records import stamped

    source = _source(args, spec)
    windows = _windows(args, rules, source)
    replay = PrometheusReplay(source, rules.metrics, spec.arms)
    ends = [window.end for window in windows]
    try:
        if not args.split:
            kinds = {metric.name: metric.kind for metric in rules.metrics}
            reader = TraceReader(spec.arms.canary.version, rules.metrics)
            told = await replay.arms(windows)
            for gap in gaps(ends, [{"": counts} for counts in told]):
                out.say(gap)
            for end, counts in zip(ends, told, strict=True):
                seen = {one.metric: observation_of(one, kinds[one.metric]) for one in counts}
                look = {"at": end.isoformat(), "weight": None, "observations": seen}
                reader.add(look, f"{reader.trace.name}, look to {stamped(end)}")
            return judge_traces(rules, [reader.finished()], all_looks=args.all_looks), []
        values = await replay.values(args.split, windows[0].start, ends[-1])
        if len(values) < 2:
            raise InputError(f"--split {args.split}: values in this period: {len(values)}; a split needs two at least")
        looks = await replay.split(args.split, values, windows)
    finally:
        replay.close()
    length = rules.planned_looks or len(windows)
    if length > len(windows):
        raise InputError(f"the period has {len(windows)} looks, the spec's steps plan {length}: choose a longer one")
    for gap in gaps(ends, looks, args.split):
        out.say(gap)
    traces = split_traces(args.split, ends, looks, rules.metrics, length)
    wanted = args.save_history or args.store_history
    learnt = lines(ends, looks, values[: len(values) // 2], rules.metrics) if wanted else []
    return judge_traces(rules, traces, all_looks=args.all_looks), learnt


def _save(path: Path, looks: list[dict[str, Any]], out: Output) -> None:
    try:
        path.write_text("".join(json.dumps(look) + "\n" for look in looks), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    out.say(f"{path}: {len(looks)} looks of the live version against itself, for --history")


def _source(args: Args, spec: CanarySpec) -> Source:
    from coalmine.spec.sources import Source
    from coalmine.spec.urls import url_problem

    if problem := url_problem(args.prometheus, "use username and password_env, or token_env, in `sources`"):
        raise InputError(f"--prometheus: {problem}")
    named = [spec.sources[metric.source] for metric in spec.metrics if metric.source in spec.sources]
    return named[0].model_copy(update={"url": args.prometheus}) if named else Source(url=args.prometheus)


def _windows(args: Args, rules: Rules, source: Source) -> list[Window]:
    from coalmine.records import Window

    look = rules.policy.look
    number = (args.to_ - args.from_) // look
    if number < 1:
        raise InputError("--to: the period is shorter than one look: choose a later --to")
    if number > MOST_LOOKS:
        raise InputError(
            f"--to: the period has {number:,} looks, at most {MOST_LOOKS:,} are read: choose an earlier --to"
        )
    settled = datetime.now(UTC) - source.scrape - source.flush
    if args.from_ + number * look > settled:
        raise InputError(f"--to: samples up to {settled:%Y-%m-%dT%H:%M:%SZ} have settled: choose an earlier --to")
    return [Window(start=args.from_ + at * look, end=args.from_ + (at + 1) * look) for at in range(number)]


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2026-01-01T00:00:00Z") from None
    if moment.utcoffset() is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no time zone: append Z for UTC")
    return moment.astimezone(UTC)
