"""``coalmine plan``: what a spec will do and when."""

from __future__ import annotations

from datetime import timedelta

from coalmine.cli._output import Output, columns, plain
from coalmine.cli._parser import Args, Parser


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("file", metavar="FILE", help="the spec; - reads stdin")
    parser.add_output()


def run(args: Args, out: Output) -> int:
    """Print the plan; nothing is asked of anybody."""
    from coalmine.cli._specs import read_spec
    from coalmine.spec.durations import format_duration
    from coalmine.spec.plan import plan

    spec = read_spec(args.file)
    planned = plan(spec)
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
    out.data({**summary, **versions, **plain(planned)}, text)
    for warning in planned.warnings:
        out.say(f"warning: {warning}")
    return 0


def _offset(at: timedelta) -> str:
    from coalmine.spec.durations import format_duration

    return f"+{format_duration(at)}"
