"""YAML that people wrote, changed in places: comments, order, quotes and indentation stay."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import Any

from ruamel.yaml import YAML

_LISTS_INDENTED = re.compile(r"^( *)[^\s#-][^\n]*:[ ]*(?:#[^\n]*)?\n(?:[ ]*#[^\n]*\n)*\1[ ]+- ", re.MULTILINE)


def parse_yaml(text: str) -> Any:
    """The content, of types that remember how they were written.

    Raises:
        YAMLError: it is no YAML.
    """
    return _yaml().load(text)


def yaml_text(content: Any, before: str) -> str:
    """The content as text; lists are indented as they were ``before``."""
    stream = io.StringIO()
    yaml = _yaml()
    if _LISTS_INDENTED.search(before):
        yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(content, stream)
    return stream.getvalue()


def shared(content: Any, home: Any, changed: Iterable[Any]) -> bool:
    """Whether a change of these parts of ``home`` would show elsewhere in the content: an anchor is used there."""
    elsewhere: set[int] = set()
    homes = 0
    left = [content]
    while left:
        node = left.pop()
        if node is home:
            homes += 1
        elif isinstance(node, dict | list) and id(node) not in elsewhere:
            elsewhere.add(id(node))
            left += node.values() if isinstance(node, dict) else node
    return homes > 1 or any(id(node) in elsewhere for node in changed)


def shared_problem(path: str, name: str) -> str:
    """What to say when a change would show elsewhere."""
    return (
        f"{path}: what shares the traffic of {name!r} is used elsewhere in the file too, by a YAML anchor (& and *), "
        "so that a write would move more than the route: write it out for the route"
    )


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    return yaml
