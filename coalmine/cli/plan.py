"""``coalmine plan``: what a spec will do and when, and when the judge will be able to decide."""

from __future__ import annotations

import argparse
import math
from datetime import timedelta

from coalmine.cli._output import Output, columns, plain
from coalmine.cli._parser import Args, Parser

MOST_TIMES = 1000.0
MOST_NOISE = 100.0
LEAST_RATE, MOST_RATE = 1e-6, 1e12
"""Requests per second that can be forecast: from one in eleven days to more than there are."""


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("file", metavar="FILE", help="the spec; - reads stdin")
    parser.add_argument(
        "--rps",
        type=_rate,
        metavar="N",
        help="forecast when a regression is caught and no harm is shown, at N requests per second of both versions",
    )
    parser.add_argument(
        "--connect",
        action="store_true",
        help="the same, with requests per second and baseline read from the metric sources",
    )
    parser.add_argument(
        "--regression",
        type=_times,
        action="append",
        metavar="TIMES",
        help="how many times the odds of a bad request (events of a count, level of a value) to forecast for, beside "
        "each no_harm (default: 2); repeatable",
    )
    parser.add_argument(
        "--burn",
        type=_times,
        action="append",
        metavar="TIMES",
        help="how many times too fast an slo's budget is burnt to forecast for (default: twice each burn rate); "
        "repeatable",
    )
    parser.add_argument(
        "--baseline",
        type=_baseline,
        action="append",
        metavar="METRIC=SHARE",
        help="share of bad requests before the release, such as errors=0.2%%; of a latency those slower than its "
        "objective, or than its p97; of a count events per hour, such as restarts=6; of a value its level; repeatable",
    )
    parser.add_argument(
        "--noise",
        type=_noise,
        action="append",
        metavar="METRIC=SHARE",
        help="how much a value scatters: the standard deviation of a minute's difference between two like versions, as "
        "a share of its level, such as cpu=3%%; repeatable",
    )
    parser.add_argument(
        "--history",
        choices=("ledger", "none", "quiet"),
        metavar="WHICH",
        help="the service's noise: as the ledger here tells (ledger, the default), unknown (none), or quiet",
    )
    parser.add_output()


def run(args: Args, out: Output) -> int:
    """Print the plan; without ``--connect`` nothing is asked of anybody."""
    from coalmine.cli._specs import read_spec
    from coalmine.spec.durations import format_duration
    from coalmine.spec.plan import plan

    spec = read_spec(args.file)
    planned = plan(spec)
    foretold, lines, warnings = None, "", planned.warnings
    if any((args.rps is not None, args.connect, args.regression, args.burn, args.baseline, args.noise, args.history)):
        # numpy and scipy take a while to import: only those who ask for a forecast wait for them.
        from coalmine.cli._forecast import forecast
        from coalmine.cli._forecast_text import text as in_words

        found = forecast(spec, args)
        foretold, lines = plain(found), in_words(found, spec)
        warnings = [*warnings, *found.warnings]
    rows: list[list[str]] = [
        [
            str(step.number),
            f"{step.weight:g} %",
            _offset(step.starts),
            format_duration(step.lasts),
            str(step.looks),
            f"{step.min_requests:,}" if step.min_requests else "",
            f"{step.gate}: {step.waits}, at most {format_duration(step.gate_timeout)}"
            if step.gate and step.gate_timeout
            else "",
        ]
        for step in planned.steps
    ]
    bake, window = spec.promotion.bake, spec.promotion.rollback_window
    rows.append(["", "100 %", _offset(planned.promotes), format_duration(bake), "", "", "bake" if bake else "no bake"])
    rows.append(["", "", _offset(planned.bake_ends), format_duration(window), "", "", "promoted; rollback window"])
    head = ["step", "canary", "earliest", "lasts", "looks", "requests", "gate"]
    arms = spec.arms
    where = spec.environment + (f" ({spec.region})" if spec.region else "")
    text = "\n".join(
        [
            f"{spec.service} {arms.baseline.version} → {arms.canary.version} in {where}",
            "",
            columns(head, rows, right=[0, 1, 2, 3, 4, 5]),
            "",
            f"all traffic after {format_duration(planned.promotes)} at the earliest, "
            f"{format_duration(planned.longest)} at the latest; "
            f"{planned.looks} looks of {format_duration(spec.policy.look)}",
        ]
    )
    summary = {"service": spec.service, "environment": spec.environment, "region": spec.region}
    versions = {"version": arms.canary.version, "baseline_version": arms.baseline.version}
    told = {**summary, **versions, **plain(planned)}
    out.data(told if foretold is None else {**told, "forecast": foretold}, "\n".join([text, lines]) if lines else text)
    for warning in warnings:
        out.say(f"warning: {warning}")
    return 0


def _rate(text: str) -> float:
    value = _number(text)
    if not LEAST_RATE <= value <= MOST_RATE:
        least, most = f"{LEAST_RATE:g}", f"{MOST_RATE:g}"
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a rate: give requests per second, more than 0, such as 200 (from {least} to {most})"
        )
    return value


def _times(text: str) -> float:
    value = _number(text)
    if not 1.0 < value <= MOST_TIMES:
        raise argparse.ArgumentTypeError(f"{text!r} is no regression: give a number above 1, up to {MOST_TIMES:g}")
    return value


def _baseline(text: str) -> tuple[str, float]:
    name, equals, share = text.partition("=")
    value = _number(share.removesuffix("%")) / (100.0 if share.endswith("%") else 1.0)
    if not name or not equals or not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not METRIC=SHARE: give a number above 0, such as errors=0.002 or errors=0.2%"
        )
    return name, value


def _noise(text: str) -> tuple[str, float]:
    name, equals, share = text.partition("=")
    value = _number(share.removesuffix("%")) / (100.0 if share.endswith("%") else 1.0)
    if not name or not equals or not 0.0 < value <= MOST_NOISE:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not METRIC=SHARE: give a share of the level above 0, up to {MOST_NOISE:g}, such as cpu=3%"
        )
    return name, value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _offset(at: timedelta) -> str:
    from coalmine.spec.durations import format_duration

    return f"+{format_duration(at)}"
