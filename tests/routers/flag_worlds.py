"""Flag definitions that tests make things happen in: files, and objects of S3 in a process of moto."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from activities.routers import flag_places
from activities.routers.base import Router
from activities.routers.flag_document import GENERATION
from activities.routers.flagd import FlagdRouter
from coalmine.records import Weights
from coalmine.spec.canary import Route
from coalmine.testing.aws_faults import AwsFault, add_fault, clear_faults
from coalmine.testing.router_contract import Lack, RouterWorld
from coalmine.testing.router_world import Backends
from tests.routers.disk_trouble import replace_badly

FLAG = "new-checkout"
TRIES = 2
"""How often boto3 asks S3: a fault that is to be seen stands for both."""
APPS = "apps read their flags by themselves: there is no proxy to stop"
LACKS: dict[Lack, str] = {
    "outage": APPS,
    "refusal": "nobody but our own validation judges a definition",
    "endpoints": "a variant is a value, not a server",
}


def definitions(**flags: Any) -> str:
    """A file with the flag that is tested, one of somebody else, and a second one over the same variants."""
    segment = {"in": [{"var": "country"}, ["NO", "SE"]]}
    flag = {
        "state": "ENABLED", "variants": {"old": False, "new": True, "odd": None}, "defaultVariant": "old",
        "targeting": {"if": [segment, {"fractional": [["old", 1], ["new", 0]]}, {"fractional": [["old", 1]]}]},
        "metadata": {"team": "shop"},
    }  # fmt: skip
    second = {"state": "ENABLED", "variants": {"old": 1, "new": 2}, "defaultVariant": "old"}
    banner = {"state": "ENABLED", "variants": {"on": True}, "defaultVariant": "on", "targeting": {}}
    content = {
        "$schema": "https://flagd.dev/schema/v0/flags.json",
        "flags": {FLAG: flag, "second": second, "banner": banner, **flags},
        "$evaluators": {"staff": {"ends_with": [{"var": "email"}, "@example.org"]}},
    }
    return json.dumps(content)


def put(file: Path, text: str) -> None:
    """Write a file as somebody else would."""
    file.write_text(text)


def text_of(file: Path) -> str:
    """What it says."""
    return file.read_text()


def remove(file: Path) -> None:
    """Remove it."""
    file.unlink()


class FlagWorld(RouterWorld):
    """Places with equal definitions."""

    backends = Backends(stable="old", canary="new")

    def __init__(self, places: Sequence[str]) -> None:
        self.places = list(places)
        self.route = self.named(FLAG)
        self._workers = [FlagdRouter(), FlagdRouter()]

    def named(self, name: str) -> Route:
        """A flag of these places."""
        return Route.model_validate({"router": "flagd", "name": name, "places": self.places})

    @property
    def workers(self) -> Sequence[Router]:
        return self._workers

    @property
    def proxies(self) -> Sequence[str]:
        return self.places

    @property
    def second(self) -> Route:
        return self.named("second")

    async def meddle(self, weights: Weights) -> None:
        for place in self.places:

            def changed(text: str) -> str:
                content = json.loads(text)
                buckets = [[name, round(weight)] for name, weight in weights.items()]
                content["flags"][FLAG]["targeting"] = {"fractional": buckets}
                return json.dumps(content)

            flag_places.place_of(place).change(changed)

    async def foreign(self) -> object:
        return [_still(json.loads(flag_places.place_of(place).read())) for place in self.places]


def _still(content: Any) -> Any:
    flag = content["flags"][FLAG]
    flag["metadata"].pop(GENERATION, None)
    for branch in flag["targeting"]["if"][1:]:
        branch.pop("fractional")
    return content


class FlagFilesWorld(FlagWorld):
    """Files."""

    def __init__(self, folder: Path, count: int, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        files = [folder / f"flags-{number}.json" for number in range(count)]
        for file in files:
            file.write_text(definitions())
        self.lacks: Mapping[Lack, str] = LACKS | ({"parts": "one file is replaced whole"} if count == 1 else {})
        super().__init__([str(file) for file in files])

    def lose_next_answer(self) -> None:
        """Let the disk report an error once each file is in its place, as it may for its folder."""
        replace_badly(self._patch, flag_places, (), then_fail=True)

    def cut_next_short(self) -> None:
        """Let every file but the first be out of reach once."""
        replace_badly(self._patch, flag_places, {Path(self.places[0])}, then_fail=False)


class FlagObjectsWorld(FlagWorld):
    """Objects of one bucket of S3."""

    def __init__(self, url: str, bucket: str, count: int) -> None:
        self._url, self._bucket = url, bucket
        clear_faults(url)
        keys = [f"shop/flags-{number}.json" for number in range(count)]
        for key in keys:
            flag_places.kept_client().put_object(Bucket=bucket, Key=key, Body=definitions().encode())
        self.lacks: Mapping[Lack, str] = LACKS | ({"parts": "one object is replaced whole"} if count == 1 else {})
        super().__init__([f"s3://{bucket}/{key}" for key in keys])

    def lose_next_answer(self) -> None:
        """Let every object be replaced, and S3 answer that it is busy."""
        for place in self.places:
            self._busy(place, arrives=True)

    def cut_next_short(self) -> None:
        """Let every object but the first be out of reach once."""
        for place in self.places[1:]:
            self._busy(place, arrives=False)

    def _busy(self, place: str, *, arrives: bool) -> None:
        write = f"PUT .*{re.escape(place.rsplit('/', 1)[1])}"
        add_fault(self._url, AwsFault(write, code="ServiceUnavailable", status=503, times=TRIES, arrives=arrives))
