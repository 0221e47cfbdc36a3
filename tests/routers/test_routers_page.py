"""docs/routers.md is what the routers say of themselves; docs/adapters.md names what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from activities.adapters import built_in
from activities.routers.registry import BUILT_IN
from activities.routers.table import PAGE, fill, table
from coalmine.errors import MissingExtra
from coalmine.spec.canary import Route
from coalmine.testing.fake_router import FakeRouter

ROOT = PAGE.parents[1]
MOST_LINES = 250


def test_the_table_is_what_the_routers_say() -> None:
    assert fill(PAGE.read_text()) == PAGE.read_text(), "run: python -m activities.routers.table"


def test_every_router_is_in_it_with_what_it_was_tested_against() -> None:
    lines = fill(PAGE.read_text()).splitlines()
    for name, make in BUILT_IN.items():
        (line,) = [line for line in lines if line.startswith(f"| `{name}` |")]
        assert make().able.tested_against in line


def test_an_advisory_router_says_for_how_long() -> None:
    class Advisory(FakeRouter):
        able = FakeRouter.able.model_copy(update={"fencing": "advisory", "lease": 15.0, "granularity": 0.5})

    assert "| `a` | advisory, 15 s | 0.5 % | yes | no | no |" in table({"a": lambda: Advisory({"stable": 100})})


async def test_a_step_that_is_each_routes_own_is_told_so() -> None:
    assert "| `kubernetes-replicas` | strict | 100 % / `replicas` | yes |" in table(BUILT_IN)
    route = Route.model_validate({"router": "kubernetes-replicas", "name": "x", "namespace": "y", "replicas": 20})
    assert (await BUILT_IN["kubernetes-replicas"]().capabilities(route)).granularity == 100 / 20


def test_what_the_adapter_page_names_is_there() -> None:
    page = (ROOT / "docs" / "adapters.md").read_text()
    for path in re.findall(r"`((?:activities|coalmine|examples|tests)/[\w/.]+)`", page):
        assert Path(ROOT / path).exists(), path
    for module in re.findall(r"`(coalmine\.testing\.\w+)`", page):
        assert Path(ROOT / f"{module.replace('.', '/')}.py").is_file(), module


def test_a_router_whose_extra_is_missing_says_which() -> None:
    make = built_in("activities.routers.nothing_there:Router", extra="moon")
    with pytest.raises(MissingExtra, match=r"coalmine\[moon\]"):
        make()


def test_a_router_is_imported_when_it_is_made() -> None:
    assert isinstance(built_in("tests.routers.test_routers_page:Made")(), Made)


class Made(FakeRouter):
    """A router that needs nothing."""

    def __init__(self) -> None:
        super().__init__({"stable": 100})


def test_no_file_of_the_routers_is_longer_than_an_adapter_may_be() -> None:
    files = sorted((ROOT / "activities" / "routers").glob("*.py"))
    assert len(files) > len(BUILT_IN)
    long = {file.name: lines for file in files if (lines := len(file.read_text().splitlines())) > MOST_LINES}
    assert not long, "give what it reads and writes a file of its own: docs/adapters.md"
    assert f"at most {MOST_LINES} lines" in (ROOT / "docs" / "adapters.md").read_text()
