"""Definitions that people wrote otherwise than ours: they work, or the check says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from activities.routers.flag_document import GENERATION, PINNED
from activities.routers.flagd import FlagdRouter
from coalmine.errors import RouteRejected
from coalmine.spec.canary import Route
from tests.routers.flag_worlds import text_of


def route(folder: Path, buckets: list[Any], **more: Any) -> Route:
    flag: dict[str, Any] = {
        "state": "ENABLED", "variants": {"old": False, "new": True}, "defaultVariant": "old",
        "targeting": {"fractional": buckets}, **more,
    }  # fmt: skip
    file = folder / "flags.json"
    file.write_text(json.dumps({"flags": {"shop": flag}}))
    return Route.model_validate({"router": "flagd", "name": "shop", "places": [str(file)]})


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
