"""Flags over HTTP, as flagd and OFREP clients ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from coalmine.errors import InputError
from coalmine.flags.endpoint import FlagEndpoint
from tests.routers.flag_worlds import definitions, put, text_of

NUMBERS = {
    name: {"state": "ENABLED", "variants": {"a": value}, "defaultVariant": "a"}
    for name, value in (("whole", 7), ("half", 0.5), ("text", "x"), ("object", {"k": [1]}))
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "flags.json"
    path.write_text(definitions(**NUMBERS, off={"state": "DISABLED", "variants": {"a": 1}, "defaultVariant": "a"}))
    return path


@pytest.fixture
async def http(file: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with FlagEndpoint(str(file), every=0.01) as endpoint, aiohttp.ClientSession(endpoint.url) as session:
        yield session


async def ask(http: aiohttp.ClientSession, key: str, body: Any, **headers: str) -> tuple[int, Any]:
    data = body if isinstance(body, str) else json.dumps(body)
    async with http.post(f"/ofrep/v1/evaluate/flags{f'/{key}' if key else ''}", data=data, headers=headers) as answer:
        return answer.status, await answer.json() if answer.status != 304 else answer.headers["ETag"]


async def test_flagd_reads_the_whole_and_hears_of_changes(file: Path, http: aiohttp.ClientSession) -> None:
    async with http.get("/flags.json") as answer:
        assert await answer.text() == text_of(file)
        tag = answer.headers["ETag"]
    async with http.get("/flags.json", headers={"If-None-Match": tag}) as answer:
        assert answer.status == 304
    put(file, definitions())
    async with asyncio.timeout(60):
        while True:
            async with http.get("/flags.json", headers={"If-None-Match": tag}) as answer:
                if answer.status == 200:
                    break
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("key", "value"), [("whole", 7), ("half", 0.5), ("text", "x"), ("object", {"k": [1]})])
async def test_a_flag_has_the_type_of_its_variants(key: str, value: Any, http: aiohttp.ClientSession) -> None:
    status, told = await ask(http, key, {"context": {"targetingKey": "ana"}})
    assert (status, told["value"], told["variant"], told["reason"]) == (200, value, "a", "STATIC")
    assert type(told["value"]) is type(value)


async def test_a_targeted_flag_tells_its_variant_and_metadata(http: aiohttp.ClientSession) -> None:
    status, told = await ask(http, "new-checkout", {"context": {"targetingKey": "ana", "country": "NO"}})
    assert (status, told["value"], told["variant"]) == (200, False, "old")
    assert (told["reason"], told["metadata"]) == ("TARGETING_MATCH", {"team": "shop"})


async def test_a_disabled_flag_leaves_the_value_to_the_app(http: aiohttp.ClientSession) -> None:
    status, told = await ask(http, "off", {})
    assert (status, told["reason"]) == (200, "DISABLED")
    assert "value" not in told


async def test_all_flags_at_once_with_a_tag(http: aiohttp.ClientSession) -> None:
    body = {"context": {"targetingKey": "ana"}}
    status, told = await ask(http, "", body)
    assert status == 200
    assert {"new-checkout", "second", "banner", "whole", "off"} <= {one["key"] for one in told["flags"]}
    async with http.post("/ofrep/v1/evaluate/flags", json=body) as answer:
        tag = answer.headers["ETag"]
    assert await ask(http, "", body, **{"If-None-Match": tag}) == (304, tag)


@pytest.mark.parametrize(
    ("key", "body", "status", "code"),
    [
        ("nope", {}, 404, "FLAG_NOT_FOUND"),
        ("whole", "{", 400, "PARSE_ERROR"),
        ("whole", "[1]", 400, "PARSE_ERROR"),
        ("whole", {"context": 7}, 400, "INVALID_CONTEXT"),
        ("whole", {"context": {"targetingKey": 7}}, 400, "INVALID_CONTEXT"),
        ("", "{", 400, "PARSE_ERROR"),
    ],
)
async def test_what_cannot_be_answered_is_named(
    key: str, body: Any, status: int, code: str, http: aiohttp.ClientSession
) -> None:
    got, told = await ask(http, key, body)
    assert (got, told["errorCode"]) == (status, code)
    assert told["errorDetails"]


async def test_what_was_read_last_is_served_while_the_place_is_broken(file: Path, http: aiohttp.ClientSession) -> None:
    put(file, "{")
    async with asyncio.timeout(60):
        while not (health := await (await http.get("/healthz")).json())["trouble"]:
            await asyncio.sleep(0.01)
    assert "flags.json" in health["trouble"]
    assert (await ask(http, "whole", {}))[1]["value"] == 7


async def test_without_flags_there_is_nothing_to_serve(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not there"):
        async with FlagEndpoint(str(tmp_path / "none.json")):
            pass
