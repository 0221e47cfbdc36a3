"""``coalmine history``: what happened, from Temporal's own history, or from the copy beside the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coalmine.cli._ledger_place import add_kept
from coalmine.cli._output import Output, columns, plain
from coalmine.cli._parser import Args, Parser

if TYPE_CHECKING:
    from coalmine.client import TimelineEntry


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_rollout()
    parser.add_argument("--all", action="store_true", help="with timers, ledger writes and messages to people")
    add_kept(parser, "read the copy that is kept beside the ledger there, when Temporal has forgotten it")
    parser.add_output()
    parser.epilog = "Needs no worker: it reads the workflow's history, over all its runs."


def run(args: Args, out: Output) -> int:
    """Read and print."""
    from coalmine.cli import _words
    from coalmine.cli._session import meant, on_connection
    from coalmine.client import Coalmine

    async def asked(coalmine: Coalmine) -> list[TimelineEntry]:
        return await coalmine.history(await meant(coalmine, args), everything=args.all)

    entries = _kept(args, out) if args.ledger else on_connection(args, asked)
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


def _kept(args: Args, out: Output) -> list[TimelineEntry]:
    """From the histories beside the ledger, each compared with the digest that the chain holds."""
    import asyncio
    import os

    from activities.archive import kept_histories
    from coalmine.cli._ledger_place import meant_in_ledger
    from coalmine.encryption import KEYS_VARIABLE, data_converter
    from coalmine.errors import RolloutNotFound
    from coalmine.timeline import timeline_of

    async def read() -> list[TimelineEntry]:
        store, entries = await meant_in_ledger(args)
        runs, lacking = await kept_histories(store, entries)
        for what in lacking:
            out.say(f"note: {what}")
        if not runs:
            known = entries[0].rollout_id
            raise RolloutNotFound(
                f"the ledger has no history of {known}; its records: coalmine decisions {known} --ledger"
            )
        return await timeline_of(runs, data_converter(os.environ.get(KEYS_VARIABLE)), everything=args.all)

    return asyncio.run(read())
