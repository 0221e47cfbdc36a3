"""Which ledger a verb reads: ``--ledger`` (a folder, or s3://bucket/prefix), else the folder here, else the stack's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from coalmine.cli._parser import Args, Parser

if TYPE_CHECKING:
    from coalmine.spec.canary import Ledger


def add_ledger(parser: Parser) -> None:
    """``--ledger``."""
    parser.add_argument(
        "--ledger",
        metavar="PATH",
        help="the ledger's folder, or s3://BUCKET/PREFIX (default: ledger/ here, else that of the local stack)",
    )


def ledger_of(args: Args) -> Ledger:
    """The ledger that is meant, which must be there.

    Raises:
        InputError: there is no such folder, or it is no ledger's address.
    """
    from coalmine.errors import InputError
    from coalmine.spec.canary import Ledger

    scheme, separator, rest = (args.ledger or "").partition("://")
    if separator:
        bucket, _, prefix = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise InputError(f"--ledger: {args.ledger!r} is neither a folder nor s3://BUCKET/PREFIX")
        return Ledger(kind="s3", bucket=bucket, prefix=prefix or None)
    folder = _folder(args.ledger)
    if not folder.is_dir():
        raise InputError(f"--ledger: there is no folder {folder}; name the one of the spec's ledger.path")
    return Ledger(path=str(folder))


def place_of(ledger: Ledger) -> str:
    """Where a ledger is, for people."""
    return ledger.path if ledger.kind == "file" else f"s3://{ledger.bucket}/{ledger.prefix or ''}"


def _folder(given: str | None) -> Path:
    if given:
        return Path(given)
    from coalmine.local.stack import default_folder

    here, local = Path("ledger"), default_folder() / "ledger"
    return local if local.is_dir() and not here.is_dir() else here
