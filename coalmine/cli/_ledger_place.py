"""Which ledger a verb reads: ``--ledger``, else the folder that is here, else that of the local stack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from coalmine.cli._parser import Args, Parser

if TYPE_CHECKING:
    from coalmine.spec.canary import Ledger


def add_ledger(parser: Parser) -> None:
    """``--ledger``."""
    parser.add_argument(
        "--ledger", metavar="PATH", help="the ledger's folder (default: ledger/ here, else that of the local stack)"
    )


def ledger_of(args: Args) -> Ledger:
    """The ledger that is meant, which must be there.

    Raises:
        InputError: there is no such folder.
    """
    from coalmine.errors import InputError
    from coalmine.spec.canary import Ledger

    folder = _folder(args.ledger)
    if not folder.is_dir():
        raise InputError(f"--ledger: there is no folder {folder}; name the one of the spec's ledger.path")
    return Ledger(path=str(folder))


def _folder(given: str | None) -> Path:
    if given:
        return Path(given)
    from coalmine.local.stack import default_folder

    here, local = Path("ledger"), default_folder() / "ledger"
    return local if local.is_dir() and not here.is_dir() else here
