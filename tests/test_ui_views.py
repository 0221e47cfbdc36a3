"""The lists for the Temporal UI, without a server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from coalmine.errors import InputError
from coalmine.ui_views import View, link, views

NOW = datetime(2026, 1, 8, 12, tzinfo=UTC)
GUIDE = Path(__file__).parent.parent / "docs" / "temporal-ui.md"


def test_the_guide_shows_every_lasting_view() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    for view in views():
        assert f"| {view.name} | {view.shows} | `{view.query}` |" in guide


def test_a_view_of_one_environment_names_it() -> None:
    assert all("'production'" in view.query or "fleet/production" in view.query for view in views("production", NOW))


def test_this_week_counts_back_from_now_and_does_not_last() -> None:
    week = next(view for view in views(now=NOW) if view.name == "Rolled back this week")
    assert week.query.endswith("AND CloseTime >= '2026-01-01T12:00:00Z'")
    assert not week.lasting
    assert all(view.lasting for view in views())


def test_a_link_carries_query_and_name_whole() -> None:
    view = View("Mine & yours", "CoalmineService = 'a&b'", "")
    assert "savedQuery" not in link("http://ui/", "a/b", view)
    parts = urlsplit(link("http://ui/", "a/b", view, keep=True))
    assert parts.path == "/namespaces/a%2Fb/workflows"
    assert parse_qs(parts.query) == {"query": [view.query], "savedQuery": [view.name]}


def test_a_name_with_quotes_stays_out_of_queries() -> None:
    with pytest.raises(InputError, match="a name has no quotes"):
        views("x' OR '1")
