"""``coalmine watch``: follow a rollout until its outcome, several until each has one, or an environment for ever."""

from __future__ import annotations

from coalmine.cli._output import Output
from coalmine.cli._parser import FORMS, ROLLOUT, Args, Parser
from coalmine.cli._watch_options import watch_options

FLEET_LIMIT = 200
"""Rows of an environment's page; ``list --watch --limit`` shows more."""


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument(
        "rollouts",
        metavar="ROLLOUT",
        nargs="*",
        help=f"{ROLLOUT}; several are shown as a table; none: every open rollout of --environment",
    )
    parser.add_place()
    parser.add_connection()
    watch_options(parser)
    parser.add_output((*FORMS, "jsonl"))
    parser.epilog = (
        "json prints the last status at the end, jsonl every change on a line. Exit codes: docs/cli.md; of several the "
        "gravest: 1, 7, 3, 4, 5, 9, 8, 0."
    )


def run(args: Args, out: Output) -> int:
    """Watch."""
    from coalmine.errors import InputError

    if len(args.rollouts) == 1:
        return _one(args, out)
    for option, value in (("--summary", args.summary), ("--outputs", args.outputs)):
        if value is not None:
            raise InputError(f"{option} is of one rollout: name one")
    if args.rollouts:
        return _several(args, out)
    if not args.environment:
        raise InputError("name a rollout, or several, or an environment with -e: all that is open there")
    if args.leave_when_held is not None:
        raise InputError("--leave-when-held and --stay-when-held are for rollouts that are named: name them")
    from coalmine.cli.listing import watch_fleet

    args.service, args.running, args.limit = None, True, FLEET_LIMIT
    return watch_fleet(args, out, "coalmine watch")


def _one(args: Args, out: Output) -> int:
    from coalmine.cli._ci_files import CiFiles
    from coalmine.cli._session import meant, on_connection
    from coalmine.cli._watching import Watcher
    from coalmine.client import Coalmine

    args.rollout = args.rollouts[0]
    files = CiFiles(args, out)
    watcher = Watcher(out, args, files)

    async def watched(coalmine: Coalmine) -> int:
        return await watcher.watch(coalmine, await meant(coalmine, args))

    try:
        with files.telling_failures():
            return on_connection(args, watched)
    except KeyboardInterrupt:
        return watcher.finish("detached")


def _several(args: Args, out: Output) -> int:
    from coalmine.cli._session import on_connection
    from coalmine.cli._several_watching import SeveralWatcher

    watcher = SeveralWatcher(out, args)
    try:
        return on_connection(args, watcher.watch)
    except KeyboardInterrupt:
        return watcher.finish("detached")
