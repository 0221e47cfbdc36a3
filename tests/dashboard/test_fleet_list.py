"""The list that is made of answers: each counts from when it was asked, in whatever order they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from coalmine.dashboard.fleet_list import MOST_CLOSED, Answer, FleetList, latest, whole
from coalmine.searching import RolloutRow

BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def row(
    service: str, run: int = 0, started: int = 0, *, phase: str = "stepping", closed: int | None = None
) -> RolloutRow:
    """``started`` and ``closed``: seconds."""
    return RolloutRow(
        service=service,
        environment="production",
        phase=phase,
        open=closed is None,
        started_at=BEGAN + timedelta(seconds=started),
        closed_at=None if closed is None else BEGAN + timedelta(seconds=closed),
        workflow_id=f"canary/production/{service}",
        run_id=f"{service}-{run}",
    )


def shown(known: FleetList) -> dict[str, str]:
    """Phases of open ones by service."""
    return {one.service: one.phase for one in known.rows()[0]}


def about(asked: float, service: str, *rows: RolloutRow) -> Answer:
    return Answer(asked, rows, about=frozenset({f"canary/production/{service}"}))


def test_a_row_is_as_the_latest_question_found_it() -> None:
    known = FleetList().with_open(about(2, "cart", row("cart", phase="gated")))
    assert shown(known.with_open(whole(1, [row("cart")]))) == {"cart": "gated"}
    assert shown(known.with_open(whole(3, [row("cart")]))) == {"cart": "stepping"}


def test_one_that_is_gone_does_not_come_back_with_an_older_list() -> None:
    known = FleetList().with_open(whole(1, [row("cart"), row("mail")])).with_open(about(3, "cart"))
    assert shown(known) == {"mail": "stepping"}
    assert shown(known.with_open(whole(2, [row("cart"), row("mail")]))) == {"mail": "stepping"}


def test_one_that_was_started_after_the_older_question_stays() -> None:
    known = FleetList().with_open(latest(2, [row("new", started=9)], 1)).with_open(whole(1, [row("cart")]))
    assert shown(known) == {"new": "stepping", "cart": "stepping"}


def test_the_latest_rows_say_that_what_started_between_them_is_gone_and_nothing_of_those_before() -> None:
    known = FleetList().with_open(whole(1, [row("a", started=1), row("b", started=2), row("c", started=3)]))
    found = [row("d", started=4), row("b", started=2)]
    assert set(shown(known.with_open(latest(2, found, 2)))) == {"a", "b", "d"}
    assert set(shown(known.with_open(latest(2, found, 3)))) == {"b", "d"}


def test_a_run_that_went_on_as_another_is_one_row() -> None:
    known = FleetList().with_open(whole(1, [row("cart")])).with_open(about(2, "cart", row("cart", run=1, started=5)))
    assert [one.run_id for one in known.rows()[0]] == ["cart-1"]
    # Gone by now; the run before it, from a list of before, is as well.
    known = known.with_open(latest(3, [row("mail", started=4)], 1))
    assert set(shown(known.with_open(about(1.5, "cart", row("cart"))))) == {"mail"}


def test_what_is_closed_is_not_open_whatever_a_list_of_open_ones_says() -> None:
    known = FleetList().with_closed(latest(1, [row("cart", closed=7)], 1)).with_open(whole(2, [row("cart")]))
    assert shown(known) == {}
    assert [one.service for one in known.rows()[1]] == ["cart"]


def test_closed_ones_are_the_latest_and_no_more_are_held() -> None:
    closed = [row(f"s-{number:03}", closed=number) for number in range(MOST_CLOSED)]
    known = FleetList().with_closed(whole(1, closed[::-1])).with_closed(latest(2, [row("new", closed=9_999)], 1))
    assert [one.service for one in known.rows()[1]][:2] == ["new", f"s-{MOST_CLOSED - 1:03}"]
    assert len(known.rows()[1]) == MOST_CLOSED
    # Retention takes the old ones: they are in no later list.
    assert [one.service for one in known.with_closed(whole(3, [closed[-1]])).rows()[1]] == [f"s-{MOST_CLOSED - 1:03}"]


def test_a_row_without_changes_stays_the_same_object() -> None:
    first = FleetList().with_open(whole(1, [row("cart")]))
    assert first.with_open(whole(2, [row("cart")])).rows()[0][0] is first.rows()[0][0]


@dataclass(frozen=True)
class _Question:
    kind: str
    """``whole``, ``latest``, or a service."""
    limit: int


_SERVICES = tuple("abcdef")
_moves = st.lists(
    st.one_of(
        # A service that starts when it is not open, moves to another phase, or closes.
        st.tuples(st.sampled_from(_SERVICES), st.sampled_from(("start", "move", "close"))),
        st.builds(_Question, st.sampled_from(("whole", "latest", *_SERVICES)), st.integers(1, 4)),
    ),
    max_size=40,
)


def _answers(moves: Sequence[object]) -> tuple[list[Answer], dict[str, RolloutRow]]:
    """What Temporal answers to each question, and how everything is in the end."""
    world: dict[str, RolloutRow] = {}
    found: list[Answer] = []
    for at, move in enumerate(moves):
        if isinstance(move, _Question):
            rows = sorted(world.values(), key=lambda one: one.started_at or BEGAN, reverse=True)
            if move.kind == "whole":
                found.append(whole(at, rows))
            elif move.kind == "latest":
                found.append(latest(at, rows[: move.limit], move.limit))
            else:
                found.append(about(at, move.kind, *(one for one in rows if one.service == move.kind)))
            continue
        assert isinstance(move, tuple)
        service, what = move
        if what == "start" and service not in world:
            world[service] = row(service, run=at, started=at)
        elif what == "move" and service in world:
            world[service] = world[service].model_copy(update={"phase": f"phase {at}"})
        elif what == "close":
            world.pop(service, None)
    return found, world


@given(moves=_moves, random=st.randoms(use_true_random=False))
def test_the_order_in_which_answers_come_changes_nothing(moves: list[object], random: object) -> None:
    answers, _ = _answers(moves)
    one, other = FleetList(), FleetList()
    for answer in answers:
        one = one.with_open(answer)
    random.shuffle(answers)  # type: ignore[attr-defined]
    for answer in answers:
        other = other.with_open(answer)
    assert one.rows() == other.rows()


@given(moves=_moves)
def test_after_a_whole_list_everything_is_as_it_is(moves: list[object]) -> None:
    answers, world = _answers([*moves, _Question("whole", 1)])
    known = FleetList()
    for answer in reversed(answers):
        known = known.with_open(answer)
    assert {one.service: one for one in known.rows()[0]} == world


@given(moves=_moves)
def test_a_row_that_was_asked_for_is_as_it_is(moves: list[object]) -> None:
    answers, world = _answers([*moves, _Question("a", 1)])
    known = FleetList()
    for answer in answers:
        known = known.with_open(answer)
    assert [one for one in known.rows()[0] if one.service == "a"] == [
        one for one in world.values() if one.service == "a"
    ]
