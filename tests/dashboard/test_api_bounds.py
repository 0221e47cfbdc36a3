"""The API's bounds: texts that cannot be written, specs too deep or too long, and others who are answered meanwhile."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator

import pytest

from coalmine.dashboard.auth.header import ByHeader, read_peers
from coalmine.dashboard.limits import CHECKS, Limits
from coalmine.records import Verb
from coalmine.spec.canary import CanarySpec
from coalmine.testing.fake_rollouts import FakeRollouts
from tests.dashboard.served import PATIENCE, Served, served
from tests.workflows.specs import make_spec

API = "/api/v1"
ROLLOUT = f"{API}/rollouts/production/checkout"


@pytest.fixture
async def desk(fake: FakeRollouts) -> AsyncIterator[Served]:
    def access(*_: object) -> ByHeader:
        return ByHeader("X-User", read_peers(["127.0.0.1"]))

    async with served(fake, access, headers={"X-User": "ana@example.org"}) as desk:
        yield desk


@pytest.mark.parametrize("verb", list(Verb))
@pytest.mark.parametrize(
    ("body", "field"),
    [
        (r'{"reason": "\ud800"}', "reason"),
        (r'{"rollout_id": "a\udc00"}', "rollout_id"),
        (r'{"gate": "\ud800"}', "gate"),
        (r'{"for": "\ud800"}', "for"),
        (r'{"\ud800": 1}', "body"),
        (r'{"reason": {"\ud800": ["\udfff"]}}', "reason"),
    ],
)
async def test_half_a_character_is_refused_by_the_name_of_its_field(
    desk: Served, fake: FakeRollouts, verb: Verb, body: str, field: str
) -> None:
    as_json = {"Content-Type": "application/json"}
    answer = await desk.client.post(f"{ROLLOUT}/{verb}", content=body, headers=as_json)
    assert answer.status_code == 422, answer.text
    assert [problem["field"] for problem in answer.json()["problems"]] == [field]
    # Programs in stricter languages take no escape of half a character for JSON.
    json.dumps(answer.json(), ensure_ascii=False).encode()
    assert fake.sent == []


@pytest.mark.parametrize("path", [f"{API}/validate", f"{API}/rollouts"])
async def test_half_a_character_in_a_spec_is_a_problem_of_its_line(desk: Served, path: str) -> None:
    spec = make_spec(service="cart").model_dump(mode="json", by_alias=True, exclude_none=True)
    spec["people"] = {"sre": ["\ud800"]}
    as_json = {"Content-Type": "application/json"}
    answer = await desk.client.post(path, content=json.dumps(spec), headers=as_json)
    assert answer.status_code == 422, answer.text
    [problem] = answer.json()["problems"]
    assert problem["field"] == "people.sre[0]"
    assert r"holds \ud800, which is half a character" in problem["message"]


@pytest.mark.parametrize("path", [f"{API}/validate", f"{API}/rollouts"])
async def test_others_are_answered_while_a_spec_is_checked(
    desk: Served, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(*_: object) -> CanarySpec:
        begun.set()
        assert go_on.wait(PATIENCE), "nobody else was answered"
        return make_spec(service="cart")

    monkeypatch.setattr("coalmine.dashboard.api.parse_spec", slow)
    yaml = {"Content-Type": "application/yaml"}
    checked = asyncio.create_task(desk.client.post(path, content="service: cart", headers=yaml))
    assert await asyncio.to_thread(begun.wait, PATIENCE)
    assert (await desk.client.get("/healthz")).status_code == 200
    assert not checked.done()
    go_on.set()
    assert (await checked).status_code == 200


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("[" * 20_000, 1, 51, "nested too deeply: a spec has at most 50 levels"),
        ("{a: " * 20_000, 1, 201, "nested too deeply"),
        ("- " * 20_000, 1, 101, "nested too deeply"),
        ("".join(f"k{n}: {{a: 1}}\n" for n in range(15_000)), 5_000, 12, "more than 20,000 keys and values"),
    ],
)
async def test_what_is_too_deep_or_too_long_is_read_no_further(
    desk: Served, text: str, line: int, column: int, said: str
) -> None:
    answer = await desk.client.post(f"{API}/validate", content=text, headers={"Content-Type": "application/yaml"})
    assert answer.status_code == 422
    [problem] = answer.json()["problems"]
    assert (problem["line"], problem["column"]) == (line, column)
    assert said in problem["message"]


async def test_of_thousands_of_problems_the_first_are_told(desk: Served) -> None:
    text = "".join(f"k{n}: 1\n" for n in range(1_000))
    answer = await desk.client.post(f"{API}/validate", content=text, headers={"Content-Type": "application/yaml"})
    assert len(answer.json()["problems"]) == 200
    assert answer.json()["detail"].endswith("... and 806 more")


async def test_of_thousands_of_fields_a_verb_does_not_know_the_first_are_told(desk: Served) -> None:
    answer = await desk.client.post(f"{ROLLOUT}/pause", json={f"k{n}": 1 for n in range(1_000)})
    assert answer.status_code == 422
    assert len(answer.json()["problems"]) == 200
    assert "and 800 more" in answer.json()["detail"]


async def test_who_checks_specs_too_often_hears_so(fake: FakeRollouts) -> None:
    async with served(fake, limits=Limits(lambda: 0.0)) as desk:
        yaml = {"Content-Type": "application/yaml"}
        codes = [
            (await desk.client.post(f"{API}/validate", content="a", headers=yaml)).status_code
            for _ in range(CHECKS.burst + 1)
        ]
    assert codes == [422] * CHECKS.burst + [429]
