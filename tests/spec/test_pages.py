"""Specs shown on pages are valid: what a reader copies works."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from coalmine.spec import parse_spec

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^( *)```ya?ml\n(.*?)^\1```", re.DOTALL | re.MULTILINE)


def whole_specs() -> Iterator[tuple[str, str]]:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))):
        text = page.read_text()
        for block in _BLOCK.finditer(text):
            spec = dedent(block[2])
            if re.search(r"^service:", spec, re.MULTILINE) and re.search(r"^steps:", spec, re.MULTILINE):
                yield f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, block.start()) + 1}", spec


@pytest.mark.parametrize(("place", "text"), [pytest.param(*found, id=found[0]) for found in whole_specs()])
def test_specs_on_pages_are_valid(place: str, text: str) -> None:
    assert parse_spec(text, place).steps
