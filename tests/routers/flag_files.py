"""One file with one flag that tests write as people do, and what our first write makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from activities.routers.flagd import FlagdRouter
from coalmine.spec.canary import Route
from tests.routers.flag_worlds import text_of

HALF, ALL_OLD = {"fractional": [["old", 5000], ["new", 5000]]}, {"fractional": [["old", 10000], ["new", 0]]}
TESTERS = {"variant": "testers", "when": {"ends_with": [{"var": "email"}, "@example.org"]}}


def route(folder: Path, buckets: list[Any], **more: Any) -> Route:
    flag: dict[str, Any] = {
        "state": "ENABLED", "variants": {"old": False, "new": True}, "defaultVariant": "old",
        "targeting": {"fractional": buckets}, **more,
    }  # fmt: skip
    file = folder / "flags.json"
    file.write_text(json.dumps({"flags": {"shop": flag}}))
    return Route.model_validate({"router": "flagd", "name": "shop", "places": [str(file)]})


def amended(folder: Path, **more: Any) -> None:
    """Change keys of the flag as somebody does by hand."""
    file = folder / "flags.json"
    content = json.loads(text_of(file))
    content["flags"]["shop"].update(more)
    file.write_text(json.dumps(content))


async def halved(folder: Path) -> Route:
    """A flag with testers, of whose users our generation 1 gave each variant half."""
    there = route(folder, [["old", 1]], variants={"old": False, "new": True, "testers": True})
    there = Route.model_validate({**there.model_dump(), **there.options, "testers": TESTERS})
    await FlagdRouter().apply(there, {"old": 50, "new": 50}, 1)
    return there
