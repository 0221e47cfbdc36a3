"""``coalmine history``: what happened, from Temporal's own history."""

from __future__ import annotations

from coalmine.cli._output import Output, columns, plain
from coalmine.cli._parser import Args, Parser


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_rollout()
    parser.add_argument("--all", action="store_true", help="with timers, ledger writes and messages to people")
    parser.add_output()
    parser.epilog = "Needs no worker: it reads the workflow's history, over all its runs."


def run(args: Args, out: Output) -> int:
    """Read and print."""
    from coalmine.cli import _words
    from coalmine.cli._session import meant, on_connection
    from coalmine.client import Coalmine, TimelineEntry

    async def asked(coalmine: Coalmine) -> list[TimelineEntry]:
        return await coalmine.history(await meant(coalmine, args), everything=args.all)

    entries = on_connection(args, asked)
    rows = [
        [
            _words.moment(entry.at),
            entry.kind,
            entry.by,
            ("FAILED " if entry.failed else "")
            + entry.text.replace("\n", " ")
            + (f" (attempt {entry.attempt})" if entry.attempt > 1 else ""),
        ]
        for entry in entries
    ]
    out.data({"entries": [plain(entry) for entry in entries]}, columns(["at", "what", "by", "text"], rows))
    return 0
