"""``coalmine slots``: how many rollouts run at once in an environment, which run, and which wait."""

from __future__ import annotations

import argparse
from typing import Any

from coalmine.cli._output import Output, columns, plain
from coalmine.cli._parser import Args, Parser


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("--limit", metavar="N", type=_limit, help="at most so many from now on; 'none' lifts the limit")
    parser.add_place(required=True)
    parser.add_speaker()
    parser.add_connection()
    parser.add_output()
    parser.epilog = (
        "A start beyond the limit waits at admission. Rollouts that run go on, and a rollback needs no slot."
    )


def run(args: Args, out: Output) -> int:
    """Show, or limit and show."""
    from coalmine.cli._session import on_connection
    from coalmine.cli._who import speaker
    from coalmine.client import Coalmine
    from coalmine.errors import InputError
    from coalmine.records import SlotBook

    if args.region is not None:
        raise InputError("--region: slots are those of a whole environment; leave it out")
    by = speaker(args.by) if args.limit is not None else ""

    async def asked(coalmine: Coalmine) -> SlotBook:
        if args.limit is None:
            return await coalmine.slots(args.environment)
        return await coalmine.limit_slots(args.environment, args.limit or None, by=by, reason=args.reason)

    book = on_connection(args, asked)
    rows = [["running", one.service, one.region or "", one.version, one.by] for one in book.holders]
    rows += [
        [f"waiting, {place}", one.service, one.region or "", one.version, one.by]
        for place, one in enumerate(book.waiting, 1)
    ]
    most = "no limit" if book.limit is None else f"at most {book.limit} at once"
    said = f" (set by {book.set_by}{f': {book.reason}' if book.reason else ''})" if book.set_by else ""
    text = f"{args.environment}: {most}{said}; {len(book.holders)} running, {len(book.waiting)} waiting"
    if rows:
        text += "\n" + columns(["slot", "service", "region", "version", "by"], rows)
    data = {
        "environment": args.environment,
        "limit": book.limit,
        "set_by": book.set_by,
        "set_at": plain(book)["set_at"],
        "reason": book.reason,
        "running": [_row(plain(one)) for one in book.holders],
        "waiting": [_row(plain(one)) for one in book.waiting],
    }
    out.data(data, text)
    return 0


def _row(request: dict[str, Any]) -> dict[str, Any]:
    return {key: request[key] for key in ("service", "region", "version", "by", "workflow_id")}


def _limit(text: str) -> int:
    """A number of slots; 0 stands for none, which cannot be typed."""
    if text.strip().lower() == "none":
        return 0
    if text.isdecimal() and text.isascii() and 1 <= int(text[:9]) <= 10_000:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} must be a number from 1 to 10000, or 'none'")
