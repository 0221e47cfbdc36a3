"""YAML nodes -> plain data that remembers where it was written. Loaded by ``coalmine.spec.document`` only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import StreamMark, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from coalmine.records.texts import HALF, writable
from coalmine.spec.bounds import DEEPEST, MOST_NODES, TOO_DEEP
from coalmine.spec.faults import Fault, Path, shown

_MOST_BITS = 1_024
"""Of a whole number; larger ones can be neither floats nor, much larger, written out in a message."""

_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = {_TAG + name for name in ("str", "timestamp", "value")}
"""No key of a spec is a date, so 2026-11-23 is the text that was written."""
_DATA_TAGS = _TEXT_TAGS | {_TAG + name for name in ("null", "bool", "int", "float", "seq", "map", "merge")}


@dataclass(frozen=True, order=True)
class Place:
    """A line and a column of the file, both from 1."""

    line: int = 1
    column: int = 1


@dataclass
class Spot:
    """A value, where it was written and how, and the values in it."""

    data: Any
    place: Place
    key_place: Place | None = None
    spelling: str | None = None
    inner: dict[str | int, Spot] = field(default_factory=dict)

    def find(self, path: Path) -> Spot | None:
        """The spot at a path from here."""
        spot: Spot | None = self
        for part in path:
            spot = spot.inner.get(part) if spot is not None else None
        return spot

    def place_of(self, fault: Fault) -> Place:
        """Where a fault is: the key for a wrong key, the value for a wrong value, and for what is missing the key of
        the mapping it misses in."""
        spot = self.find(fault.path)
        if spot is not None:
            return (spot.key_place if fault.on_key else None) or spot.place
        if fault.near:
            return self.place_of(Fault(fault.near, fault.message))
        path = fault.path
        while spot is None:
            path = path[:-1]
            spot = self.find(path)
        return spot.key_place or spot.place


def place_of_mark(mark: StreamMark | None) -> Place:
    """A mark of the parser, which counts from 0."""
    return Place(mark.line + 1, mark.column + 1) if mark is not None else Place()


def _tag(node: Node) -> str:
    return str(node.tag).replace(_TAG, "!!", 1)


class _TooMuch(Exception):
    """The document is larger than any spec; reading stops here."""


class NodeReader:
    """Turns nodes into plain data; gathers what cannot be in a spec in ``faults``."""

    def __init__(self, yaml: YAML) -> None:
        self.faults: list[tuple[Place, Fault]] = []
        self._yaml = yaml
        self._count = 0
        self._open: list[Node] = []

    def read(self, root: Node) -> Spot | None:
        """The whole document; None, with a fault, when it is larger or deeper than any spec."""
        try:
            return self._value(root, ())
        except _TooMuch:
            return None

    def _value(self, node: Node, path: Path) -> Spot:
        place = place_of_mark(node.start_mark)
        self._count += 1
        if self._count > MOST_NODES:
            self._stop(place, Fault((), f"the file has more than {MOST_NODES:,} values, counting aliases"))
        if any(node is above for above in self._open):
            self._stop(place, Fault(path, "refers to itself: an alias cannot stand within its own anchor"))
        if len(self._open) >= DEEPEST:
            self._stop(place, Fault((), TOO_DEEP))
        if str(node.tag) not in _DATA_TAGS:
            self.faults.append((place, Fault(path, f"the tag {shown(_tag(node))} is not allowed: leave it out")))
            return Spot(None, place)
        if isinstance(node, ScalarNode):
            return self._scalar(node, path, place)
        self._open.append(node)
        try:
            return self._sequence(node, path) if isinstance(node, SequenceNode) else self._mapping(node, path)
        finally:
            self._open.pop()

    def _stop(self, place: Place, fault: Fault) -> NoReturn:
        self.faults.append((place, fault))
        raise _TooMuch

    def _scalar(self, node: ScalarNode, path: Path, place: Place) -> Spot:
        if str(node.tag) in _TEXT_TAGS:
            return Spot(self._text(node, path, place), place)
        text = str(node.value)
        try:
            data = self._yaml.constructor.construct_object(node, deep=True)
            if isinstance(data, int) and data.bit_length() > _MOST_BITS:
                self.faults.append(
                    (place, Fault(path, f"{shown(text)} is too large a number: put it in quotes if it is text"))
                )
                return Spot(None, place)
            return Spot(data, place, spelling=text)
        except (YAMLError, ValueError, LookupError, OverflowError):
            self.faults.append((place, Fault(path, f"{shown(text)} cannot be read: put it in quotes")))
            return Spot(None, place)

    def _text(self, node: ScalarNode, path: Path, place: Place) -> str:
        """What was written. JSON spells a character beyond U+FFFF as two escapes, which the parser leaves apart."""
        text = str(node.value)
        if HALF.search(text) is None:
            return text
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        half = HALF.search(text)
        if half is not None:
            message = (
                f"{shown(text)} holds {writable(half[0])}, which is half a character: write the text anew, in UTF-8"
            )
            self.faults.append((place, Fault(path, message)))
        return text

    def _sequence(self, node: Node, path: Path) -> Spot:
        inner: dict[str | int, Spot] = {
            index: self._value(item, (*path, index)) for index, item in enumerate(node.value)
        }
        return Spot([spot.data for spot in inner.values()], place_of_mark(node.start_mark), inner=inner)

    def _mapping(self, node: Node, path: Path) -> Spot:
        inner: dict[str | int, Spot] = {}
        merged: list[Spot] = []
        for key_node, value_node in node.value:
            place = place_of_mark(key_node.start_mark)
            if str(key_node.tag) == _TAG + "merge":
                merged += self._merged(value_node, path)
            elif not isinstance(key_node, ScalarNode):
                self.faults.append((place, Fault(path, "a key is one word, not a list or a mapping")))
            else:
                # A key is the text that was written, also where YAML would read a number.
                key = self._text(key_node, (*path, str(key_node.value)), place)
                spot = self._value(value_node, (*path, key))
                spot.key_place = place
                first = inner.setdefault(key, spot).key_place
                if first is not None and first != place:
                    message = f"the key '{key}' is there already, in line {first.line}: remove one"
                    self.faults.append((place, Fault((*path, key), message)))
        for more in merged:
            inner = {**more.inner, **inner}
        return Spot({key: spot.data for key, spot in inner.items()}, place_of_mark(node.start_mark), inner=inner)

    def _merged(self, node: Node, path: Path) -> list[Spot]:
        """The mappings that ``<<`` brings in, the first the strongest."""
        mappings = []
        for item in node.value if isinstance(node, SequenceNode) else [node]:
            if isinstance(item, MappingNode):
                mappings.append(self._value(item, path))
            else:
                fault = Fault(path, "<< merges mappings only: name one by its alias, as in <<: *name")
                self.faults.append((place_of_mark(item.start_mark), fault))
        return mappings
