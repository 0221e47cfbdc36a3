"""The faults: each begins, lasts a while, and ends; what it broke is whole again afterwards."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.routers.locked_files import locked
from coalmine.testing.fake_prometheus import FakeAnswer
from tests.faults.by_hand import route_by_hand
from tests.faults.holding import frozen_proxy
from tests.faults.plan import TooLate
from tests.faults.resetting import reset
from tests.faults.told import Told
from tests.faults.witness import stopped

if TYPE_CHECKING:
    from tests.faults.act import Act


Fault = Callable[["Act"], Awaitable[None]]
LASTS = 2.5
"""Seconds; longer than the heartbeat timeout of a route write (2 s)."""


async def kill_one(act: Act) -> None:
    """SIGKILL of one worker."""
    await act.scene.replace_workers(1)


async def kill_all(act: Act) -> None:
    """SIGKILL of every worker at once."""
    await act.scene.replace_workers(2)


async def drain_one(act: Act) -> None:
    """SIGTERM of one worker, as a deployment does."""
    await act.scene.replace_workers(1, kill=False)


async def stop_one(act: Act) -> None:
    """SIGSTOP of one worker for longer than its time-outs, then SIGCONT: a zombie wakes up."""
    async with act.scene.hands:
        with stopped(act.scene.workers[act.chance.randrange(2)].pid):
            await asyncio.sleep(LASTS)


async def stop_all(act: Act) -> None:
    """SIGSTOP of every worker."""
    async with act.scene.hands:
        with stopped(act.scene.workers[0].pid), stopped(act.scene.workers[1].pid):
            await asyncio.sleep(LASTS)


async def disk_full(act: Act) -> None:
    """No worker can write a byte into any file: neither ledger nor routes."""
    async with act.scene.hands:
        limits: dict[int, tuple[int, int]] = {}
        try:
            for worker in act.scene.workers:
                # One that could not start, as where the server is down, has ended by itself.
                with suppress(ProcessLookupError):
                    _, hard = limits[worker.pid] = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
                    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (0, hard))
            await asyncio.sleep(LASTS)
        finally:
            for pid, limit in limits.items():
                with suppress(ProcessLookupError):
                    resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)


async def envoy_unreachable(act: Act) -> None:
    """One proxy of the route does not answer."""
    await _freeze(act, LASTS)


async def envoy_lagging(act: Act) -> None:
    """One proxy of the route answers in fits."""
    for _ in range(6):
        await _freeze(act, 0.35)
        await asyncio.sleep(0.1)


async def _freeze(act: Act, seconds: float) -> None:
    async with frozen_proxy(act):
        await asyncio.sleep(seconds)


async def envoy_restart(act: Act) -> None:
    """SIGKILL of one proxy; it comes back a little later on the same ports."""
    envoy, number = act.envoys[-1], len(act.envoys) - 1
    async with act.last_proxy:
        assert envoy.pid is not None
        act.deaf.add(number)
        os.kill(envoy.pid, signal.SIGKILL)
        await envoy.stop()
        await asyncio.sleep(0.5)
        await envoy.start()
        act.deaf.discard(number)


async def temporal_restart(act: Act) -> None:
    """SIGTERM of the Temporal server; it comes back with what it has on disk."""
    async with act.scene.hands:
        await act.scene.ground.restart_temporal(signal.SIGTERM, 0.5)


async def temporal_kill(act: Act) -> None:
    """SIGKILL of the Temporal server, in the middle of whatever it writes."""
    async with act.scene.hands:
        await act.scene.ground.restart_temporal(signal.SIGKILL, LASTS)


def _metrics(answer: Callable[[], FakeAnswer | None]) -> Fault:
    async def fault(act: Act) -> None:
        act.scene.answers[act.route] = answer
        await asyncio.sleep(LASTS)
        act.scene.answers.pop(act.route, None)

    return fault


def _slow() -> None:
    time.sleep(2)


def _empty() -> FakeAnswer:
    body = b'{"status":"success","data":{"resultType":"matrix","result":[]}}'
    return FakeAnswer(200, body, {"Content-Type": "application/json"})


async def metrics_gap(act: Act) -> None:
    """The samples of the last seconds are gone."""
    for series in act.scene.metrics.routes[act.route].series.values():
        del series.samples[-10:]


async def metrics_nan(act: Act) -> None:
    """A sample is not a number."""
    for series in act.scene.metrics.routes[act.route].series.values():
        series.samples[-1] = (series.samples[-1][0], "NaN")


async def metrics_reset(act: Act) -> None:
    """Every counter begins at nothing again."""
    counters = act.scene.metrics.routes[act.route].counters
    for key in counters:
        counters[key] = 0.0


async def metrics_time_jump(act: Act) -> None:
    """The store's clock is a minute ahead."""
    clock = act.scene.metrics.server.clock
    act.scene.metrics.server.clock = lambda: time.time() + 60
    await asyncio.sleep(LASTS)
    act.scene.metrics.server.clock = clock if clock is time.time else time.time


async def webhook_hanging(act: Act) -> None:
    """Whoever is told of this rollout takes the message and does not answer."""
    act.scene.hung.add(act.route)
    await asyncio.sleep(LASTS)
    act.scene.hung.discard(act.route)


async def webhooks_all_hanging(act: Act) -> None:
    """So does everybody who is told of any rollout."""
    act.scene.hung |= set(act.scene.ground.routes)
    await asyncio.sleep(LASTS)
    act.scene.hung.clear()


async def cancel(act: Act) -> None:
    """The workflow is cancelled."""
    await act.handle.cancel()


async def terminate(act: Act) -> None:
    """The workflow is terminated: no code of ours runs any more."""
    await act.handle.terminate("fault")


async def workflow_reset(act: Act) -> None:
    """The workflow is reset to any of its tasks, often the first or one of the last: a second run takes over."""
    request_id = f"{act.handle.id}-{act.chance.getrandbits(64)}"
    await reset(act.scene.ground.client, act.handle, lambda done: _task_to(act.chance, done), request_id)


def _task_to(chance: Random, done: Sequence[int]) -> int:
    return chance.choice([done[0], *done[-3:]]) if chance.random() < 0.5 else chance.choice(done)


async def two_deciders(act: Act) -> None:
    """One approves and one takes back, at the same instant."""
    act.approved = True
    await asyncio.gather(
        act.handle.signal("approve", {"by": "bo", "gate": "step-2"}),
        act.handle.signal("rollback", {"by": "ana", "reason": "fault"}),
    )


async def garbage_signals(act: Act) -> None:
    """What no decoder expects."""
    odd: tuple[Any, ...] = (
        None,
        7,
        "x" * 2000,
        [[]],
        {"by": {"a": 1}},
        {"by": "", "gate": 3},
        {"by": "x", "odd": None},
    )
    for name in ("approve", "rollback", "extend", "aprove", "promote"):
        for garbage in odd:
            await act.handle.signal(name, garbage)


async def stale_approvals(act: Act) -> None:
    """Approvals of other gates and other attempts, many times: none may open anything."""
    for attempt in (2, 3, 99):
        for _ in range(5):
            await act.handle.signal("approve", {"by": "bo", "gate": "step-2", "attempt": attempt})
            await act.handle.signal("approve", {"by": "bo", "gate": "step-1"})
    await asyncio.sleep(LASTS)


async def second_start(act: Act) -> None:
    """Somebody starts another version of the same service under the same id."""
    try:
        await act.start("9.9.9")
    except WorkflowAlreadyStartedError:
        return
    act.wrong.append("I6: a second start of an open rollout was taken")


async def zombie_write(act: Act) -> None:
    """A worker is frozen right before its write, the rollout taken back by another, the first one woken."""
    await _zombie(act, after_reset=False)


async def zombie_after_reset(act: Act) -> None:
    """The same, and the workflow was reset in between."""
    await _zombie(act, after_reset=True)


async def _zombie(act: Act, *, after_reset: bool) -> None:
    files = [envoy.route_file.resolve() for envoy in act.envoys]
    lock = files[0].with_name(f".{files[0].name}.coalmine-lock")
    async with act.scene.hands:
        with locked(files):
            await act.allow_next_step()
            waiting = None
            for _ in range(400):
                waiting = next((one for one in act.scene.workers if _has_open(one.pid, lock)), None)
                if waiting is not None or await act.is_closed():
                    break
                await asyncio.sleep(0.02)
            if waiting is None:
                raise TooLate  # No write was on its way: nobody could be frozen in one.
            freeze = stopped(waiting.pid)
            freeze.__enter__()
        try:
            stuck = max(Told([await act.handle.fetch_history()]).generations, default=0)
            if after_reset:
                await workflow_reset(act)
            await act.handle.signal("rollback", {"by": "ana", "reason": "fault"})
            # The canary at nothing says little: the write that is stuck may be the first. Woken before the way back is
            # written, nobody would be a zombie.
            await act.until_taken_back(stuck, 40)
        finally:
            freeze.__exit__(None, None, None)
        # On a busy machine it is a while before who was woken writes, or is refused.
        for _ in range(500):
            if not _has_open(waiting.pid, lock):
                break
            await asyncio.sleep(0.02)
        await asyncio.sleep(1)


def _has_open(pid: int, path: Any) -> bool:
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{descriptor}") == str(path):
                return True
        except FileNotFoundError:
            continue
    return False


CATALOGUE: Mapping[str, Fault] = {
    "worker-kill": kill_one,
    "workers-kill-all": kill_all,
    "worker-drain": drain_one,
    "worker-stop": stop_one,
    "workers-stop-all": stop_all,
    "disk-full": disk_full,
    "envoy-unreachable": envoy_unreachable,
    "envoy-lagging": envoy_lagging,
    "envoy-restart": envoy_restart,
    "temporal-restart": temporal_restart,
    "temporal-kill": temporal_kill,
    "metrics-down": _metrics(lambda: FakeAnswer(503, b"down")),
    "metrics-slow": _metrics(_slow),
    "metrics-empty": _metrics(_empty),
    "metrics-garbage": _metrics(lambda: FakeAnswer(200, b"<html>")),
    "metrics-gap": metrics_gap,
    "metrics-nan": metrics_nan,
    "metrics-counter-reset": metrics_reset,
    "metrics-time-jump": metrics_time_jump,
    "webhook-hanging": webhook_hanging,
    "webhooks-all-hanging": webhooks_all_hanging,
    "workflow-cancel": cancel,
    "workflow-terminate": terminate,
    "workflow-reset": workflow_reset,
    "two-deciders": two_deciders,
    "garbage-signals": garbage_signals,
    "stale-approvals": stale_approvals,
    "second-start": second_start,
    "route-by-hand": route_by_hand,
    "zombie-write": zombie_write,
    "zombie-after-reset": zombie_after_reset,
}
