"""The route files of one route: read, and written under the fence. Everything here blocks; call it in a thread.

What a file looks like is its ``Document``'s matter: Envoy's discovery response, a map, a block of a configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from activities.routers.locked_files import locked, replace
from activities.routers.route_text import mend_of, text_of, unwritable
from activities.routers.splits import PLAIN, Document, DocumentType, Reading, Terms, managed, no_entry
from coalmine.errors import RouteRejected, RouterError, RouterUnreachable, StaleGeneration

_log = structlog.get_logger("coalmine.router")
_CACHED = 256
"""Readings kept: confirming reads the same file again and again, and parsing YAML takes milliseconds."""


@dataclass(frozen=True)
class Written:
    """One file that was replaced: what it holds now and what it held before."""

    reading: Reading
    before: str

    @property
    def path(self) -> str:
        """Where it is."""
        return self.reading.path


@dataclass
class WriteResult:
    """What a write did to each file. ``kept`` carried the same generation and weights already."""

    written: list[Written] = field(default_factory=list)
    kept: list[Reading] = field(default_factory=list)
    failed: dict[str, RouterError] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    """By proxy, why it refused what was published to it."""

    @property
    def readings(self) -> list[Reading]:
        """What the files say now that carry the generation."""
        return [*(one.reading for one in self.written), *self.kept]


Publish = Callable[[Sequence[Reading]], Mapping[str, str]]
"""Called under the lock with what the files say now, for proxies that do not watch them; by proxy, why it refused."""


class RouteFiles:
    """Reads and writes route files. One instance serves all routes, from any thread."""

    def __init__(self, document: DocumentType, terms: Terms = PLAIN) -> None:
        self._document = document
        self._terms = terms
        self._readings: dict[tuple[str, str], tuple[str, Reading]] = {}

    def read(self, path: str, name: str) -> Reading:
        """What the file says of route ``name``.

        Raises:
            RouterUnreachable: it could not be read.
            RouteRejected: it does not exist, or cannot be understood.
        """
        text = text_of(path)
        known = self._readings.get((path, name))
        if known is not None and known[0] == text:
            return known[1]
        return self._remember(name, text, self._document(path, text, name).reading())

    def read_all(self, paths: Sequence[str], name: str) -> tuple[dict[str, Reading], dict[str, RouterError]]:
        """The readings of those that could be read, and why the others could not."""
        readings: dict[str, Reading] = {}
        failed: dict[str, RouterError] = {}
        for path in paths:
            try:
                readings[path] = self.read(path, name)
            except RouterError as error:
                failed[path] = error
        return readings, failed

    def rehearse(
        self, paths: Sequence[str], name: str, units: Mapping[str, int], document: DocumentType | None = None
    ) -> dict[str, str]:
        """Everything a write does but the write; by file, why it would fail. Files that cannot be read are left out."""
        problems: dict[str, str] = {}
        for path in paths:
            try:
                self._changed(path, name, text_of(path), units, 1, document or self._document).reading()
            except RouterUnreachable:
                continue
            except RouteRejected as error:
                problems[path] = str(error)
            else:
                if problem := unwritable(path):
                    problems[path] = problem
        return problems

    def write(
        self,
        paths: Sequence[str],
        name: str,
        units: Mapping[str, int],
        generation: int,
        publish: Publish | None = None,
        document: DocumentType | None = None,
    ) -> WriteResult:
        """Write the weights under the generation into every file, or into none when one is newer.

        A file that cannot be read or written does not keep the others from being written. ``document`` instead of the
        usual one, where a route asks for more than weights.

        Raises:
            StaleGeneration: a file carries a newer generation, or the same one with other weights.
            RouterUnreachable: another writer held a lock for too long.
        """
        result = WriteResult()
        with locked([Path(path) for path in paths]):
            texts: dict[str, str] = {}
            for path in paths:
                try:
                    reading = self.read(path, name)
                    if is_written(reading, units, generation):
                        result.kept.append(reading)
                    else:
                        texts[path] = text_of(path)
                except StaleGeneration as error:
                    # Told here: whoever asked may have been cancelled meanwhile, and hear of it no more.
                    _log.warning("write refused", error=type(error).__name__, reason=str(error))
                    raise
                except RouterError as error:
                    result.failed[path] = error
            for path, before in texts.items():
                try:
                    result.written.append(
                        self._change(path, name, before, units, generation, document or self._document)
                    )
                except RouterError as error:
                    result.failed[path] = error
            if publish is not None and result.readings:
                result.refused = publish(result.readings)
        return result

    def touch(self, readings: Sequence[Reading], name: str) -> None:
        """Replace files by themselves: for whoever watches them and has missed their last change.

        A file that somebody has written since is left alone: they have just been told.

        Raises:
            RouterError: a file could not be read or written.
        """
        with locked([Path(reading.path) for reading in readings]):
            for reading in readings:
                text = text_of(reading.path)
                if self.read(reading.path, name) == reading:
                    self._put(reading.path, text)

    def put_back(
        self, written: Sequence[Written], name: str, generation: int, publish: Publish | None = None
    ) -> list[Reading]:
        """Put back what the files held, under ``generation``: the fence never goes down.

        A file that somebody has written since is theirs and stays. Returns those put back.

        Raises:
            RouterError: a file could not be read or written.
        """
        back: list[Reading] = []
        with locked([Path(one.path) for one in written]):
            for one in written:
                # The whole of it: hands may leave the version as it stands.
                if self.read(one.path, name) == one.reading:
                    document = self._document(one.path, one.before, name)
                    document.stamp(generation)
                    back.append(self._replace(one.path, name, document))
            if publish is not None and back:
                publish(back)
        return back

    def _change(
        self, path: str, name: str, before: str, units: Mapping[str, int], generation: int, document: DocumentType
    ) -> Written:
        return Written(
            self._replace(path, name, self._changed(path, name, before, units, generation, document)), before
        )

    def _changed(
        self, path: str, name: str, before: str, units: Mapping[str, int], generation: int, document: DocumentType
    ) -> Document:
        changed = document(path, before, name)
        if not changed.set_weights(units):
            raise RouteRejected(f"{path}: {no_entry(name, list(units), self._terms)}")
        changed.stamp(generation)
        return changed

    def _replace(self, path: str, name: str, document: Document) -> Reading:
        text = document.render()
        self._put(path, text)
        return self._remember(name, text, document.reading())

    def _put(self, path: str, text: str) -> None:
        try:
            replace(Path(path), text)
        except OSError as error:
            raise RouterUnreachable(f"{path}: could not be written ({error.strerror}){mend_of(error)}") from error

    def _remember(self, name: str, text: str, reading: Reading) -> Reading:
        if len(self._readings) >= _CACHED:
            self._readings.clear()
        self._readings[reading.path, name] = (text, reading)
        return reading


def is_written(reading: Reading, units: Mapping[str, int], generation: int) -> bool:
    """Whether the file carries this generation with these weights already.

    Raises:
        StaleGeneration: it carries a newer generation, or the same one with other weights.
    """
    there = reading.version.generation
    if there > generation:
        raise StaleGeneration(f"{reading.path}: carries generation {there}, newer than {generation}")
    if there < generation:
        return False
    wanted = {cluster: weight for cluster, weight in units.items() if weight}
    if not (ours := managed(reading.splits, list(units))):
        # Nothing of it is ours any more: writing says so.
        return False
    if any({cluster: weight for cluster, weight in split.shares if weight} != wanted for split in ours):
        raise StaleGeneration(f"{reading.path}: carries generation {generation} with other weights")
    return True
