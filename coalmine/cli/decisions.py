"""``coalmine decisions``: every decision with its reason, and every refused input; of the workflow or the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coalmine.cli._ledger_place import add_kept
from coalmine.cli._output import Output, columns, plain
from coalmine.cli._parser import Args, Parser

if TYPE_CHECKING:
    from coalmine.records import DecisionLog


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_rollout()
    add_kept(parser, "read the ledger there: all of them, also when Temporal has forgotten the rollout")
    parser.add_output()


def run(args: Args, out: Output) -> int:
    """Ask and print."""
    from coalmine.cli import _words
    from coalmine.cli._session import meant, on_connection
    from coalmine.client import Coalmine

    async def asked(coalmine: Coalmine) -> DecisionLog:
        return await coalmine.decisions(await meant(coalmine, args))

    log = _kept(args) if args.ledger else on_connection(args, asked)
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


def _kept(args: Args) -> DecisionLog:
    import asyncio

    from coalmine.cli._ledger_place import meant_in_ledger
    from coalmine.records import DecisionLog

    _, entries = asyncio.run(meant_in_ledger(args))
    return DecisionLog(entries=entries)


def _kind(kind: str, data: dict[str, object]) -> str:
    if kind == "look":
        return f"look {data.get('look', '')} {data.get('action', '')}".strip()
    if kind in ("command", "refused"):
        return f"{kind} {data.get('verb', '')}".strip()
    return kind
