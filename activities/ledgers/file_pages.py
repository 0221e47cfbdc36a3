"""The files of a ledger, line by line (``LedgerPages``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from activities.ledgers.file_archives import SUFFIX, content_of
from activities.ledgers.file_heads import NAME, HeadsFile, chain_name
from activities.ledgers.locked_file import still
from activities.ledgers.sealing import Sealer
from coalmine.errors import LedgerError
from coalmine.records import ChainTip


class FilePages:
    """The lines of the files in one folder."""

    def __init__(self, root: Path, sealer: Sealer | None = None) -> None:
        self._root = root
        self._sealer = sealer or Sealer()
        self.place = str(root)

    @property
    def heads_at(self) -> str:
        """See ``LedgerPages``."""
        return str(self._root / NAME)

    def chains(self) -> list[str]:
        """See ``LedgerPages``."""
        try:
            found = self._root.glob("*/**/*.jsonl")
            return sorted(chain_name(self._root, path) for path in found if path.is_file())
        except OSError as error:
            raise LedgerError(f"ledger {self._root} cannot be read: {error.strerror or error}") from error

    def strays(self) -> list[tuple[str, str]]:
        """See ``LedgerPages``."""
        try:
            return [(str(path), why) for path in sorted(self._root.glob("**/*.jsonl")) if (why := self._stray(path))]
        except OSError as error:
            raise LedgerError(f"ledger {self._root} cannot be read: {error.strerror or error}") from error

    def _stray(self, path: Path) -> str:
        """Why no ledger puts this there; empty where one does."""
        if path.is_dir():
            # A service or a region may be called so: then chains are in it.
            return "" if any(inner.is_file() for inner in path.rglob("*.jsonl")) else "this is a folder, no chain"
        if not path.is_file():
            return "this is no regular file: it was not read"
        if path.parent == self._root and path.name != NAME:
            return "no chain stands in the ledger's own folder: it was put or copied here"
        return ""

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

    def bury(self, chain: str, rollout_id: str, tip: ChainTip, *, by: str, last: str) -> None:
        """See ``LedgerPages``."""
        HeadsFile(self._root, self._sealer).tombstone(chain, rollout_id, tip.records, tip.hash, by=by, last=last)

    def drop(self, chain: str, kept: Sequence[str]) -> None:
        """See ``LedgerPages``."""
        try:
            # The chain goes last: as long as it is there, pruning finds it again.
            for path in [*(self._root / file for file in kept), self._path(chain)]:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise LedgerError(f"ledger {path} cannot be pruned: {error.strerror or error}") from error

    def heads(self) -> Iterator[bytes]:
        """See ``LedgerPages``."""
        return HeadsFile(self._root, self._sealer).lines()

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
