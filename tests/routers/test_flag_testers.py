"""Our rule for testers in a flag's targeting: it ends with the release, wherever hands have put it, or is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from activities.routers.flag_document import GENERATION, PINNED
from activities.routers.flagd import FlagdRouter
from coalmine.errors import RouteRejected
from coalmine.spec.canary import Route
from tests.routers.flag_files import ALL_OLD, HALF, TESTERS, amended, halved, route
from tests.routers.flag_worlds import text_of

SEGMENT: list[Any] = [{"in": [{"var": "country"}, ["NO", "SE"]]}, "vip"]
PAIR: list[Any] = [TESTERS["when"], "testers"]
STAFF: dict[str, Any] = {"ends_with": [{"var": "email"}, "@staff.example.org"]}


@pytest.mark.parametrize("left", [0, 20])
async def test_a_flag_whose_testers_variant_was_deleted_is_rolled_back_without_them(left: int, tmp_path: Path) -> None:
    """Also where users of both variants are put back: a rule for what is not there would break the flag."""
    there, router = await halved(tmp_path), FlagdRouter()
    amended(tmp_path, variants={"old": False, "new": True})
    with pytest.raises(RouteRejected, match="has no variant 'testers'"):
        await router.apply(there, {"old": 40, "new": 60}, 2)
    await router.apply(there, {"old": 100 - left, "new": left}, 2, restoring=True)
    state = await router.read(there, ["old", "new"])
    assert (state.generation, state.weights) == (2, {"old": 100 - left, "new": left})
    assert '"testers"' not in text_of(tmp_path / "flags.json")


async def test_testers_are_put_back_with_both_variants(tmp_path: Path) -> None:
    there = await halved(tmp_path)
    amended(tmp_path, state="DISABLED")
    await FlagdRouter().apply(there, {"old": 80, "new": 20}, 2, restoring=True)
    flag = json.loads(text_of(tmp_path / "flags.json"))["flags"]["shop"]
    assert flag["targeting"]["if"][:2] == [TESTERS["when"], "testers"]


@pytest.mark.parametrize(
    ("targeting", "left"),
    [
        ({"if": [*SEGMENT, HALF]}, {"if": [*SEGMENT, ALL_OLD]}),
        ({"if": [*SEGMENT, *PAIR, HALF]}, {"if": [*SEGMENT, ALL_OLD]}),
        ({"if": [*PAIR, *SEGMENT, HALF]}, {"if": [*SEGMENT, ALL_OLD]}),
        ({"if": [*SEGMENT, {"if": [*PAIR, HALF]}]}, {"if": [*SEGMENT, ALL_OLD]}),
        ({"if": [*PAIR, {"if": [*SEGMENT, HALF]}]}, {"if": [*SEGMENT, ALL_OLD]}),
        ({"if": [SEGMENT[0], {"if": [*PAIR, HALF]}, HALF]}, {"if": [SEGMENT[0], ALL_OLD, ALL_OLD]}),
        ({"if": [SEGMENT[0], {"if": PAIR}, HALF]}, {"if": [SEGMENT[0], None, ALL_OLD]}),
        ({"or": [{"?:": [*PAIR, None]}, HALF]}, {"or": [None, ALL_OLD]}),
        ({"if": [*PAIR, *SEGMENT, *PAIR, HALF]}, {"if": [*SEGMENT, ALL_OLD]}),
        ({"if": [*PAIR, STAFF, "testers", HALF]}, {"if": [STAFF, "testers", ALL_OLD]}),
    ],
)
async def test_only_our_rule_for_testers_goes_wherever_hands_have_put_it(
    targeting: object, left: object, tmp_path: Path
) -> None:
    there = await halved(tmp_path)
    amended(tmp_path, targeting=targeting)
    await FlagdRouter().apply(there, {"old": 100, "new": 0}, 2, restoring=True)
    flag = json.loads(text_of(tmp_path / "flags.json"))["flags"]["shop"]
    assert PINNED not in flag["metadata"]
    assert flag["targeting"] == left


@pytest.mark.parametrize(
    ("targeting", "left"),
    [
        ({"if": [STAFF, "testers", HALF]}, "targeting.if[1] gives 'testers'"),
        ({"if": [*SEGMENT, {"and": [TESTERS["when"], STAFF]}, "testers", HALF]}, "targeting.if[3] gives 'testers'"),
        ({"if": [TESTERS["when"], "new", HALF]}, "targeting.if[1] gives 'new'"),
        ({"if": [*SEGMENT, {"or": [{"?:": [STAFF, "testers", None]}, HALF]}]}, "targeting.if[2].or[0].?:[1] gives"),
        ({"or": [{"and": [STAFF, "testers"]}, HALF]}, "targeting.or[0].and[1] gives 'testers'"),
        ({"if": [STAFF, {"fractional": [["testers", 1]]}, HALF]}, "targeting.if[1].fractional[0] gives 'testers'"),
        ({"if": [TESTERS["when"], "vip", HALF]}, "targeting.if[1] gives 'vip'"),
        ({"if": [TESTERS["when"], {"if": [STAFF, "vip", "old"]}, HALF]}, "targeting.if[1].if[1] gives 'vip'"),
        ({"or": [{"and": [TESTERS["when"], "vip"]}, HALF]}, "targeting.or[0].and[1] gives 'vip'"),
        ({"if": [TESTERS["when"], True, HALF]}, "targeting.if[1] gives 'true'"),
        ({"if": [TESTERS["when"], {"$ref": "who"}, HALF]}, "targeting.if[1] gives what nobody can read"),
        ({"if": [TESTERS["when"], {"if": [STAFF, {"cat": ["v", "ip"]}, "old"]}, HALF]}, "targeting.if[1].if[1] gives"),
    ],
)
async def test_a_rule_for_testers_that_hands_changed_is_told_by_the_rollback_until_it_is_gone(
    targeting: dict[str, Any], left: str, tmp_path: Path
) -> None:
    router, there = FlagdRouter(), await halved(tmp_path)
    variants = {"old": False, "new": True, "testers": True, "vip": True, "true": True}
    amended(tmp_path, targeting=targeting, variants=variants)
    # Their rule holds while both variants have users, and none of ours comes before it.
    await router.apply(there, {"old": 40, "new": 60}, 2)
    assert (await router.confirm(there, 2, ["old", "new"])).answer == "unsupported"
    assert text_of(tmp_path / "flags.json").count('"testers"') == 1 + json.dumps(targeting).count('"testers"')
    await router.apply(there, {"old": 100, "new": 0}, 3, restoring=True)
    answer = await router.confirm(there, 3, ["old", "new"])
    assert answer.answer == "no"
    assert f"{tmp_path / 'flags.json'}: testers of 'shop' still have a variant of their own ({left}" in answer.reason
    assert answer.reason.endswith(f"remove it, or metadata.{PINNED} where the rule is yours")
    assert answer.reason in [check.reason for check in await router.check(there, ["old", "new"], [10]) if not check.ok]
    assert (await router.read(there, ["old", "new"])).weights == {"old": 100, "new": 0}
    amended(tmp_path, targeting=ALL_OLD)
    assert (await router.confirm(there, 3, ["old", "new"])).answer == "unsupported"
    await router.apply(there, {"old": 100, "new": 0}, 4, restoring=True)
    assert PINNED not in text_of(tmp_path / "flags.json")


@pytest.mark.parametrize(
    ("targeting", "weights"),
    [
        ({"if": [TESTERS["when"], "old", HALF]}, {"old": 100, "new": 0}),
        ({"if": [{"in": ["testers", {"var": "groups"}]}, "old", HALF]}, {"old": 100, "new": 0}),
        ({"if": [STAFF, {"$ref": "who"}, HALF]}, {"old": 100, "new": 0}),
        ({"if": [STAFF, "testers", HALF]}, {"old": 0, "new": 100}),
        ({"fractional": [["old", 50], ["new", 50], ["testers", 0]]}, {"old": 100, "new": 0}),
    ],
)
async def test_a_changed_rule_that_gives_testers_what_everybody_has_keeps_nothing_from_ending(
    targeting: dict[str, Any], weights: dict[str, float], tmp_path: Path
) -> None:
    router, there = FlagdRouter(), await halved(tmp_path)
    amended(tmp_path, targeting=targeting)
    await router.apply(there, weights, 2)
    assert (await router.confirm(there, 2, ["old", "new"])).answer == "unsupported"
    assert PINNED not in text_of(tmp_path / "flags.json")


@pytest.mark.parametrize("around", [{"if": [*PAIR, "INNER"]}, {"if": [*SEGMENT, {"?:": [*PAIR, "INNER"]}]}])
async def test_a_rule_for_testers_that_was_there_before_us_is_its_owners_and_stays(
    around: dict[str, Any], tmp_path: Path
) -> None:
    def targeting(buckets: list[Any]) -> Any:
        return json.loads(json.dumps(around).replace('"INNER"', json.dumps({"fractional": buckets})))

    variants, rule = {"old": False, "new": True, "testers": True}, targeting([["old", 1]])
    there = route(tmp_path, [], variants=variants, targeting=rule)
    there, router = Route.model_validate({**there.model_dump(), **there.options, "testers": TESTERS}), FlagdRouter()
    checks = await router.check(there, ["old", "new"], [10])
    assert all(check.ok for check in checks)
    assert any(check.reason.endswith("none is added, and yours stays") for check in checks)
    written: list[tuple[dict[str, float], list[Any]]] = [
        ({"old": 90, "new": 10}, [["old", 9000], ["new", 1000]]),
        ({"old": 80, "new": 20}, [["old", 8000], ["new", 2000]]),
        ({"old": 100, "new": 0}, ALL_OLD["fractional"]),
    ]
    for generation, (weights, buckets) in enumerate(written, 1):
        await router.apply(there, weights, generation, restoring=generation == 3)
        flag = json.loads(text_of(tmp_path / "flags.json"))["flags"]["shop"]
        assert (flag["targeting"], flag["metadata"]) == (targeting(buckets), {GENERATION: generation})
        assert (await router.confirm(there, generation, ["old", "new"])).answer == "unsupported"


@pytest.mark.parametrize("named", [True, False])
async def test_a_mark_of_an_older_build_takes_no_rule_but_the_one_of_this_spec(named: bool, tmp_path: Path) -> None:
    router, there = FlagdRouter(), await halved(tmp_path)
    if not named:
        there = Route.model_validate({**there.model_dump(), "testers": None})
    older = {GENERATION: 1, PINNED: True}
    amended(tmp_path, targeting={"if": [STAFF, "testers", HALF]}, metadata=older)
    await router.apply(there, {"old": 100, "new": 0}, 2, restoring=True)
    flag = json.loads(text_of(tmp_path / "flags.json"))["flags"]["shop"]
    assert flag["targeting"] == {"if": [STAFF, "testers", ALL_OLD]}
    answer = await router.confirm(there, 2, ["old", "new"])
    assert answer.answer == "no"
    assert "targeting.if[1] gives 'testers'" in answer.reason
    amended(tmp_path, targeting={"if": [*PAIR, HALF]}, metadata=older)
    if named:
        await router.apply(there, {"old": 100, "new": 0}, 3, restoring=True)
        assert json.loads(text_of(tmp_path / "flags.json"))["flags"]["shop"]["targeting"] == ALL_OLD
        assert (await router.confirm(there, 3, ["old", "new"])).answer == "unsupported"
