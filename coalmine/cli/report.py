"""``coalmine report``: a page of one rollout, from the ledger alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from coalmine.cli._ledger_place import add_ledger, ledger_of, place_of
from coalmine.cli._output import Output, plain
from coalmine.cli._parser import Args, Parser

if TYPE_CHECKING:
    from coalmine.records import LedgerEntry

FORMS = ("html", "md", "json")


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("rollout", metavar="ROLLOUT", help="a rollout id, or a service: its latest rollout")
    parser.add_place()
    add_ledger(parser)
    parser.add_argument("--file", metavar="PATH", help="write it there instead of to stdout")
    parser.add_output(FORMS, default="md")
    parser.epilog = (
        "Reads the ledger only: neither Temporal nor a worker is needed. html is one file that loads nothing."
    )


def run(args: Args, out: Output) -> int:
    """Read, put together and print."""
    import asyncio

    from coalmine.report import as_html, as_markdown, tell

    story = tell(asyncio.run(_entries(args)))
    if args.output == "json" and args.file is None:
        out.data(plain(story), "")
        return 0
    text = (
        as_html(story)
        if args.output == "html"
        else as_markdown(story)
        if args.output == "md"
        else story.model_dump_json(indent=2) + "\n"
    )
    if args.file is None:
        sys.stdout.write(text)
        return 0
    _write(Path(args.file), text)
    out.say(f"wrote {args.file}: {story.sentence}")
    return 0


async def _entries(args: Args) -> list[LedgerEntry]:
    from activities.ledgers.registry import open_ledger
    from coalmine.errors import RolloutNotFound
    from coalmine.rollout_names import split_rollout_id

    meant = ledger_of(args)
    ledger, folder = open_ledger(meant), place_of(meant)
    exact = split_rollout_id(args.rollout)
    if exact is not None:
        entries = await ledger.rollout(*exact)
        if entries:
            return entries
        if exact[0] in await ledger.books():
            latest = await ledger.latest(exact[0])
            raise RolloutNotFound(f"the ledger {folder} has no rollout {args.rollout}; the latest there is {latest}")
    book = _book(args, await ledger.books(), folder)
    latest = await ledger.latest(book)
    if latest is None:
        raise RolloutNotFound(f"the ledger {folder} has no entry of {book} yet")
    return await ledger.rollout(book, latest)


def _book(args: Args, books: list[str], folder: str) -> str:
    """The one book that is meant."""
    from coalmine.cli._parser import did_you_mean
    from coalmine.errors import InputError, RolloutNotFound
    from coalmine.rollout_names import parse_name

    name = parse_name(args.rollout, args.environment, args.region)
    found = [
        book
        for book in books
        if _matches(book.split("/"), name.environment, name.service, name.region) and name.version is None
    ]
    if len(found) > 1:
        raise InputError(
            f"{args.rollout!r} is in several places: {', '.join(found)}; add -e and --region, or write one"
        )
    if not found:
        near = did_you_mean(args.rollout, [*books, *(book.split("/")[1] for book in books)])
        raise RolloutNotFound(f"the ledger {folder} has no rollout of {args.rollout}{near}")
    return found[0]


def _matches(parts: list[str], environment: str | None, service: str, region: str | None) -> bool:
    if len(parts) not in (2, 3) or parts[1] != service or (environment and parts[0] != environment):
        return False
    return region is None or parts[2:] == [region]


def _write(path: Path, text: str) -> None:
    from coalmine.errors import InputError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--file: {path} cannot be written: {error.strerror or error}") from None
