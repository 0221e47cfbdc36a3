"""``coalmine watch``: follow a rollout until its outcome."""

from __future__ import annotations

from coalmine.cli._output import Output
from coalmine.cli._parser import FORMS, Args, Parser
from coalmine.cli._watch_options import watch_options


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_rollout()
    watch_options(parser)
    parser.add_output((*FORMS, "jsonl"))
    parser.epilog = "json prints the last status at the end, jsonl every change on a line. Exit codes: docs/cli.md."


def run(args: Args, out: Output) -> int:
    """Watch."""
    from coalmine.cli._session import meant, on_connection
    from coalmine.cli._watching import Watcher
    from coalmine.client import Coalmine

    watcher = Watcher(out, args)

    async def watched(coalmine: Coalmine) -> int:
        return await watcher.watch(coalmine, await meant(coalmine, args))

    try:
        return on_connection(args, watched)
    except KeyboardInterrupt:
        return watcher.finish("detached")
