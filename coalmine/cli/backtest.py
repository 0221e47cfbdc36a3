"""``coalmine backtest``: judge recorded looks by a spec, on this machine, without a server."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from coalmine.cli._output import Output
from coalmine.cli._parser import Args, Parser
from coalmine.errors import InputError

if TYPE_CHECKING:
    from coalmine.backtest import Course, Rules, Trace
    from coalmine.spec.canary import CanarySpec

NEEDED = ("metrics", "policy")
"""Sections of a spec that a backtest reads; ``steps`` too when they are there."""
PORTION = 256
"""Traces that are held in memory at once."""
UNUSUAL = 1.25
"""Looks this many times longer or shorter than the policy's are told to people."""


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("spec", metavar="SPEC", help="the spec; `metrics` and `policy` are enough; - reads stdin")
    parser.add_argument("traces", metavar="TRACE", nargs="*", help="recorded looks, as JSON Lines; - reads stdin")
    parser.add_argument("--traces-from", metavar="FILE", help="a file that names further traces, one a line")
    parser.add_argument("--history", metavar="TRACE", help="an A/A trace of the service: its noise, for all traces")
    parser.add_argument("--all-looks", action="store_true", help="tell what every look said, not the decision alone")
    parser.add_argument("--from-ledger", metavar="ID", help="judge a past rollout again instead, by its rollout id")
    parser.add_output()
    parser.epilog = "The format of a trace and of the results: docs/backtest.md."


def run(args: Args, out: Output) -> int:
    """Judge and print; 0 whatever was decided."""
    from coalmine.cli._specs import read_parts

    words = [args.spec, args.history, args.traces_from, *args.traces]
    further = [] if args.traces_from is None or words.count("-") > 1 else _named(args.traces_from)
    names = [*args.traces, *further]
    if args.from_ledger and names:
        raise InputError("--from-ledger judges one rollout: leave the traces out, or judge them by themselves")
    if not args.from_ledger and not names:
        raise InputError("no trace is named: give TRACE, --traces-from FILE or --from-ledger ID")
    if [*words, *further].count("-") > 1:
        raise InputError("'-' can be one of spec, traces and history only: there is one stdin")
    spec, written = read_parts(args.spec, NEEDED)
    rules = rules_of(spec, written)
    if args.from_ledger:
        from coalmine.cli._backtest_ledger import judge_again

        courses = judge_again(args, spec, rules, out)
    else:
        if args.history is not None:
            rules = with_history(rules, args.history, out)
        courses = list(_judged(rules, names, args.all_looks, out))
    out.data(
        [course.as_json(all_looks=args.all_looks) for course in courses],
        "" if out.is_json else table(courses, args.all_looks),
    )
    out.say(_summary(courses))
    return 0


def _named(file: str) -> list[str]:
    from coalmine.cli._specs import read_text

    names = [line.strip() for line in read_text(file).splitlines()]
    return [name for name in names if name]


def rules_of(spec: CanarySpec, written: frozenset[str]) -> Rules:
    """What traces are judged by."""
    from coalmine.backtest import Rules
    from coalmine.spec.plan import plan

    return Rules(spec.metrics, spec.policy, plan(spec).looks if "steps" in written else None)


def with_history(rules: Rules, file: str, out: Output) -> Rules:
    """The rules with the noise that an A/A trace shows."""
    from dataclasses import replace

    from coalmine.analysis.grids import MIN_HISTORY_LOOKS
    from coalmine.backtest import history_of

    history = history_of(_read(file, rules), rules.metrics)
    if history.looks < MIN_HISTORY_LOOKS:
        out.say(
            f"{file}: {history.looks} usable looks are no history yet ({MIN_HISTORY_LOOKS} are): judged without one"
        )
    return replace(rules, history=history)


def _judged(rules: Rules, names: Sequence[str], all_looks: bool, out: Output) -> Iterator[Course]:
    from coalmine.backtest import judge_traces

    unusual: Counter[bool] = Counter()
    for start in range(0, len(names), PORTION):
        traces = [_read(name, rules) for name in names[start : start + PORTION]]
        unusual.update(_is_unusual(trace, rules) for trace in traces)
        yield from judge_traces(rules, traces, all_looks=all_looks)
    if unusual[True]:
        from coalmine.spec.durations import format_duration

        look = format_duration(rules.policy.look)
        out.say(
            f"looks of {unusual[True]} of {len(names)} traces are not about {look} long: set policy.look as recorded"
        )


def _is_unusual(trace: Trace, rules: Rules) -> bool:
    from statistics import median

    usual, look = trace.seconds, rules.policy.look.total_seconds()
    return bool(usual) and not look / UNUSUAL <= median(usual) <= look * UNUSUAL


def _read(file: str, rules: Rules) -> Trace:
    from coalmine.backtest import read_trace
    from coalmine.cli._specs import read_text

    return read_trace(read_text(file).split("\n"), file, rules.metrics)


def table(courses: Iterable[Course], all_looks: bool) -> str:
    """The results for people."""
    from rich.console import Console
    from rich.table import Table

    from coalmine.cli import _words

    drawn = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title, right in (
        ("trace", False),
        ("decision", False),
        ("look", True),
        ("at", False),
        ("canary requests", True),
    ):
        drawn.add_column(title, no_wrap=title != "trace", justify="right" if right else "left", overflow="fold")
    drawn.add_column("why", overflow="fold", ratio=1)
    for course in courses:
        for judged in course.looks if all_looks else ():
            at = _words.moment(course.trace.at[judged.look])
            drawn.add_row(
                "", judged.conclusion.finding.replace("_", " "), str(judged.look), at, "", judged.conclusion.reason
            )
        look = "" if course.look is None else str(course.look)
        at = "" if course.look is None else _words.moment(course.trace.at[course.look])
        requests = max(course.canary_requests().values(), default=0)
        decision = (course.decision or "").replace("_", " ")
        drawn.add_row(course.trace.name, decision, look, at, f"{requests:,}", course.reason)
    text = io.StringIO()
    Console(file=text, width=None if _is_terminal() else 160, color_system=None, emoji=False, markup=False).print(drawn)
    return "\n".join(row.rstrip() for row in text.getvalue().rstrip("\n").split("\n"))


def _is_terminal() -> bool:
    import sys

    return sys.stdout.isatty()


def _summary(courses: Sequence[Course]) -> str:
    counts = Counter(course.decision for course in courses)
    undecided = sum(course.decision == "hold" and course.look is None for course in courses)
    told = [f"{counts['roll_back']} rolled back", f"{counts['hold']} held", f"{counts['promote']} promoted"]
    number = f"{len(courses):,} trace{'s' * (len(courses) != 1)}"
    return f"{number}: {', '.join(told)}" + (f" ({undecided} of the held only ended undecided)" if undecided else "")
