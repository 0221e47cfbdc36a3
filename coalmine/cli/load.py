"""``coalmine load``: open-loop requests at a fixed rate."""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from coalmine.cli._output import Output, pairs, plain
from coalmine.cli._parser import Args, Parser, duration

if TYPE_CHECKING:
    from coalmine.records import LoadReport


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("url", metavar="URL", help="where to send GET requests")
    parser.add_argument("--rate", metavar="N", type=_positive, default=100.0, help="requests per second (default: 100)")
    parser.add_argument(
        "--for",
        dest="length",
        metavar="TIME",
        type=duration,
        default=timedelta(minutes=1),
        help="how long (default: 1m)",
    )
    parser.add_argument(
        "--timeout", metavar="TIME", type=duration, default=timedelta(seconds=10), help="per request (default: 10s)"
    )
    parser.add_argument(
        "-H", "--header", metavar="'NAME: VALUE'", action="append", default=[], help="request header; may be repeated"
    )
    parser.add_argument(
        "--in-flight", metavar="N", type=int, default=10_000, help="requests open at once at most (default: 10000)"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="seed of random arrivals (default: 0)")
    parser.add_output()
    parser.epilog = "Requests are due at fixed times whether or not earlier ones came back; latencies count from then."


def run(args: Args, out: Output) -> int:
    """Send; Ctrl-C stops sending and still reports."""
    import asyncio
    import signal

    from activities.load import LoadSecond, run_load
    from coalmine.records import LoadRequest

    request = LoadRequest(
        url=args.url, rate=args.rate, duration=args.length, timeout=args.timeout, headers=_headers(args.header),
        seed=args.seed, max_in_flight=args.in_flight,
    )  # fmt: skip

    def told(second: LoadSecond) -> None:
        if second.seconds % 5 == 0:
            out.say(
                f"{second.seconds} s: {second.sent:,} sent, {second.failed:,} failed, p99 {second.p99 * 1e3:.1f} ms"
            )

    async def send() -> LoadReport:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
        return await run_load(request, until=stop, on_second=told)

    report = asyncio.run(send())
    out.data(plain(report), _text(report))
    return 0


def _text(report: Any) -> str:
    statuses = {**report.statuses, **report.errors}
    return pairs(
        {
            "sent": f"{report.sent:,} in {report.seconds:.1f} s",
            "ok": f"{report.ok:,}",
            "failed": f"{report.failed:,}",
            "answers": ", ".join(f"{name}: {count:,}" for name, count in sorted(statuses.items())),
            "p50": f"{report.p50 * 1e3:.1f} ms",
            "p90": f"{report.p90 * 1e3:.1f} ms",
            "p99": f"{report.p99 * 1e3:.1f} ms",
            "max": f"{report.max * 1e3:.1f} ms",
            "late": f"{report.max_sched_late * 1e3:.1f} ms at most behind its own schedule",
        }
    )


def _headers(given: list[str]) -> dict[str, str]:
    from coalmine.errors import InputError

    headers = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise InputError(f"--header {text!r}: write 'Name: value'")
        headers[name.strip()] = value.strip()
    return headers


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
    return value
