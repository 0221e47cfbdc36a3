"""What nginx does beyond the contract: its block, its reloads, workers that overlap, somebody's hands on the file."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from activities.routers import nginx, nginx_process, nginx_reload
from activities.routers.locked_files import replace
from activities.routers.nginx import NginxRouter
from activities.routers.nginx_process import configuration, started
from activities.routers.nginx_reload import reload, reload_problem
from activities.routers.nginx_split import NGINX, NginxSplit
from activities.routers.route_files import RouteFiles
from activities.routers.splits import Silent
from activities.routers.weights import weight_units
from coalmine.errors import RouteRejected, RouterUnreachable, StaleGeneration
from coalmine.local.nginx import Nginx
from coalmine.spec.canary import Route
from coalmine.spec.proxy_routes import NginxProxy
from coalmine.testing.router_contract import CANARY, STABLE, confirmed, live, shown
from coalmine.testing.router_world import CONFIRM_WITHIN
from tests.routers.nginx_world import EVERY, NginxWorld, first, nginx_world

HALF = {STABLE: 50.0, CANARY: 50.0}
FIRST = {STABLE: 100.0, CANARY: 0.0}


def test_the_block_and_the_version_are_written_and_the_rest_stays() -> None:
    document = NginxSplit("shop.conf", first("shop"), "shop")
    assert (document.reading().version.generation, document.reading().splits[0].live) == (0, {STABLE: 100})
    document.set_weights(weight_units({STABLE: 99.93, CANARY: 0.07}))
    document.stamp(12)
    lines = document.render().splitlines()
    assert lines[:5] == [
        "# The way into the shop. Ask before you touch it.", 'split_clients "${request_id}" $shop {',
        "    99.93% stable;", "    * canary;", "}",
    ]  # fmt: skip
    assert re.fullmatch(r'map "" \$shop_route { default "12:\w{12}:coalmine stable=9993 canary=7"; }', lines[5])
    assert lines[6] == 'map $http_x_beta $shop_beta { default ""; "yes" canary; }'
    again = NginxSplit("shop.conf", document.render(), "shop").reading()
    assert (again.version.generation, again.splits[0].live) == (12, {STABLE: 99.93, CANARY: 0.07})


def test_a_block_that_was_changed_under_our_version_keeps_older_writes_out(tmp_path: Path) -> None:
    path, files = tmp_path / "shop.conf", RouteFiles(NginxSplit, NGINX)
    path.write_text(first("shop"))
    files.write([str(path)], "shop", weight_units(HALF), 7)
    path.write_text(path.read_text().replace("50.00%", "60.00%"))
    with pytest.raises(StaleGeneration, match="carries generation 7, newer than 3"):
        files.write([str(path)], "shop", weight_units(FIRST), 3)
    assert [one.reading.version.generation for one in files.write([str(path)], "shop", weight_units(FIRST), 8).written]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", r"one split_clients block.*\$shop \(it has none\)"),
        (first("store"), r"it has \$store"),
        (first("shop") + first("shop"), r"it has \$shop, \$shop"),
        ('split_clients "$request_id" $shop { * stable; }', r'write map "" \$shop_route'),
        (first("shop").replace("* stable", "10% stable"), r"leaves 90 % to nobody"),
        (first("shop").replace("* stable;", "10.001% stable; * stable;"), "is no share"),
    ],
)
def test_a_file_that_is_not_a_routes_is_refused_with_the_mend(text: str, word: str) -> None:
    with pytest.raises(RouteRejected, match=rf"(?s)shop\.conf: .*{word}"):
        NginxSplit("shop.conf", text, "shop")


def test_an_upstream_that_nginx_could_not_name_is_refused() -> None:
    document = NginxSplit("shop.conf", first("shop"), "shop")
    with pytest.raises(RouteRejected, match="cannot be the name"):
        document.set_weights({"stable; } evil {": 10_000})


async def test_a_reload_is_asked_for_at_most_once_in_a_while_by_all_workers(nginxes: NginxWorld) -> None:
    proxy = NginxProxy.model_validate(nginxes.route.options["proxies"][0])
    while young := await asyncio.to_thread(reload, proxy, 60.0):
        assert young < 1
        await asyncio.sleep(young)
    left = await asyncio.to_thread(reload, proxy, 60.0)
    assert 50 < left <= 60
    stamp = Path(proxy.pid).with_name(".nginx.pid.coalmine-reload")
    os.utime(stamp, (time.time() - 61, time.time() - 61))
    assert await asyncio.to_thread(reload, proxy, 60.0) == 0


async def test_a_master_is_not_told_to_reload_while_its_first_workers_are_new(
    one_nginx: NginxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Theirs and those of a reload that came at once could not be told apart by when they were started."""
    monkeypatch.setattr(nginx_reload, "_FIRST", 3600.0)
    proxy = NginxProxy.model_validate(one_nginx.route.options["proxies"][0])
    assert 3500 < await asyncio.to_thread(reload, proxy, 60.0) < 3600
    assert not Path(proxy.pid).with_name(".nginx.pid.coalmine-reload").read_bytes()


async def test_writes_that_come_faster_than_reloads_share_one(nginxes: NginxWorld) -> None:
    router = NginxRouter(reload_every=0.5)
    for generation in range(1, 6):
        write = asyncio.create_task(router.apply(nginxes.route, HALF, generation))
        while (
            await asyncio.to_thread(router._files.read, str(nginxes.files[0]), "shop")
        ).version.generation < generation:
            await asyncio.sleep(0.002)
        write.cancel()
        await asyncio.gather(write, return_exceptions=True)
    await router.apply(nginxes.route, FIRST, 6)
    await confirmed(nginxes, 6)
    assert await shown(nginxes) == live(FIRST)


async def test_a_file_that_is_not_loaded_is_not_believed(nginxes: NginxWorld) -> None:
    path = nginxes.files[0]
    document = NginxSplit(str(path), path.read_text(), "shop")
    document.set_weights(weight_units(HALF))
    document.stamp(4)
    path.write_text(document.render())
    answer = await nginxes.workers[0].confirm(nginxes.route, 4)
    assert answer.answer == "no"
    assert [proxy.ok for proxy in answer.proxies] == [False, False]
    await nginxes.workers[0].apply(nginxes.route, HALF, 4)
    await confirmed(nginxes, 4)


async def test_a_configuration_that_was_broken_elsewhere_is_never_reloaded(nginxes: NginxWorld) -> None:
    proxy = next(iter(nginxes.running.values()))
    proxy.config.write_text(proxy.config.read_text().replace("worker_processes", "worker_progresses"))
    before = nginxes.files[0].read_text()
    checks = await nginxes.workers[0].check(nginxes.route, [STABLE, CANARY], [10])
    assert "worker_progresses" in "; ".join(check.reason for check in checks if not check.ok)
    await nginxes.workers[0].apply(nginxes.route, HALF, 1)
    answer = await nginxes.workers[0].confirm(nginxes.route, 1)
    assert [(one.ok, one.proxy == proxy.status("shop")) for one in answer.proxies] == [(False, True), (True, False)]
    assert before != nginxes.files[0].read_text()


async def test_a_configuration_that_does_not_include_the_file_fails_the_check(nginxes: NginxWorld) -> None:
    (path,) = nginxes.files
    other = path.with_name("other.conf")
    other.write_text(path.read_text())
    route = Route.model_validate({**nginxes.route.model_dump(), "files": [str(other)]})
    checks = await nginxes.workers[0].check(route, [STABLE, CANARY], [10])
    assert ["includes none of route.files" in check.reason for check in checks if not check.ok] == [True, True]


class ByOption(Nginx):
    """One whose number of workers is told by ``-g``: ``nginx -T`` does not show it."""

    def prepare(self) -> list[str]:
        command = super().prepare()
        self.config.write_text(self.config.read_text().replace("worker_processes 1;", ""))
        return [*command[:-1], f"{command[-1]} worker_processes 2;"]


class OfTwo(Nginx):
    """One with two workers."""

    def _configuration(self) -> str:
        return super()._configuration().replace("worker_processes 1;", "worker_processes 2;")


@pytest.fixture
async def one_nginx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[NginxWorld]:
    """One nginx with two workers."""
    kind = getattr(request, "param", OfTwo)
    async with nginx_world(tmp_path, monkeypatch, files=1, proxies=1, kind=kind) as world:
        yield world


@pytest.mark.parametrize(("one_nginx", "number"), [(ByOption, 0), (OfTwo, 1), (OfTwo, 3)], indirect=["one_nginx"])
async def test_a_write_is_loaded_however_many_workers_its_configuration_speaks_of(
    one_nginx: NginxWorld, number: int
) -> None:
    world, (proxy,) = one_nginx, one_nginx.running.values()
    await world.workers[0].apply(world.route, HALF, 1)
    await confirmed(world, 1)
    # One that was just made is called a master still.
    async with asyncio.timeout(CONFIRM_WITHIN):
        while len(taking(proxy)) < 2:
            await asyncio.sleep(0.01)
    if number:
        number_of_workers(proxy, number)
    await world.workers[0].apply(world.route, FIRST, 2, restoring=True)
    await confirmed(world, 2)
    assert await shown(world) == live(FIRST)
    assert len(taking(proxy)) == (number or 2)


async def test_another_number_of_workers_after_a_reload_is_taken_as_it_is(one_nginx: NginxWorld) -> None:
    world, (proxy,) = one_nginx, one_nginx.running.values()
    await world.workers[0].apply(world.route, HALF, 1)
    number_of_workers(proxy, 4)
    os.kill(int(proxy.pid_file.read_text()), signal.SIGHUP)
    while len(taking(proxy)) != 4:
        await asyncio.sleep(0.01)
    assert (await world.workers[0].confirm(world.route, 1)).answer == "yes"
    assert await shown(world) == HALF


async def test_a_worker_that_died_and_was_replaced_is_of_the_same_reload(one_nginx: NginxWorld) -> None:
    world, (proxy,) = one_nginx, one_nginx.running.values()
    await world.workers[0].apply(world.route, HALF, 1)
    dead = min(taking(proxy))
    while time.clock_gettime(time.CLOCK_BOOTTIME) - started(dead) < 0.2:
        await asyncio.sleep(0.01)
    os.kill(dead, signal.SIGKILL)
    while dead in taking(proxy) or len(taking(proxy)) < 2:
        await asyncio.sleep(0.01)
    assert await shown(world) == HALF
    await world.workers[0].apply(world.route, FIRST, 2)
    assert (await world.workers[0].confirm(world.route, 2)).answer == "yes"


async def test_a_new_answer_is_not_believed_while_old_workers_take_connections(one_nginx: NginxWorld) -> None:
    world, (proxy,) = one_nginx, one_nginx.running.values()
    router, (path,) = NginxRouter(EVERY), world.files
    places = router.places(world.route)
    await router.apply(world.route, HALF, 1)
    for generation in range(2, 6):
        old = taking(proxy)
        document = NginxSplit(str(path), path.read_text(), "shop")
        document.set_weights(weight_units(FIRST if generation % 2 else HALF))
        document.stamp(generation)
        replace(path, document.render())
        os.kill(int(proxy.pid_file.read_text()), signal.SIGHUP)
        while (await router.shown(places, world.proxies[0])).generation < generation:
            pass
        assert not old & taking(proxy)


async def test_while_a_former_master_takes_connections_nothing_is_confirmed(nginxes: NginxWorld) -> None:
    await nginxes.workers[0].apply(nginxes.route, HALF, 1)
    await confirmed(nginxes, 1)
    upgraded, former = nginxes.running.values()
    oldbin = upgraded.pid_file.with_name(f"{upgraded.pid_file.name}.oldbin")
    replace(oldbin, former.pid_file.read_text(), create=True)
    answer = await nginxes.workers[0].confirm(nginxes.route, 1)
    assert answer.answer != "yes"
    assert "its former master" in str(answer)
    # One that was killed leaves its file.
    replace(oldbin, "999999999")
    await confirmed(nginxes, 1)


async def test_a_proxy_that_does_not_say_what_it_runs_is_reloaded_all_the_same(one_nginx: NginxWorld) -> None:
    world, (proxy,) = one_nginx, one_nginx.running.values()
    await world.workers[0].apply(world.route, HALF, 1)
    await told(proxy, 'return 200 "$shop_route"', "return 404")
    old = taking(proxy)
    state = await world.workers[0].apply(world.route, FIRST, 2, restoring=True)
    assert ["answered 404" in one.detail for one in state.proxies] == [True]
    while old & taking(proxy):
        await asyncio.sleep(0.01)
    await told(proxy, "return 404", 'return 200 "$shop_route"')
    await confirmed(world, 2)


async def test_a_rollback_reaches_all_while_the_test_of_a_configuration_hangs(
    nginxes: NginxWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await nginxes.workers[0].apply(nginxes.route, HALF, 1)
    await confirmed(nginxes, 1)
    hanging, real = tmp_path / "hanging", nginx_process._program
    hanging.write_text("#!/bin/sh\nexec sleep 600\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(
        nginx_process,
        "_program",
        lambda proxy: str(hanging) if proxy.status == nginxes.proxies[0] else real(proxy),
    )
    async with asyncio.timeout(CONFIRM_WITHIN):
        state = await nginxes.workers[0].apply(nginxes.route, FIRST, 2, restoring=True)
    assert f"took more than {nginx_process.TEST_PATIENCE:g} s" in "; ".join(one.detail for one in state.proxies)
    await confirmed(nginxes, 2)
    assert await shown(nginxes) == live(FIRST)


async def test_a_test_that_hangs_once_the_file_is_written_keeps_no_proxy_from_its_reload(
    nginxes: NginxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hangs(proxy: NginxProxy) -> str:
        raise nginx_process.Untested(f"{proxy.status}: hangs")

    monkeypatch.setattr(nginx, "configuration_problem", hangs)
    await nginxes.workers[0].apply(nginxes.route, HALF, 1)
    await confirmed(nginxes, 1)


async def test_an_nginx_that_the_worker_may_not_signal_fails_the_check(
    one_nginx: NginxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file can be written, and nobody would load it."""

    def refuse(pid: int, number: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with monkeypatch.context() as foreign:
        foreign.setattr(os, "kill", refuse)
        checks = await one_nginx.workers[0].check(one_nginx.route, [STABLE, CANARY], [10])
    assert "cannot signal nginx" in "; ".join(check.reason for check in checks if not check.ok)


@pytest.mark.parametrize(
    ("directive", "told"),
    [
        ("", True),
        ("keepalive_timeout 75s;", True),
        ("# keepalive_timeout 0;", True),
        ("keepalive_timeout 0;", False),
        ("keepalive_timeout 0s;", False),
    ],
)
async def test_requests_that_a_reload_may_lose_are_told_beforehand(
    one_nginx: NginxWorld, directive: str, told: bool
) -> None:
    """It is no fault of the route, and nothing is refused for it."""
    (proxy,) = one_nginx.running.values()
    text = await asyncio.to_thread(proxy.config.read_text)
    await asyncio.to_thread(proxy.config.write_text, text.replace("access_log off;", f"access_log off; {directive}\n"))
    checks = await one_nginx.workers[0].check(one_nginx.route, [STABLE, CANARY], [10])
    assert [check for check in checks if not check.ok] == []
    assert any(nginx_process.LOSES_REQUESTS in check.reason for check in checks) is told


def test_a_folder_in_which_no_turn_can_be_taken_is_named(tmp_path: Path) -> None:
    proxy = NginxProxy(status="http://127.0.0.1:9/", config="/nginx.conf", pid=str(tmp_path / "gone" / "nginx.pid"))
    assert f"cannot write beside {proxy.pid}" in reload_problem(proxy)


async def test_a_proxy_that_answers_and_not_with_its_route_fails_the_check(one_nginx: NginxWorld) -> None:
    world, (proxy,) = one_nginx, one_nginx.running.values()
    await told(proxy, 'return 200 "$shop_route"', 'return 200 "hello world"')
    said = ""
    # A connection that an old process has taken just before is answered by it.
    async with asyncio.timeout(60):
        while not said:
            try:
                await world.workers[0].read(world.route)
            except RouterUnreachable as error:
                said = str(error)
    assert "answered 'hello world', not what $shop_route holds" in said
    checks = await world.workers[0].check(world.route, [STABLE, CANARY], [10])
    (wrong,) = [check for check in checks if not check.ok]
    assert wrong.name == "proxy"
    assert wrong.reason == f"{world.proxies[0]}: answered 'hello world', not what $shop_route holds"


async def told(proxy: Nginx, before: str, after: str) -> None:
    """Change its configuration and have it run that."""
    old = taking(proxy)
    text = proxy.config.read_text()
    assert before in text
    proxy.config.write_text(text.replace(before, after))
    os.kill(int(proxy.pid_file.read_text()), signal.SIGHUP)
    while old & taking(proxy) or not taking(proxy):
        await asyncio.sleep(0.01)


def number_of_workers(proxy: Nginx, number: int) -> None:
    """Say another one in the file, and nothing to nginx."""
    proxy.config.write_text(re.sub("worker_processes [0-9]+;", f"worker_processes {number};", proxy.config.read_text()))


def taking(proxy: Nginx) -> set[int]:
    """The worker processes that take new connections."""
    master = proxy.pid_file.read_text().strip()
    found = set()
    for child in Path(f"/proc/{master}/task/{master}/children").read_text().split():
        with suppress(OSError):
            if Path(f"/proc/{child}/cmdline").read_bytes().rstrip(b"\0 ") == b"nginx: worker process":
                found.add(int(child))
    return found


def test_a_program_that_takes_no_configuration_is_named(tmp_path: Path) -> None:
    proxy = NginxProxy.model_validate({"status": "http://127.0.0.1:1/x", "config": str(tmp_path / "none.conf")})
    with pytest.raises(Silent, match=r"none\.conf"):
        configuration(proxy)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"files": ["/a.conf"]}, r"route\.proxies"),
        ({"files": ["a.conf"], "proxies": [{"status": "http://a/b"}]}, r"route\.files\.0.*whole path"),
        ({"files": ["/a.conf"], "proxies": [{"status": "nonsense"}]}, r"route\.proxies\.0\.status"),
        ({"files": ["/a.conf"], "proxies": [{"status": "http://a/b", "port": 1}]}, r"route\.proxies\.0\.port"),
        ({"files": ["/a.conf"], "proxies": [{"status": "http://a/b"}] * 2}, r"route\.proxies.*listed twice"),
    ],
)
async def test_wrong_keys_of_the_route_are_named(options: dict[str, object], word: str) -> None:
    with pytest.raises(RouteRejected, match=word):
        await NginxRouter().read(Route.model_validate({"router": "nginx", "name": "shop", **options}))
