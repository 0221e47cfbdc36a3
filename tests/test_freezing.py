"""Which freeze keeps what from starting, and until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine import freezing
from coalmine.records import EVERYWHERE, Freeze
from tests.workflows.specs import make_spec, make_submission

NOON = datetime(2026, 12, 24, 12, tzinfo=UTC)
SERVICES = st.sampled_from([None, "checkout", "search"])
ENDS = st.one_of(st.none(), st.integers(-48, 48).map(lambda hours: NOON + timedelta(hours=hours)))


@st.composite
def freezes(draw: st.DrawFn) -> Freeze:
    """Any freeze, over or not."""
    return Freeze(environment="test", service=draw(SERVICES), by="ana", reason="holidays", until=draw(ENDS))


def freeze(service: str | None = None, **changes: Any) -> Freeze:
    given = {"environment": "test", "service": service, "by": "ana", "reason": "holidays", **changes}
    return Freeze.model_validate(given)


@given(st.lists(freezes(), max_size=6))
def test_what_covers_a_service_is_in_force_and_lasts_longest(some: list[Freeze]) -> None:
    found = freezing.covering(some, "checkout", NOON)
    meant = [one for one in freezing.in_force(some, NOON) if one.service != "search"]
    assert (found is None) == (not meant)
    if found is not None:
        assert found in meant
        assert found.until is None or all(one.until is not None and one.until <= found.until for one in meant)


@given(st.lists(freezes(), max_size=6), freezes())
def test_a_new_freeze_takes_the_place_of_its_own_kind_only(some: list[Freeze], new: Freeze) -> None:
    after = freezing.frozen(some, new, NOON)
    assert after[-1] is new
    assert after[:-1] == [one for one in freezing.in_force(some, NOON) if one.service != new.service]
    lifted = freezing.thawed(after, new.service, NOON)
    if freezing.in_force([new], NOON):
        assert lifted[1] == new
    assert all(one.service != new.service for one in lifted[0])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"by": " "}, "'by' is empty"),
        ({"reason": ""}, "'reason' is empty: say why nothing may start"),
        ({"until": datetime(2026, 12, 27)}, "say in which time zone"),
        ({"until": NOON}, "it must lie ahead, and within 366 days"),
        ({"until": NOON + timedelta(days=400)}, "it must lie ahead, and within 366 days"),
    ],
)
def test_what_cannot_be_says_so(wrong: dict[str, Any], said: str) -> None:
    assert said in (freezing.why_not([], freeze(**wrong), NOON) or "")


def test_there_is_a_limit_to_them() -> None:
    many = [freeze(f"s{number}") for number in range(freezing.MOST)]
    assert "there are 200 freezes already" in (freezing.why_not(many, freeze("one-more"), NOON) or "")
    assert freezing.why_not(many, freeze("s7"), NOON) is None


@pytest.mark.parametrize(
    ("changes", "barred"),
    [
        ({}, True),
        ({"during_freeze": True}, False),
        ({"during_freeze": True, "automated": True}, True),
        ({"advise": True, "automated": True}, False),
    ],
)
def test_only_a_person_who_knows_or_nothing_but_advice_starts(changes: dict[str, bool], barred: bool) -> None:
    submission = make_submission(make_spec(), **changes)
    assert freezing.bars(freeze(), submission) is barred
    assert not freezing.bars(None, submission)


def test_the_sentence_names_place_end_person_and_reason() -> None:
    plus_two = timezone(timedelta(hours=2))
    ended = freeze("checkout", until=datetime(2026, 12, 27, 10, tzinfo=plus_two))
    assert freezing.sentence(ended) == "checkout in test is frozen until 2026-12-27 08:00 UTC by ana: holidays"
    everywhere = freeze(environment=EVERYWHERE)
    assert freezing.sentence(everywhere) == "every environment is frozen until it is lifted by ana: holidays"
