"""Definitions that people wrote otherwise than ours: they work, or the check says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from activities.routers.flag_document import GENERATION, PINNED
from activities.routers.flag_places import Change, FlagFile
from activities.routers.flagd import FlagdRouter
from coalmine.errors import RouteRejected, RouteUnconfirmed, StaleGeneration
from coalmine.spec.canary import Route
from tests.routers.flag_files import ALL_OLD, HALF, amended, halved, route
from tests.routers.flag_worlds import text_of


async def refused(route: Route) -> str:
    """Why the check refuses it, as the write does, which leaves the file alone."""
    file = Path(route.options["places"][0])
    before = text_of(file)
    reasons = [check.reason for check in await FlagdRouter().check(route, ["old", "new"], [10]) if not check.ok]
    with pytest.raises(RouteRejected) as error:
        await FlagdRouter().apply(route, {"old": 90, "new": 10}, 1)
    assert reasons == [str(error.value)]
    assert text_of(file) == before
    return reasons[0]


@pytest.mark.parametrize(
    ("buckets", "metadata"),
    [([["old", 1]], None), ([["old", 1]], {}), ([["old"]], {"team": "shop"}), ([["old", 100.0], ["new", 0]], None)],
)
async def test_a_flag_is_written_whatever_its_metadata(buckets: list[Any], metadata: object, tmp_path: Path) -> None:
    there = route(tmp_path, buckets, metadata=metadata)
    assert all(check.ok for check in await FlagdRouter().check(there, ["old", "new"], [10]))
    await FlagdRouter().apply(there, {"old": 90, "new": 10}, 1)
    state = await FlagdRouter().read(there, ["old", "new"])
    assert (state.generation, state.weights) == (1, {"old": 90, "new": 10})
    flag = json.loads((tmp_path / "flags.json").read_text())["flags"]["shop"]
    assert flag["metadata"] == {**(metadata if isinstance(metadata, dict) else {}), GENERATION: 1}


async def test_metadata_that_is_no_object_is_told(tmp_path: Path) -> None:
    assert "metadata of 'shop' is 'team', no object" in await refused(route(tmp_path, [["old", 1]], metadata="team"))


@pytest.mark.parametrize("there", ["abc", -1, 1.5, None])
async def test_a_generation_that_is_no_number_is_told_before_the_write(there: object, tmp_path: Path) -> None:
    reason = await refused(route(tmp_path, [["old", 1]], metadata={GENERATION: there}))
    assert f"metadata.{GENERATION} of 'shop' is {there!r}, no number: remove it" in reason


VARIANTS = {"old": False, "new": True, "testers": True, "other": "x"}


@pytest.mark.parametrize("default", ["new", "testers"])
async def test_a_default_that_is_the_canarys_is_refused_before_a_release_and_never_by_a_rollback(
    default: str, tmp_path: Path
) -> None:
    """Users without a targetingKey get it, whatever the buckets say."""
    router, there = FlagdRouter(), route(tmp_path, [["old", 1]], variants=VARIANTS, defaultVariant=default)
    told = [check.reason for check in await router.check(there, ["old", "new"], [10]) if not check.ok]
    assert told == [
        f"{tmp_path / 'flags.json'}: defaultVariant of 'shop' is {default!r}, which gives the canary's value to users "
        "without a targetingKey, also after a rollback: let it be 'old'"
    ]
    await router.apply(there, {"old": 100, "new": 0}, 1, restoring=True)
    assert (await router.confirm(there, 1, ["old", "new"])).answer == "unsupported"


@pytest.mark.parametrize("default", ["old", "other", None])
async def test_a_default_that_is_not_the_canarys_is_fine(default: str | None, tmp_path: Path) -> None:
    there = route(tmp_path, [["old", 1]], variants=VARIANTS, defaultVariant=default)
    assert all(check.ok for check in await FlagdRouter().check(there, ["old", "new"], [10]))


@pytest.mark.parametrize(
    "bucket",
    [
        [{"if": [{"in": ["@example.org", {"var": "email"}]}, "old", "new"]}, 50],
        ["new", {"if": [True, 50, 10]}],
        ["new", 1.5],
        ["new", -1],
        ["new", "50"],
        ["new", True],
        ["new", None],
        ["new", 1, 2],
        [],
        "new",
        None,
    ],
)
async def test_a_bucket_that_cannot_be_moved_is_told_before_the_write(bucket: object, tmp_path: Path) -> None:
    reason = await refused(route(tmp_path, [["old", 50], bucket]))
    assert f"its bucket {json.dumps(bucket)} cannot be moved" in reason


@pytest.mark.parametrize("targeting", [{"fractional": [["old", 50], ["new", 50]]}, {}, None])
async def test_a_targeting_that_replaced_ours_while_testers_were_pinned_is_rolled_back(
    targeting: object, tmp_path: Path
) -> None:
    there = route(tmp_path, [], targeting=targeting, metadata={PINNED: True, GENERATION: 3})
    await FlagdRouter().apply(there, {"old": 100, "new": 0}, 4, restoring=True)
    state = await FlagdRouter().read(there, ["old", "new"])
    assert (state.generation, state.weights) == (4, {"old": 100, "new": 0})
    assert PINNED not in text_of(tmp_path / "flags.json")


async def test_a_flag_somebody_disabled_is_rolled_back_and_stays_disabled(tmp_path: Path) -> None:
    """Or whoever enables it later hands the bad variant out again."""
    there, router = await halved(tmp_path), FlagdRouter()
    amended(tmp_path, state="DISABLED")
    assert (await router.read(there, ["old", "new"])).weights == {"old": 50, "new": 50}
    with pytest.raises(RouteRejected, match="'shop' is DISABLED: apps use their own default, enable it"):
        await router.apply(there, {"old": 40, "new": 60}, 2)
    await router.apply(there, {"old": 100, "new": 0}, 2, restoring=True)
    state = await router.read(there, ["old", "new"])
    assert (state.generation, state.weights) == (2, {"old": 100, "new": 0})
    flag = json.loads(text_of(tmp_path / "flags.json"))["flags"]["shop"]
    assert flag["state"] == "DISABLED"
    assert PINNED not in flag["metadata"]
    told = await router.confirm(there, 2, ["old", "new"])
    assert told.answer == "unsupported"
    assert told.reason.endswith("flag 'shop' is DISABLED: apps use their own default")


@pytest.mark.parametrize(
    ("targeting", "left"),
    [
        ({"if": [True, HALF, ALL_OLD]}, {"if": [True, ALL_OLD, ALL_OLD]}),
        ({"fractional": [["old", 0], ["new", 0]]}, ALL_OLD),
        ({"fractional": [["old", 49.5], ["new", 50.5]]}, ALL_OLD),
        ({"fractional": [["old", 1], ["new", 1], ["old", 1]]}, ALL_OLD),
        ({"fractional": [["new", {"if": [True, 50, 10]}], [{"var": "arm"}, 5]]},
         {"fractional": [["new", 0], ["old", 10000]]}),
        ({"fractional": [{"var": "plan"}, ["old"], ["new"]]},
         {"fractional": [{"var": "plan"}, ["old", 10000], ["new", 0]]}),
        ({"if": [True, ALL_OLD, {"fractional": [["vip", 0]]}]}, {"if": [True, ALL_OLD, {"fractional": [["vip", 0]]}]}),
    ],
)  # fmt: skip
async def test_a_rollback_writes_over_shares_that_hands_left_and_nobody_can_read(
    targeting: object, left: object, tmp_path: Path
) -> None:
    router, there = FlagdRouter(), route(tmp_path, [["old", 1]])
    await router.apply(there, {"old": 50, "new": 50}, 1)
    amended(tmp_path, targeting=targeting)
    await router.apply(there, {"old": 100, "new": 0}, 2, restoring=True)
    flag = json.loads(text_of(tmp_path / "flags.json"))["flags"]["shop"]
    assert (flag["targeting"], flag["metadata"][GENERATION]) == (left, 2)


UNREADABLE: list[Any] = [
    ({"if": [True, HALF, ALL_OLD]}, "share traffic differently"),
    ({"fractional": [["old", 0], ["new", 0]]}, "gives none a weight: mend the file"),
    ({"fractional": [["old", 49.5], ["new", 50.5]]}, "cannot be moved: write the name of a variant and a whole number"),
    ({"if": [True, "old", {"fractional": [["vip", 1]]}]}, "has no fractional over old or new"),
]


@pytest.mark.parametrize(("targeting", "reason"), UNREADABLE)
async def test_shares_that_nobody_can_read_are_not_written_over_going_forwards(
    targeting: object, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither when they are looked at first, nor when hands come between that look and the write."""
    router, there = FlagdRouter(), route(tmp_path, [["old", 1]])
    await router.apply(there, {"old": 50, "new": 50}, 1)
    sound = text_of(tmp_path / "flags.json")
    amended(tmp_path, targeting=targeting)
    with pytest.raises(RouteRejected, match=reason) as before:
        await router.apply(there, {"old": 40, "new": 60}, 2)
    (tmp_path / "flags.json").write_text(sound)
    change = FlagFile.change

    def late(place: FlagFile, given: Change) -> None:
        amended(tmp_path, targeting=targeting)
        change(place, given)

    monkeypatch.setattr(FlagFile, "change", late)
    with pytest.raises(RouteRejected, match=reason) as between:
        await router.apply(there, {"old": 40, "new": 60}, 2)
    assert str(between.value) == str(before.value)
    flag = json.loads(text_of(tmp_path / "flags.json"))["flags"]["shop"]
    assert (flag["targeting"], flag["metadata"][GENERATION]) == (targeting, 1)


async def test_of_two_places_one_that_hands_made_unreadable_meanwhile_is_left_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b").mkdir()
    there, second = route(tmp_path, [["old", 1]]), route(tmp_path / "b", [["old", 1]])
    there = Route.model_validate(
        {**there.model_dump(), "places": [*there.options["places"], *second.options["places"]]}
    )
    change = FlagFile.change

    def late(place: FlagFile, given: Change) -> None:
        amended(tmp_path / "b", targeting=UNREADABLE[2][0])
        change(place, given)

    monkeypatch.setattr(FlagFile, "change", late)
    with pytest.raises(RouteUnconfirmed, match=r"not in every place: .*b/flags\.json.*cannot be moved"):
        await FlagdRouter().apply(there, {"old": 40, "new": 60}, 1)
    assert GENERATION not in text_of(tmp_path / "b" / "flags.json")
    with pytest.raises(RouteRejected, match=r"b/flags\.json.*cannot be moved"):
        await FlagdRouter().apply(there, {"old": 40, "new": 60}, 1)
    await FlagdRouter().apply(there, {"old": 100, "new": 0}, 2, restoring=True)
    assert (await FlagdRouter().confirm(there, 2, ["old", "new"])).answer == "unsupported"


async def test_shares_that_nobody_can_read_are_other_weights_than_their_generation_has(tmp_path: Path) -> None:
    router, there = FlagdRouter(), route(tmp_path, [["old", 1]])
    await router.apply(there, {"old": 100, "new": 0}, 1)
    amended(tmp_path, targeting={"fractional": [["old", 49.5], ["new", 50.5]]})
    with pytest.raises(StaleGeneration, match="carries generation 1 with other weights"):
        await router.apply(there, {"old": 100, "new": 0}, 1, restoring=True)


async def test_a_rollback_says_when_no_fractional_names_an_arm_any_more(tmp_path: Path) -> None:
    router, there = FlagdRouter(), route(tmp_path, [["old", 1]])
    await router.apply(there, {"old": 50, "new": 50}, 1)
    amended(tmp_path, targeting={"if": [True, "old", {"fractional": [["vip", 1]]}]})
    with pytest.raises(RouteRejected, match="has no fractional over old or new"):
        await router.apply(there, {"old": 100, "new": 0}, 2, restoring=True)


async def test_a_flag_whose_canary_variant_was_deleted_is_rolled_back(tmp_path: Path) -> None:
    """Nobody gets it any more, so nobody needs it."""
    router, there = FlagdRouter(), route(tmp_path, [["old", 1]])
    await router.apply(there, {"old": 50, "new": 50}, 1)
    amended(tmp_path, variants={"old": False})
    with pytest.raises(RouteRejected, match="has no variant 'new'"):
        await router.apply(there, {"old": 40, "new": 60}, 2)
    await router.apply(there, {"old": 100, "new": 0}, 2, restoring=True)
    state = await router.read(there, ["old", "new"])
    assert (state.generation, state.weights) == (2, {"old": 100, "new": 0})
    assert (await router.confirm(there, 2, ["old", "new"])).answer == "unsupported"
