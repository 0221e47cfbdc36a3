"""The fleet as a page shows it: searched, filtered, sorted and cut into pages here: a browser gets some rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from coalmine.dashboard.feed import Fleet
from coalmine.errors import InputError
from coalmine.records import Phase, RolloutStatus, Verb
from coalmine.searching import RolloutRow, last_moved

SIZES = (25, 50, 100, 200)
SORTS = ("attention", "service", "environment", "version", "phase", "weight", "started")
STATES = ("open", "closed", "all")
LONGEST_SEARCH = 200
_URGENT = (Phase.ROLLING_BACK, Phase.HELD, Phase.GATED, Phase.STEPPING, Phase.PROMOTING, Phase.BAKING, Phase.ADMITTING)
_RANK: dict[str, int] = {phase: rank for rank, phase in enumerate((*_URGENT, Phase.WINDOW, Phase.CLOSED))}


@dataclass(frozen=True)
class FleetQuery:
    """What a viewer asked for; it is all in the page's address, so that it can be kept and shared."""

    q: str = ""
    environment: str = ""
    phase: str = ""
    state: str = "open"
    sort: str = "attention"
    down: bool = False
    page: int = 1
    size: int = 50

    def address(self, **changes: Any) -> str:
        """The page's address with something changed; what is as by default is left out."""
        wanted = replace(self, **changes)
        said = {name: getattr(wanted, name) for name in ("q", "environment", "phase")}
        said |= {name: getattr(wanted, name) for name in ("state", "sort", "page", "size")}
        said["down"] = "1" if wanted.down else ""
        plain = FleetQuery()
        kept = {name: value for name, value in said.items() if value and value != getattr(plain, name, "")}
        return "/" + (f"?{urlencode(kept)}" if kept else "")


@dataclass(frozen=True)
class FleetPage:
    """One page of the list."""

    query: FleetQuery
    rows: tuple[RolloutRow, ...]
    total: int
    """Rows on all pages."""
    pages: int
    counts: Mapping[str, int]
    """Open rollouts by phase, before filters."""
    environments: tuple[str, ...]


def read_query(given: Mapping[str, str]) -> FleetQuery:
    """What the address asks for; unknown keys (a tracker's) are passed over.

    Raises:
        InputError: a value cannot be used; names it and those that can.
    """
    plain = FleetQuery()
    q = given.get("q", "").strip()
    if len(q) > LONGEST_SEARCH:
        raise InputError(f"q: it has {len(q):,} characters: search for at most {LONGEST_SEARCH}")
    return FleetQuery(
        q=q,
        environment=given.get("environment", "").strip()[:LONGEST_SEARCH],
        phase=_one_of("phase", given.get("phase", ""), ("", *Phase)),
        state=_one_of("state", given.get("state") or plain.state, STATES),
        sort=_one_of("sort", given.get("sort") or plain.sort, SORTS),
        down=given.get("down", "") == "1",
        page=_number("page", given.get("page") or "1"),
        size=int(_one_of("size", given.get("size") or str(plain.size), [str(size) for size in SIZES])),
    )


def view(fleet: Fleet, query: FleetQuery) -> FleetPage:
    """The page that was asked for; one beyond the last is the last."""
    every = {"open": fleet.open, "closed": fleet.closed, "all": (*fleet.open, *fleet.closed)}[query.state]
    rows = [row for row in every if _matches(row, query)]
    rows.sort(key=_key(query.sort), reverse=query.down)
    pages = max(-(-len(rows) // query.size), 1)
    page = min(query.page, pages)
    first = (page - 1) * query.size
    return FleetPage(
        query=replace(query, page=page),
        rows=tuple(rows[first : first + query.size]),
        total=len(rows),
        pages=pages,
        counts=Counter(row.phase for row in fleet.open),
        environments=tuple(sorted({row.environment for row in (*fleet.open, *fleet.closed)})),
    )


def rollout_path(row: RolloutRow) -> str:
    """Where a row's own page is: an open one is its service's latest, a closed one is that run."""
    return path_of(row.environment, row.service, row.region, None if row.open else row.run_id)


def path_of(environment: str, service: str, region: str | None, run_id: str | None = None) -> str:
    """The address of a rollout's page."""
    asked = {name: value for name, value in (("region", region), ("run", run_id)) if value}
    path = f"/rollouts/{quote(environment, safe='')}/{quote(service, safe='')}"
    return path + (f"?{urlencode(asked)}" if asked else "")


def report_path(rollout_id: str) -> str:
    """The address of a rollout's report: a version may hold ``#``, ``?`` and ``%``."""
    return f"/reports/{quote(rollout_id)}"


def act_path(status: RolloutStatus, verb: Verb, run_id: str | None = None) -> str:
    """The address of a confirmation; ``run_id``: of that run alone."""
    path = path_of(status.environment, status.service, None).removeprefix("/rollouts")
    asked = {name: value for name, value in (("region", status.region), ("run", run_id)) if value}
    return f"/act{path}/{verb}" + (f"?{urlencode(asked)}" if asked else "")


def _matches(row: RolloutRow, query: FleetQuery) -> bool:
    if query.environment and row.environment != query.environment:
        return False
    if query.phase and row.phase != query.phase:
        return False
    if not query.q:
        return True
    text = " ".join((row.service, row.environment, row.region or "", row.version, row.phase, row.outcome or ""))
    return all(word in text.casefold() for word in query.q.casefold().split())


def _key(sort: str) -> Callable[[RolloutRow], tuple[Any, ...]]:
    """Ties are broken by name, so that rows do not dance between two looks."""
    name = _name
    match sort:
        case "service":
            return name
        case "environment":
            return lambda row: (row.environment, *name(row))
        case "version":
            return lambda row: (row.version, *name(row))
        case "phase":
            return lambda row: (_rank(row), row.outcome or "", *name(row))
        case "weight":
            return lambda row: (row.canary_weight, *name(row))
        case "started":
            return lambda row: (last_moved(row), *name(row))
        case _:
            return lambda row: (_rank(row), -last_moved(row), *name(row))


def _name(row: RolloutRow) -> tuple[Any, ...]:
    return row.service, row.environment, row.region or "", row.run_id


def _rank(row: RolloutRow) -> int:
    return _RANK.get(row.phase, len(_RANK))


def _one_of(name: str, value: str, known: Sequence[str] | Iterable[str]) -> str:
    allowed = [str(one) for one in known]
    if value not in allowed:
        raise InputError(f"{name}: {value!r:.80} is not known: use {', '.join(one or 'nothing' for one in allowed)}")
    return value


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7) or int(text) < 1:
        raise InputError(f"{name}: {text!r:.80} is not a number from 1 on")
    return int(text)
