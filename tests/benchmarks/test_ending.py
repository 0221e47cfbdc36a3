"""A benchmark that is ended, or whose proxy never gets there, ends what it started."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks import flag_change, proxy_shifts
from benchmarks.proxy_shifts import GaveUp, Plane, measure
from coalmine.records import Capabilities, Confirmation, RouteState, Weights
from coalmine.spec.canary import Route
from coalmine.testing.fake_router import FakeRouter
from tests.benchmarks.descendants import Process, descendants

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def benchmark(folder: Path, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """``python -m benchmarks`` as a terminal starts it; the signal goes to the first process alone."""
    with (folder / "said").open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks", *words),
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(folder)},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    left: list[Process] = []
    try:
        yield process
    finally:
        left += descendants(process.pid)
        if process.returncode is None:
            process.kill()
            await process.wait()
        for one in left:
            one.kill()


async def until_they_run(process: asyncio.subprocess.Process, wanted: Sequence[str]) -> list[Process]:
    while True:
        running = descendants(process.pid)
        if all(any(want in one.command for one in running) for want in wanted):
            return running
        assert process.returncode is None
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["proxy_shifts", "--only", "haproxy"], ["haproxy", "envoy_shift --load"]),
        (["flag_change"], ["shop.py"]),
        (["rollback_latency"], ["temporal", "envoy", "-m worker"]),
    ],
)
async def test_a_benchmark_that_is_ended_leaves_nothing_running(
    words: list[str], wanted: list[str], which: signal.Signals, tmp_path: Path
) -> None:
    async with benchmark(tmp_path, *words) as process:
        running = await until_they_run(process, wanted)
        process.send_signal(which)
        code = await process.wait()
        assert [one for one in running if one.runs] == []
    assert code == 128 + which
    assert f"ended by {which.name}" in (tmp_path / "said").read_text()
    assert os.listdir(tmp_path) == ["said"]


class NeverThere(FakeRouter):
    """Takes everything, and shows nothing."""

    able = Capabilities(fencing="strict", granularity=0.01, tested_against="nothing")

    async def confirm(self, route: Route, generation: int, backends: Sequence[str] = ()) -> Confirmation:
        return Confirmation(answer="no", reason="the proxy is asleep")


async def test_a_change_that_is_never_confirmed_fails_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @asynccontextmanager
    async def asleep(folder: Path, backends: object) -> AsyncIterator[Plane]:
        router = NeverThere({"stable": 100, "canary": 0})
        yield Plane(router, Route.model_validate({"router": "asleep", "name": "shop"}), "http://127.0.0.1:9")

    monkeypatch.setitem(proxy_shifts.PLANES, "asleep", asleep)
    monkeypatch.setattr(proxy_shifts, "CONFIRMED_WITHIN", 0.1)
    with pytest.raises(GaveUp, match=r"change 1, .* not confirmed within 0\.1 s.*the proxy is asleep"):
        await measure("asleep", tmp_path, rate=5, changes=3)
    assert descendants(os.getpid(), "--load") == []


class Missing(FakeRouter):
    """Its proxy misses a write, until that is repeated."""

    writes = 0

    async def apply(self, route: Route, weights: Weights, generation: int, *, restoring: bool = False) -> RouteState:
        self.writes += 1
        return await super().apply(route, weights, generation, restoring=restoring)

    async def confirm(self, route: Route, generation: int, backends: Sequence[str] = ()) -> Confirmation:
        return Confirmation(answer="yes" if self.writes > 1 else "no", reason="" if self.writes > 1 else "missed it")


async def test_a_change_that_a_proxy_missed_is_written_again_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_shifts, "REPEATED_AFTER", 0.01)
    route = Route.model_validate({"router": "fake", "name": "shop"})
    plane = Plane(Missing({"stable": 100, "canary": 0}), route, "http://127.0.0.1:9")
    await proxy_shifts._change(plane, 10.0, 1)
    assert plane.repeats == [1]


async def test_an_app_that_does_not_start_is_told_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "flags.json").write_text("{}")
    (tmp_path / "shop.py").write_text("raise SystemExit(3)")
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(flag_change, "EXAMPLE", tmp_path)
    with pytest.raises(flag_change.Ended, match="ended with 3"):
        await flag_change.measured(tmp_path / "run")
