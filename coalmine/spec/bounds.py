"""Parts of the YAML parser that stop at what no spec has: too deep, or too many values. Loaded by
``coalmine.spec.document`` only.

The scanner looks at every bracket that is open for every word it reads, 1,024 characters ahead, so depth has to be
bounded there: 20 KB of ``[`` took seconds.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import Node
from ruamel.yaml.scanner import Scanner

MOST_NODES = 20_000
"""Keys and values of one spec as written; and its values, aliases counted each time they are used."""
DEEPEST = 50
"""Levels of one spec."""
TOO_DEEP = f"nested too deeply: a spec has at most {DEEPEST} levels"


class BeyondBounds(MarkedYAMLError):
    """Raised at the first thing that is too deep, or one too many."""


class _BoundedScanner(Scanner):
    def fetch_flow_collection_start(self, *given: Any, **named: Any) -> None:
        if self.flow_level >= DEEPEST:
            raise BeyondBounds(problem=TOO_DEEP, problem_mark=self.reader.get_mark())
        super().fetch_flow_collection_start(*given, **named)


class _BoundedComposer(Composer):
    _count = 0
    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Node | None:
        self._count += 1
        # Looking at the next event again costs time, so that only what is refused is looked at.
        if self._count > MOST_NODES:
            problem = f"the file has more than {MOST_NODES:,} keys and values"
            raise BeyondBounds(problem=problem, problem_mark=self.parser.peek_event().start_mark)
        if self._depth >= DEEPEST:
            raise BeyondBounds(problem=TOO_DEEP, problem_mark=self.parser.peek_event().start_mark)
        self._depth += 1
        try:
            node: Node | None = super().compose_node(parent, index)
            return node
        finally:
            self._depth -= 1


def bounded_yaml() -> YAML:
    """A parser of plain data that reads no more than a spec can have."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner, yaml.Composer = _BoundedScanner, _BoundedComposer
    yaml.composer.warn_double_anchors = False
    return yaml
