"""History and trends, from a real ledger."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import escape
from pathlib import Path

import pytest

from activities.ledgers.file import FileLedger
from activities.ledgers.sealing import sealer_of
from coalmine.dashboard.fleet_view import report_path
from coalmine.spec.ledger import Ledger
from coalmine.testing.fake_rollouts import FakeRollouts
from tests.dashboard.past import EVIL, entries, fill
from tests.dashboard.served import Served, served


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Served]:
    await fill(tmp_path)
    async with served(FakeRollouts(), ledger=Ledger(path=str(tmp_path))) as desk:
        yield desk


async def test_figures_weeks_and_past_rollouts(desk: Served) -> None:
    text = await desk.page("/trends")
    for said in ("2 (0.2 a week)", "33 % (1 of 3)", "Week of", 'class="promoted"', "production/cart", "rolled back"):
        assert said in text, said
    assert EVIL not in text
    assert "&lt;script&gt;" in text
    only = await desk.page("/trends?since=7d&service=checkout")
    assert "50 % (1 of 2)" in only
    assert "cart" not in only


async def test_each_has_its_report_which_runs_nothing(desk: Served) -> None:
    answer = await desk.client.get("/reports/production/checkout/1.1.0/1")
    assert answer.status_code == 200
    assert "was rolled back after" in answer.text
    assert EVIL not in answer.text
    policy = answer.headers["content-security-policy"]
    assert "style-src 'sha256-" in policy
    assert "script-src" not in policy
    await desk.page("/reports/production/checkout/9.9.9/1", 404)


async def test_a_report_is_found_whatever_its_version_holds(tmp_path: Path) -> None:
    rollout = "production/checkout/build#412?x=1%41/1"
    known = [one.model_copy(update={"rollout_id": rollout}) for one in entries("checkout", 1, "promoted", 2.0)]
    await FileLedger(tmp_path, sealer_of({})).append("production/checkout", known)
    async with served(FakeRollouts(), ledger=Ledger(path=str(tmp_path))) as desk:
        [address] = re.findall(r'href="(/reports/[^"]*)"', await desk.page("/trends"))
        assert escape(rollout) in await desk.page(address)
        assert report_path(rollout) == address


async def test_a_period_that_is_not_known_is_named(desk: Served) -> None:
    assert "since: &#39;3d&#39; is not known: use 7d, 30d" in await desk.page("/trends?since=3d", 422)
