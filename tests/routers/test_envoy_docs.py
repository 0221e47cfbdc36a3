"""What docs/envoy.md tells users to write works: its bootstrap and its route file run in a real Envoy."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from activities.routers.envoy import EnvoyRouter
from activities.routers.options import options_of
from coalmine.local.envoy import envoy_program
from coalmine.spec.canary import Route
from coalmine.spec.proxy_routes import EnvoyRoute
from coalmine.testing.router_contract import live
from tests.routers.envoy_world import envoy_route

PAGE = Path(__file__).parents[2] / "docs" / "envoy.md"
ARMS = ("checkout-v41", "checkout-v42")


def blocks() -> tuple[dict[str, Any], str]:
    """The bootstrap, and the text of the route file."""
    _, bootstrap, route, _ = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    content: dict[str, Any] = YAML(typ="safe").load(bootstrap)
    return content, route


def prepared(config_source: Mapping[str, Any]) -> dict[str, Any]:
    """The page's bootstrap with free ports, clusters, and the route file where the test has it."""
    bootstrap, _ = blocks()
    bootstrap["admin"]["address"]["socket_address"]["port_value"] = 0
    (listener,) = bootstrap["static_resources"]["listeners"]
    listener["address"]["socket_address"].update(address="127.0.0.1", port_value=0)
    listener["filter_chains"][0]["filters"][0]["typed_config"]["rds"]["config_source"] = config_source
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 9}}}}
    bootstrap["static_resources"]["clusters"] = [
        {"name": name, "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}}
        for name in ARMS
    ]
    return bootstrap


@asynccontextmanager
async def running(folder: Path, bootstrap: Mapping[str, Any]) -> AsyncIterator[str]:
    """An Envoy with this bootstrap; its admin address."""
    (folder / "bootstrap.json").write_text(json.dumps(bootstrap))
    admin = folder / "admin"
    with (folder / "envoy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(str(envoy_program()), "--config-path", str(folder / "bootstrap.json"), "--concurrency", "1"),
            *("--use-dynamic-base-id", "--disable-hot-restart", "--admin-address-path", str(admin)),
            stdout=log,
            stderr=log,
        )
    try:
        async with asyncio.timeout(60):
            while not (admin.exists() and admin.read_text()):
                assert process.returncode is None, (folder / "envoy.log").read_text()[-2000:]
                await asyncio.sleep(0.01)
        yield f"http://{admin.read_text()}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.mark.parametrize("linked", [False, True])
async def test_the_page_works_as_it_is_written(tmp_path: Path, linked: bool) -> None:
    _, text = blocks()
    real = tmp_path / "volume"
    real.mkdir()
    (real / "shop.yaml").write_text(text)
    source: dict[str, Any] = {"path": str(real / "shop.yaml")}
    if linked:
        link = tmp_path / "shop.yaml"
        link.symlink_to(real / "shop.yaml")
        source = {"path": str(link), "watched_directory": {"path": str(real)}}
    async with running(tmp_path, prepared({"path_config_source": source})) as admin:
        route, router = envoy_route([Path(source["path"])], [admin]), EnvoyRouter()
        async with asyncio.timeout(60):
            while not all(check.ok for check in await router.check(route, ARMS, [1, 10])):
                await asyncio.sleep(0.01)
        assert live((await router.read(route)).weights) == {ARMS[0]: 100}
        await router.apply(route, {ARMS[0]: 99, ARMS[1]: 1}, 1)
        answer = await router.confirm(route, 1, ARMS)
        assert answer.answer == "yes", answer.reason
        assert answer.proxies[0].weights == {ARMS[0]: 99, ARMS[1]: 1}


async def test_hidden_statistics_fail_the_check(tmp_path: Path) -> None:
    _, text = blocks()
    file = tmp_path / "shop.yaml"
    file.write_text(text)
    bootstrap = prepared({"path_config_source": {"path": str(file)}})
    bootstrap["stats_config"]["stats_matcher"] = {"inclusion_list": {"patterns": [{"prefix": "cluster."}]}}
    async with running(tmp_path, bootstrap) as admin:
        route, router = envoy_route([file], [admin]), EnvoyRouter()
        async with asyncio.timeout(60):
            while True:
                checks = await router.check(route, ARMS, [1, 10])
                if any("stats_matcher" in check.reason for check in checks if not check.ok):
                    break
                await asyncio.sleep(0.01)
        await router.apply(route, {ARMS[0]: 99, ARMS[1]: 1}, 1)
        assert (await router.confirm(route, 1, ARMS)).answer == "yes"


def test_what_it_says_of_testers_and_copies_is_a_route() -> None:
    *_, users = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    route = Route.model_validate(YAML(typ="safe").load(users)["route"])
    options = options_of(route, EnvoyRoute)
    assert options.sticky is not None
    assert options.testers is not None
    assert options.mirror is not None
    assert [match.values for match in options.testers.match] == [["beta", "staff"], ["yes"]]
