"""What only real Envoys can show: requests that arrive, processes that hang, files that vanish."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from activities.routers import envoy_document, envoy_routes, locked_files
from activities.routers.envoy import EnvoyRouter
from activities.routers.locked_files import locked
from activities.routers.preflight import TRIES, Preflight
from coalmine.errors import RouteRejected, RouterUnreachable, RouteUnconfirmed
from coalmine.local.envoy import EnvoyProxy, fixed_response
from coalmine.spec.canary import Route
from coalmine.testing.router_contract import CANARY, DEAD, STABLE, confirmed, live, shown
from tests.routers.conftest import envoy_world
from tests.routers.envoy_world import (
    CLUSTERS,
    SHADOW,
    TESTERS,
    EnvoyWorld,
    envoy_route,
    start_envoys,
    stop_envoys,
    write_routes,
)

FIRST = {STABLE: 100.0, CANARY: 0.0}
HALF = {STABLE: 50.0, CANARY: 50.0}


@pytest.fixture
async def arms(tmp_path: Path) -> AsyncIterator[dict[str, Sequence[str]]]:
    """Two backends that answer with their name; by cluster, as Envoy takes them."""
    backends: dict[str, EnvoyProxy] = {}
    for name in (STABLE, CANARY):
        route = tmp_path / f"{name}.json"
        route.write_text(json.dumps(fixed_response(name, name)))
        backends[name] = EnvoyProxy(tmp_path / name, route, {}, route_name=name)
    try:
        await asyncio.gather(*(backend.start() for backend in backends.values()))
        yield {**CLUSTERS, **{name: [one.listener_url.removeprefix("http://")] for name, one in backends.items()}}
    finally:
        await stop_envoys(list(backends.values()))


async def answers(envoy: EnvoyProxy, times: int = 40, beta: bool = False) -> Counter[str]:
    """Who answered."""
    headers = {"x-beta": "yes"} if beta else {}
    async with aiohttp.ClientSession(headers=headers) as session:
        found: Counter[str] = Counter()
        for _ in range(times):
            async with session.get(envoy.listener_url) as response:
                found[f"{response.status} {await response.text()}"] += 1
        return found


@pytest.mark.parametrize("name", ["route.json", "route.yaml"])
async def test_requests_follow_the_weights_and_a_restarted_proxy_keeps_them(
    tmp_path: Path, arms: dict[str, Sequence[str]], name: str
) -> None:
    files = write_routes(tmp_path, [name])
    envoys = await start_envoys(tmp_path, files, 1, arms)
    try:
        (envoy,) = envoys.values()
        route, router = envoy_route(files, list(envoys)), EnvoyRouter()
        assert await answers(envoy) == {"200 stable": 40}
        for generation, weights in enumerate([{STABLE: 0.0, CANARY: 100.0}, FIRST, HALF], 1):
            await router.apply(route, weights, generation)
            assert (await router.confirm(route, generation)).answer == "yes"
            for beta in (False, True):
                found = await answers(envoy, beta=beta)
                assert set(found) <= {f"200 {arm}" for arm in weights if weights[arm]}
                assert found.total() == 40
        await router.apply(route, {STABLE: 0, CANARY: 100}, 9)
        await envoy.stop()
        await envoy.start()
        assert await answers(envoy) == {"200 canary": 40}
        assert (await router.confirm(route, 9)).answer == "yes"
    finally:
        await stop_envoys(list(envoys.values()))


async def test_after_a_refusal_the_file_says_what_it_said_before(one_file: EnvoyWorld) -> None:
    router = one_file.workers[0]
    await router.apply(one_file.route, {STABLE: 90, CANARY: 10}, 1)
    before = json.loads(one_file.files[0].read_text())
    one_file.refuse_next()
    with pytest.raises(RouteRejected, match=r"update_rejected 0 -> 1.*generation 2") as refused:
        await router.apply(one_file.route, HALF, 2)
    assert all(proxy in str(refused.value) for proxy in one_file.proxies)
    after = json.loads(one_file.files[0].read_text())
    assert after.pop("version_info").startswith("2:")
    assert before.pop("version_info").startswith("1:")
    assert after == before
    envoy = one_file.running[one_file.proxies[0]]
    await envoy.stop()
    await envoy.start()
    await confirmed(one_file, 2)


async def test_what_envoy_cannot_even_read_is_refused_at_once(
    one_file: EnvoyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = envoy_routes.set_weights, 1

    def with_no_text(configuration: Any, units: Mapping[str, int]) -> int:
        nonlocal left
        if left:
            left -= 1
            configuration["virtual_hosts"][0]["routes"][0]["match"]["prefix"] = True
        return real(configuration, units)

    monkeypatch.setattr(envoy_document, "set_weights", with_no_text)
    with pytest.raises(RouteRejected, match=r"refused.*under generation 1$"):
        await one_file.workers[0].apply(one_file.route, HALF, 1)
    await confirmed(one_file, 1)
    assert await shown(one_file) == {STABLE: 100}


async def test_a_file_that_was_broken_before_is_told_to_be_mended(one_file: EnvoyWorld) -> None:
    (path,) = one_file.files
    content = json.loads(path.read_text())
    content["resources"][0]["virtual_hosts"][0]["domains"] = []
    path.write_text(json.dumps(content))
    with pytest.raises(RouteRejected, match="mend the file"):
        await one_file.workers[0].apply(one_file.route, HALF, 1)


async def test_one_file_that_is_gone_does_not_keep_the_others_from_a_rollback(three_files: EnvoyWorld) -> None:
    router = three_files.workers[0]
    await router.apply(three_files.route, HALF, 1)
    gone = three_files.files[1]
    text = gone.read_text()
    gone.unlink()
    with pytest.raises(RouteUnconfirmed, match=gone.name):
        await router.apply(three_files.route, FIRST, 2)
    answer = await router.confirm(three_files.route, 2)
    assert answer.answer == "no"
    assert gone.name in answer.reason
    assert [proxy.proxy for proxy in answer.proxies if not proxy.ok] == [three_files.proxies[1]]
    assert [live(proxy.weights) for proxy in answer.proxies if proxy.ok] == [{STABLE: 100}] * 2
    gone.write_text(text)
    await router.apply(three_files.route, FIRST, 2)
    await confirmed(three_files, 2)
    assert await shown(three_files) == {STABLE: 100}


async def test_no_file_at_all_is_an_error_and_nothing_is_written(three_files: EnvoyWorld) -> None:
    for path in three_files.files:
        path.unlink()
    with pytest.raises(RouteRejected, match="is not there"):
        await three_files.workers[0].apply(three_files.route, HALF, 1)
    with pytest.raises(RouteRejected, match="is not there"):
        await three_files.workers[0].read(three_files.route)


@pytest.mark.parametrize("restoring", [False, True])
async def test_a_proxy_that_hangs_does_not_hold_up_the_others(
    one_file: EnvoyWorld, monkeypatch: pytest.MonkeyPatch, restoring: bool
) -> None:
    router, looks = EnvoyRouter(), Counter[str]()
    await router.apply(one_file.route, HALF, 1)
    look = router.preflight

    async def counted(places: Any, backends: Any) -> Mapping[str, Preflight]:
        looks["taken"] += 1
        return await look(places, backends)

    monkeypatch.setattr(router, "preflight", counted)
    hung = one_file.proxies[1]
    pid = one_file.running[hung].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        state = await router.apply(one_file.route, FIRST, 2, restoring=restoring)
        assert looks["taken"] == (1 if restoring else TRIES), "a rollback waits for nobody"
        told = {proxy.proxy for proxy in state.proxies if proxy.ok}
        # One that is only busy may be late where nobody asks again.
        assert hung not in told if restoring else told == set(one_file.proxies) - {hung}
        answer = await router.confirm(one_file.route, 2)
        assert answer.answer == "no"
        assert hung in answer.reason
    finally:
        os.kill(pid, signal.SIGCONT)
    await confirmed(one_file, 2)


async def test_a_proxy_that_was_only_busy_is_asked_again(one_file: EnvoyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    router, busy = EnvoyRouter(), one_file.proxies[1]
    pid, look, found = one_file.running[busy].pid, router.preflight, list[Mapping[str, Preflight]]()
    assert pid is not None

    async def after_a_while(places: Any, backends: Any) -> Mapping[str, Preflight]:
        found.append(await look(places, backends))
        os.kill(pid, signal.SIGCONT)
        return found[-1]

    monkeypatch.setattr(router, "preflight", after_a_while)
    os.kill(pid, signal.SIGSTOP)
    try:
        checks = await router.check(one_file.route, [STABLE, CANARY], [10])
    finally:
        os.kill(pid, signal.SIGCONT)
    assert found[0][busy].silent
    assert [check.reason for check in checks if not check.ok] == []


async def test_a_proxy_on_a_file_of_its_own_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with envoy_world(tmp_path, monkeypatch, ["a.json", "b.json"], proxies=2) as world:
        world.files.pop()
        world.route = envoy_route(world.files, list(world.running))
        stranger = world.proxies[1]
        await world.workers[0].apply(world.route, HALF, 1)
        answer = await world.workers[0].confirm(world.route, 1)
        assert [proxy.proxy for proxy in answer.proxies if not proxy.ok] == [stranger]
        state = await world.workers[0].read(world.route, [STABLE, CANARY])
        assert live(state.weights) == HALF
        assert {proxy.proxy: live(proxy.weights) for proxy in state.proxies} == {
            world.proxies[0]: HALF, stranger: {STABLE: 100},
        }  # fmt: skip
        assert [(proxy.ok, proxy.generation) for proxy in state.proxies] == [(True, 1), (False, 0)]
        checks = await world.workers[0].check(world.route, [STABLE, CANARY], [10])
        assert [stranger in check.reason for check in checks if not check.ok] == [True]


async def test_the_newest_generation_counts_wherever_it_is(one_file: EnvoyWorld) -> None:
    (path,) = one_file.files
    first = path.read_text()
    await one_file.workers[0].apply(one_file.route, HALF, 5)
    path.write_text(first)
    state = await one_file.workers[1].read(one_file.route, [STABLE, CANARY])
    assert state.generation == 5
    assert not any(proxy.ok for proxy in state.proxies)


async def test_weights_that_others_change_in_an_entry_of_their_own_keep_no_write_from_being_confirmed(
    one_file: EnvoyWorld,
) -> None:
    (path,) = one_file.files

    def theirs(**weights: int) -> None:
        content = json.loads(path.read_text())
        routes = content["resources"][0]["virtual_hosts"][0]["routes"]
        clusters = [{"name": name, "weight": weight} for name, weight in weights.items()]
        old = {"match": {"prefix": "/old"}, "route": {"weighted_clusters": {"clusters": clusters}}}
        routes[:] = [old, *(entry for entry in routes if entry["match"] != old["match"])]
        locked_files.replace(path, json.dumps(content))

    theirs(**{SHADOW: 9, TESTERS: 1})
    await one_file.workers[0].apply(one_file.route, HALF, 1)
    await confirmed(one_file, 1)
    theirs(**{SHADOW: 1, TESTERS: 9})
    await confirmed(one_file, 1)


async def test_a_writer_that_never_lets_go_is_named(one_file: EnvoyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locked_files, "LOCK_PATIENCE", 0.02)
    with locked(one_file.files), pytest.raises(RouterUnreachable, match=r"route\.json"):
        await one_file.workers[0].apply(one_file.route, HALF, 1)
    await one_file.workers[0].apply(one_file.route, HALF, 1)


async def test_a_cancelled_write_is_whole_or_not_there_and_the_next_overrides_it(one_file: EnvoyWorld) -> None:
    router = one_file.workers[0]
    for generation in range(1, 30, 2):
        write = asyncio.create_task(router.apply(one_file.route, HALF, generation))
        await asyncio.sleep(generation / 2_000)
        write.cancel()
        await asyncio.gather(write, return_exceptions=True)
        await router.apply(one_file.route, FIRST, generation + 1)
        assert (await router.confirm(one_file.route, generation + 1)).answer == "yes"
        assert await shown(one_file) == {STABLE: 100}


async def test_nobody_home_where_the_admin_should_be(one_file: EnvoyWorld) -> None:
    envoy = one_file.running[one_file.proxies[0]]
    route = envoy_route(one_file.files, [envoy.listener_url])
    checks = await one_file.workers[0].check(route, [STABLE, CANARY], [10])
    reasons = [check.reason for check in checks if not check.ok]
    assert len(reasons) == 1
    assert "is this Envoy's admin interface?" in reasons[0]
    with pytest.raises(RouterUnreachable, match="admin"):
        await one_file.workers[0].read(route)


async def test_a_route_the_proxy_does_not_have(one_file: EnvoyWorld) -> None:
    (path,) = one_file.files
    other = path.with_name("other.json")
    other.write_text(path.read_text().replace('"shop"', '"films"'))
    route = Route.model_validate({**envoy_route([other], one_file.proxies).model_dump(), "name": "films"})
    checks = await one_file.workers[0].check(route, [STABLE, CANARY], [10])
    assert ["has no dynamic route 'films'" in check.reason for check in checks if not check.ok] == [True] * 3


async def test_backends_the_route_does_not_name(one_file: EnvoyWorld) -> None:
    (path,) = one_file.files
    content = json.loads(path.read_text())
    content["resources"][0]["virtual_hosts"][0]["routes"][0]["route"] = {"cluster": DEAD}
    path.write_text(json.dumps(content))
    with pytest.raises(RouteRejected, match=r"route\.weighted_clusters"):
        await one_file.workers[0].apply(one_file.route, HALF, 1)
    assert json.loads(path.read_text()) == content
    with pytest.raises(RouteRejected, match=r"'films'.*route\.weighted_clusters"):
        await one_file.workers[0].read(one_file.route, ["films"])


async def test_traffic_on_a_third_cluster_fails_the_check(one_file: EnvoyWorld) -> None:
    checks = await one_file.workers[0].check(one_file.route, [CANARY], [10])
    assert [f"{STABLE} 100 %" in check.reason for check in checks if not check.ok] == [True]


async def test_weights_the_runtime_may_override_fail_the_check(one_file: EnvoyWorld) -> None:
    (path,) = one_file.files
    path.write_text(
        path.read_text().replace('"weighted_clusters": {', '"weighted_clusters": {"runtime_key_prefix": "w",')
    )
    checks = await one_file.workers[0].check(one_file.route, [STABLE, CANARY], [10])
    assert any("runtime_key_prefix 'w'" in check.reason for check in checks if not check.ok)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, r"route\.files"),
        ({"files": ["a.json"], "admins": ["nonsense"]}, r"route\.admins\.0"),
        ({"files": ["a.json"], "admins": ["http://127.0.0.1:1"], "colour": "red"}, r"route\.colour"),
    ],
)
async def test_wrong_keys_of_the_route_are_named(options: dict[str, object], word: str) -> None:
    route = Route.model_validate({"router": "envoy", "name": "shop", **options})
    with pytest.raises(RouteRejected, match=word):
        await EnvoyRouter().read(route)


async def test_generations_count_from_one(one_file: EnvoyWorld) -> None:
    with pytest.raises(RouteRejected, match="from 1"):
        await one_file.workers[0].apply(one_file.route, HALF, 0)


@pytest.mark.parametrize(("blind", "restored"), [(1, True), (2, False)])
async def test_one_proxy_that_sees_no_endpoint_keeps_no_other_from_the_way_back(
    tmp_path: Path, blind: int, restored: bool
) -> None:
    files = write_routes(tmp_path, ["route.json"])
    envoys: dict[str, EnvoyProxy] = {}
    for number in range(2):
        sees = {**CLUSTERS, STABLE: [] if number < blind else CLUSTERS[STABLE]}
        envoys |= await start_envoys(tmp_path / str(number), files, 1, sees)
    try:
        router, route = EnvoyRouter(), envoy_route(files, list(envoys))
        await router.apply(route, {STABLE: 0.0, CANARY: 100.0}, 1)
        with pytest.raises(RouteRejected, match="'stable' has no healthy endpoint"):
            await router.apply(route, FIRST, 2)
        if restored:
            await router.apply(route, FIRST, 2, restoring=True)
            state = await router.read(route, [STABLE, CANARY])
            assert [proxy.weights for proxy in state.proxies] == [FIRST, FIRST]
        else:
            with pytest.raises(RouteRejected, match="'stable' has no healthy endpoint"):
                await router.apply(route, FIRST, 2, restoring=True)
    finally:
        await stop_envoys(list(envoys.values()))
