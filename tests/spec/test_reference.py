"""docs/spec.md is what the models say."""

from __future__ import annotations

import re
from pathlib import Path

from coalmine.spec import parse_spec
from coalmine.spec.reference import fill, models

PAGE = (Path(__file__).parents[2] / "docs/spec.md").read_text()


def test_the_tables_are_those_of_the_models() -> None:
    assert fill(PAGE) == PAGE, "run: python -m coalmine.spec.reference < docs/spec.md > new, and put it in its place"


def test_every_model_has_a_table_and_every_link_a_heading() -> None:
    assert set(re.findall(r"<!-- keys: (\w+) -->", PAGE)) == set(models())
    headings = {heading.lower() for heading in re.findall(r"^#+ (\w+)$", PAGE, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(\w+)\)", PAGE)) <= headings


def test_the_spec_on_the_page_is_valid() -> None:
    first = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert first is not None
    assert parse_spec(first[1]).service == "checkout"
