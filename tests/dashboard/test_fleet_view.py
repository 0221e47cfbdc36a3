"""The list: searched, filtered, sorted and cut into pages."""

from __future__ import annotations

import pytest

from coalmine.dashboard.feed import Fleet
from coalmine.dashboard.fleet_view import FleetQuery, path_of, read_query, view
from coalmine.errors import InputError
from coalmine.records import Phase
from coalmine.searching import RolloutRow


def row(service: str, phase: Phase = Phase.STEPPING, **changes: object) -> RolloutRow:
    given = {"environment": "production", "version": "1.0.0", "run_id": service, "workflow_id": service, **changes}
    return RolloutRow.model_validate({"service": service, "phase": str(phase), **given})


FLEET = Fleet(
    open=(
        row("cart", canary_weight=10),
        row("checkout", Phase.GATED, environment="staging", version="2.0.0", canary_weight=50),
        row("search", Phase.HELD, region="eu", canary_weight=1),
    ),
    closed=(row("mail", Phase.CLOSED, open=False, outcome="rolled_back"),),
)


def names(**asked: object) -> list[str]:
    return [one.service for one in view(FLEET, FleetQuery(**asked)).rows]  # type: ignore[arg-type]


def test_who_waits_for_a_human_comes_first() -> None:
    assert names() == ["search", "checkout", "cart"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"q": "CHECK 2.0"}, ["checkout"]),
        ({"q": "eu"}, ["search"]),
        ({"environment": "staging"}, ["checkout"]),
        ({"phase": "held"}, ["search"]),
        ({"state": "closed"}, ["mail"]),
        ({"state": "all", "q": "rolled_back"}, ["mail"]),
        ({"sort": "service"}, ["cart", "checkout", "search"]),
        ({"sort": "weight", "down": True}, ["checkout", "cart", "search"]),
        ({"q": "nothing is called so"}, []),
    ],
)
def test_it_is_searched_filtered_and_sorted(asked: dict[str, object], found: list[str]) -> None:
    assert names(**asked) == found


def test_pages_tile_and_one_beyond_the_last_is_the_last() -> None:
    fleet = Fleet(open=tuple(row(f"s-{number:03}") for number in range(101)))
    pages = [view(fleet, FleetQuery(sort="service", size=25, page=page)).rows for page in (1, 2, 3, 4, 5)]
    assert [one.service for page in pages for one in page] == [f"s-{number:03}" for number in range(101)]
    assert view(fleet, FleetQuery(size=25, page=99)).query.page == 5


def test_an_address_says_all_and_is_read_back() -> None:
    query = FleetQuery(q="a b", phase="held", sort="weight", down=True, page=3, size=100)
    text = query.address()
    assert text == "/?q=a+b&phase=held&sort=weight&page=3&size=100&down=1"
    given = dict(pair.split("=") for pair in text.removeprefix("/?").replace("+", " ").split("&"))
    assert read_query(given) == query
    assert FleetQuery().address() == "/"
    assert path_of("prod", "check out", "eu", "run") == "/rollouts/prod/check%20out?region=eu&run=run"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sort": "color"}, "sort: 'color' is not known: use attention, service"),
        ({"phase": "x"}, "phase: 'x' is not known"),
        ({"page": "0"}, "page: '0' is not a number from 1 on"),
        ({"size": "7"}, "size: '7' is not known: use 25, 50, 100, 200"),
        ({"q": "x" * 201}, "q: it has 201 characters"),
    ],
)
def test_what_cannot_be_used_is_named(given: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_query(given)
