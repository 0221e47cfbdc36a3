"""YAML text -> spec, with every problem at its file:line:column.

The text is composed into nodes, each with its place, and these are turned into plain data by ``coalmine.spec.nodes``:
so that keys written twice, merged mappings and aliases are seen as they are, and no tag can make anything but data.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable

from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import Node, ScalarNode
from ruamel.yaml.reader import ReaderError

from coalmine.errors import Problem, SpecError
from coalmine.spec.bounds import TOO_DEEP, BeyondBounds, bounded_yaml
from coalmine.spec.canary import CanarySpec
from coalmine.spec.check import ALL, OURS, examine
from coalmine.spec.faults import Fault, Path, as_problem
from coalmine.spec.foreign import Foreign
from coalmine.spec.nodes import NodeReader, Place, Spot, place_of_mark

LARGEST_TEXT = 256 * 1024
"""Characters of one spec."""
_LONG_ESCAPE = re.compile(r"\\U([0-9A-Fa-f]{8})")


def parse_spec(text: str, file: str = "<text>", foreign: Foreign = OURS) -> CanarySpec:
    """Turn the text of a spec file into a spec.

    Args:
        text: YAML (or JSON) of one spec, at most ``LARGEST_TEXT`` characters.
        file: what the problems call it.
        foreign: kinds of adapters besides this package's own.

    Raises:
        SpecError: every problem found, each with line and column, in the order of the file.
    """
    return _parsed(text, file, foreign, ALL)[0]


def parse_parts(
    text: str, needed: Collection[str], file: str = "<text>", foreign: Foreign = OURS
) -> tuple[CanarySpec, frozenset[str]]:
    """As ``parse_spec``, for who needs only some sections: the others may be absent; what is written must be right.

    Args:
        text, file, foreign: as for ``parse_spec``.
        needed: sections (top-level keys) that must be there unless they have a default.

    Returns:
        The spec, with stand-ins for required sections that are absent, and the sections that are written.

    Raises:
        SpecError: as ``parse_spec``.
    """
    return _parsed(text, file, foreign, needed)


def place_in(text: str, *paths: Path) -> tuple[int, int]:
    """Line and column of the first of these paths that is written in a spec; zeros when none is."""
    root, _ = _read(text)
    for path in paths:
        if root is not None and root.find(path) is not None:
            place = root.place_of(Fault(path, "", on_key=True))
            return place.line, place.column
    return 0, 0


def _parsed(text: str, file: str, foreign: Foreign, needed: Collection[str]) -> tuple[CanarySpec, frozenset[str]]:
    root, wrong = _read(text)
    if root is None or wrong:
        raise SpecError(_problems(wrong, file))

    def spelled(path: Path) -> str | None:
        spot = root.find(path)
        return spot.spelling if spot is not None else None

    spec, faults = examine(root.data, foreign, spelled, needed=needed)
    if spec is None:
        raise SpecError(_problems([(root.place_of(fault), fault) for fault in faults], file))
    return spec, frozenset(root.data)


def _problems(wrong: Iterable[tuple[Place, Fault]], file: str) -> list[Problem]:
    ordered = sorted(wrong, key=lambda item: item[0])
    return [as_problem(fault, file, place.line, place.column) for place, fault in ordered]


def _read(text: str) -> tuple[Spot | None, list[tuple[Place, Fault]]]:
    """The data with its places, and what is wrong with the YAML itself."""
    if len(text) > LARGEST_TEXT:
        return None, [
            (Place(), Fault((), f"the text has {len(text):,} characters: a spec has at most {LARGEST_TEXT:,}"))
        ]
    yaml = bounded_yaml()
    text = text.removeprefix("\ufeff")
    try:
        nodes = list(yaml.compose_all(text))
    except (YAMLError, RecursionError, ValueError, OverflowError, LookupError, AttributeError, AssertionError) as error:
        # Besides its own errors the parser lets some of Python's through on damaged input.
        return None, [_syntax_fault(error, text)]
    written = [node for node in nodes if node is not None and not _is_blank(node)]
    if not written:
        return None, [(Place(), Fault((), "the file is empty: begin with service: ..."))]
    if len(nodes) > 1:
        second = next((node for node in nodes[1:] if node is not None), written[0])
        return None, [
            (place_of_mark(second.start_mark), Fault((), "a second document begins here: a file holds one spec"))
        ]
    reader = NodeReader(yaml)
    return reader.read(written[0]), reader.faults


def _is_blank(node: Node) -> bool:
    return isinstance(node, ScalarNode) and str(node.tag).endswith(":null") and not node.value


def _syntax_fault(error: Exception, text: str) -> tuple[Place, Fault]:
    if isinstance(error, RecursionError):
        return Place(), Fault((), TOO_DEEP)
    if isinstance(error, ReaderError):
        return _place_at(text, error.position), Fault((), f"the character {error.character!r} cannot stand in YAML")
    if isinstance(error, BeyondBounds):
        return place_of_mark(error.problem_mark), Fault((), str(error.problem))
    if isinstance(error, MarkedYAMLError):
        place = place_of_mark(error.problem_mark or error.context_mark)
        lines = text.splitlines()
        line = lines[place.line - 1] if place.line <= len(lines) else ""
        if "\t" in line[: place.column]:
            return place, Fault((), "a tab stands here: YAML is indented with spaces")
        said = ", ".join(str(part) for part in (error.context, error.problem) if part)
        return place, Fault((), f"not YAML: {said}")
    beyond = next((found for found in _LONG_ESCAPE.finditer(text) if int(found[1], 16) > sys.maxunicode), None)
    if beyond is not None:
        return _place_at(text, beyond.start()), Fault((), f"{beyond[0]} stands for no character")
    return Place(), Fault((), f"not YAML: {str(error) or type(error).__name__}")


def _place_at(text: str, position: int) -> Place:
    before = text[:position]
    return Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
