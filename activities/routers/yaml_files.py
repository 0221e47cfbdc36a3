"""YAML that people wrote, changed in places: comments, order, quotes and indentation stay."""

from __future__ import annotations

import io
import re
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


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    return yaml
