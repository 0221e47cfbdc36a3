"""``coalmine decisions``: every decision with its reason, and every refused input."""

from __future__ import annotations

from coalmine.cli._output import Output, columns, plain
from coalmine.cli._parser import Args, Parser


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_rollout()
    parser.add_output()


def run(args: Args, out: Output) -> int:
    """Ask and print."""
    from coalmine.cli import _words
    from coalmine.cli._session import meant, on_connection
    from coalmine.client import Coalmine
    from coalmine.records import DecisionLog

    async def asked(coalmine: Coalmine) -> DecisionLog:
        return await coalmine.decisions(await meant(coalmine, args))

    log = on_connection(args, asked)
    rows = [
        [
            str(entry.sequence),
            _words.moment(entry.at),
            _kind(entry.kind, entry.data),
            entry.by,
            entry.reason.replace("\n", " "),
        ]
        for entry in log.entries
    ]
    text = columns(["#", "at", "what", "by", "why"], rows, right=[0]) if rows else ""
    out.data(plain(log), text)
    if log.dropped:
        out.say(f"{log.dropped} older entries are in the ledger and in: coalmine history {args.rollout}")
    if not rows:
        out.say("nothing was decided yet")
    return 0


def _kind(kind: str, data: dict[str, object]) -> str:
    if kind == "look":
        return f"look {data.get('look', '')} {data.get('action', '')}".strip()
    if kind in ("command", "refused"):
        return f"{kind} {data.get('verb', '')}".strip()
    return kind
