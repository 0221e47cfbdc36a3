"""Which ledger a verb reads: ``--ledger`` (a folder, or s3://bucket/prefix), else the folder here, else the stack's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from coalmine.cli._parser import Args, Parser

if TYPE_CHECKING:
    from activities.ledgers.base import LedgerStore
    from coalmine.records import LedgerEntry
    from coalmine.spec.ledger import Ledger


HERE = True
"""``--ledger`` without a value: the default place."""


def add_ledger(parser: Parser) -> None:
    """``--ledger``."""
    parser.add_argument(
        "--ledger",
        metavar="PATH",
        help="the ledger's folder, or s3://BUCKET/PREFIX (default: ledger/ here, else that of the local stack)",
    )


def add_kept(parser: Parser, help_text: str) -> None:
    """``--ledger`` of a verb that asks Temporal otherwise."""
    parser.add_argument("--ledger", metavar="PATH", nargs="?", const=HERE, help=help_text)


def ledger_of(args: Args) -> Ledger:
    """The ledger that is meant, which must be there.

    Raises:
        InputError: there is no such folder, or it is no ledger's address.
    """
    from coalmine.errors import InputError
    from coalmine.spec.ledger import Ledger

    given = None if args.ledger is HERE else args.ledger
    scheme, separator, rest = (given or "").partition("://")
    if separator:
        bucket, _, prefix = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise InputError(f"--ledger: {args.ledger!r} is neither a folder nor s3://BUCKET/PREFIX")
        return Ledger(kind="s3", bucket=bucket, prefix=prefix or None)
    folder = _folder(given)
    if not folder.is_dir():
        raise InputError(f"--ledger: there is no folder {folder}; name the one of the spec's ledger.path")
    return Ledger(path=str(folder))


async def meant_in_ledger(args: Args) -> tuple[LedgerStore, list[LedgerEntry]]:
    """The ledger, and the entries of the rollout that ``args.rollout`` names: its latest where several are meant.

    Raises:
        InputError: the name means several, or none of the forms.
        RolloutNotFound: the ledger does not have it; names the nearest.
        LedgerError, LedgerCorrupt: it cannot be read.
    """
    from activities.ledgers.registry import open_ledger
    from coalmine.errors import RolloutNotFound
    from coalmine.rollout_names import split_rollout_id

    meant = ledger_of(args)
    ledger, folder = open_ledger(meant), place_of(meant)
    exact = split_rollout_id(args.rollout)
    if exact is not None:
        entries = await ledger.rollout(*exact)
        if entries:
            return ledger, entries
        if exact[0] in await ledger.books():
            latest = await ledger.latest(exact[0])
            raise RolloutNotFound(f"the ledger {folder} has no rollout {args.rollout}; the latest there is {latest}")
    book = _book(args, await ledger.books(), folder)
    latest = await ledger.latest(book)
    if latest is None:
        raise RolloutNotFound(f"the ledger {folder} has no entry of {book} yet")
    return ledger, await ledger.rollout(book, latest)


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


def place_of(ledger: Ledger) -> str:
    """Where a ledger is, for people."""
    return ledger.path if ledger.kind == "file" else f"s3://{ledger.bucket}/{ledger.prefix or ''}"


def _folder(given: str | None) -> Path:
    if given:
        return Path(given)
    from coalmine.local.stack import default_folder

    here, local = Path("ledger"), default_folder() / "ledger"
    return local if local.is_dir() and not here.is_dir() else here
