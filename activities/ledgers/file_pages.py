"""The files of a ledger, line by line (``LedgerPages``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from activities.ledgers.file_archives import SUFFIX, content_of
from activities.ledgers.file_heads import NAME, HeadsFile, chain_name
from activities.ledgers.locked_file import still
from activities.ledgers.sealing import Sealer
from coalmine.errors import LedgerError


class FilePages:
    """The lines of the files in one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.place = str(root)

    @property
    def heads_at(self) -> str:
        """See ``LedgerPages``."""
        return str(self._root / NAME)

    def chains(self) -> list[str]:
        """See ``LedgerPages``."""
        try:
            return sorted(chain_name(self._root, path) for path in self._root.glob("*/**/*.jsonl"))
        except OSError as error:
            raise LedgerError(f"ledger {self._root} cannot be read: {error.strerror or error}") from error

    def lines(self, chain: str) -> Iterator[bytes]:
        """See ``LedgerPages``."""
        path = self._path(chain)
        try:
            with path.open("rb") as file:
                yield from file
        except OSError as error:
            raise LedgerError(f"ledger {path} cannot be read: {error.strerror or error}") from error

    def kept(self) -> list[str]:
        """See ``LedgerPages``."""
        try:
            return sorted(path.relative_to(self._root).as_posix() for path in self._root.glob(f"*/**/[!.]*{SUFFIX}"))
        except OSError as error:
            raise LedgerError(f"ledger {self._root} cannot be read: {error.strerror or error}") from error

    def content(self, file: str) -> bytes | None:
        """See ``LedgerPages``."""
        return content_of(self._root, file)

    def heads(self) -> Iterator[bytes]:
        """See ``LedgerPages``."""
        return HeadsFile(self._root, Sealer()).lines()

    def still(self, chain: str) -> AbstractContextManager[None]:
        """See ``LedgerPages``."""
        return still(self._path(chain))

    def where(self, chain: str) -> str:
        """See ``LedgerPages``."""
        return str(self._path(chain))

    def where_kept(self, file: str) -> str:
        """See ``LedgerPages``."""
        return str(self._root / file)

    def _path(self, chain: str) -> Path:
        return self._root / f"{chain}.jsonl"
