"""Open-loop load: every request is due at a fixed time, whether or not earlier ones came back.

A generator that waits for answers stops asking exactly while the service is slow, and so hides its slowness. Here the
times are fixed beforehand and a latency counts from when its request was due, so a stall of two seconds shows in every
request that was due within it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp
from temporalio import activity

from activities.failures import translate_errors
from activities.latency_histogram import LatencyHistogram
from coalmine.errors import InputError
from coalmine.records import GENERATE_LOAD, LoadReport, LoadRequest

MAX_RATE = 5_000.0
"""Requests per second."""
MAX_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class LoadSecond:
    """Totals so far, once a second. ``seconds`` since the start; ``p99`` of all latencies so far, in seconds."""

    seconds: int
    sent: int
    ok: int
    failed: int
    in_flight: int
    p99: float


OnSecond = Callable[[LoadSecond], None]


@activity.defn(name=GENERATE_LOAD.name)
async def generate_load(request: LoadRequest) -> LoadReport:
    """Run the load as an activity. It beats every second; a cancelled or repeated attempt starts over.

    Raises:
        ApplicationError: ``InputError``, for good.
    """

    def beat(second: LoadSecond) -> None:
        activity.heartbeat({"seconds": second.seconds, "sent": second.sent, "failed": second.failed})

    with translate_errors():
        return await run_load(request, on_second=beat)


async def run_load(
    request: LoadRequest, *, until: asyncio.Event | None = None, on_second: OnSecond | None = None
) -> LoadReport:
    """Send the load, then wait for what is still open (at most the request's own timeout).

    Args:
        request: Where, how many a second, how long.
        until: Set it to stop sending before ``duration`` is over.
        on_second: Called about once a second with the totals so far; must not block.

    Raises:
        InputError: the request cannot be carried out; the message names the field.
    """
    check_load(request)
    run = _Run(request)
    timeout = aiohttp.ClientTimeout(total=request.timeout.total_seconds())
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=request.headers,
        timeout=timeout,
        auto_decompress=False,
    ) as session:
        # A request that a closed connection lost is lost: sent again by itself, nobody would hear of it.
        session._retry_connection = False
        ticker = asyncio.create_task(run.tick(on_second)) if on_second else None
        try:
            await run.send_all(session, until or asyncio.Event())
        finally:
            if ticker is not None:
                ticker.cancel()
            await run.finish()
    return run.report()


def check_load(request: LoadRequest) -> None:
    """Refuse what cannot be sent.

    Raises:
        InputError: names the field, the value and the mend.
    """
    parts = urlsplit(request.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(
            f"url: {request.url!r} is no http(s) URL: write scheme and host, such as http://127.0.0.1:8080/"
        )
    if not 0 < request.rate <= MAX_RATE:
        raise InputError(f"rate: {request.rate:g} is not above 0 and at most {MAX_RATE:g} requests per second")
    seconds = request.duration.total_seconds()
    if not 0 < seconds <= MAX_SECONDS:
        raise InputError(f"duration: {seconds:g} s is not above 0 and at most {MAX_SECONDS / 3600:g} h")
    if request.max_in_flight < 1:
        raise InputError(f"max_in_flight: {request.max_in_flight} is not at least 1")
    if request.timeout.total_seconds() <= 0:
        raise InputError("timeout: must be above 0")


def due_times(request: LoadRequest) -> Iterator[float]:
    """When each request is due, in seconds from the start, up to the duration; the same for the same request."""
    end = request.duration.total_seconds()
    if request.arrivals == "uniform":
        for number in range(round(end * request.rate)):
            yield number / request.rate
        return
    draw = random.Random(request.seed)
    due = draw.expovariate(request.rate)
    while due < end:
        yield due
        due += draw.expovariate(request.rate)


@dataclass
class _Run:
    request: LoadRequest
    sent: int = 0
    ok: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    latencies: LatencyHistogram = field(default_factory=LatencyHistogram)
    max_late: float = 0.0
    began: float = 0.0
    seconds: float = 0.0
    open: set[asyncio.Task[None]] = field(default_factory=set)

    async def send_all(self, session: aiohttp.ClientSession, until: asyncio.Event) -> None:
        """Start every request when it is due; those that came due while the loop was busy start at once."""
        loop = asyncio.get_running_loop()
        stopped = asyncio.create_task(until.wait())
        self.began = loop.time()
        try:
            for after in due_times(self.request):
                due = self.began + after
                wait = due - loop.time()
                if wait > 0:
                    await asyncio.wait((stopped,), timeout=wait)
                if stopped.done():
                    break
                self._start(session, due, loop)
            else:
                left = self.began + self.request.duration.total_seconds() - loop.time()
                await asyncio.wait((stopped,), timeout=max(0.0, left))
        finally:
            stopped.cancel()
            self.seconds = loop.time() - self.began

    def _start(self, session: aiohttp.ClientSession, due: float, loop: asyncio.AbstractEventLoop) -> None:
        self.sent += 1
        self.max_late = max(self.max_late, loop.time() - due)
        if len(self.open) >= self.request.max_in_flight:
            self.errors["too many in flight"] += 1
            return
        task = loop.create_task(self._ask(session, due, loop))
        self.open.add(task)
        task.add_done_callback(self.open.discard)

    async def _ask(self, session: aiohttp.ClientSession, due: float, loop: asyncio.AbstractEventLoop) -> None:
        try:
            async with session.get(self.request.url, allow_redirects=False) as response:
                await response.read()
        except TimeoutError:
            self.errors["timeout"] += 1
        except (aiohttp.ClientError, OSError) as error:
            self.errors[type(error).__name__] += 1
        else:
            self.statuses[response.status] += 1
            self.ok += response.status < 400
        self.latencies.add(loop.time() - due)

    async def finish(self) -> None:
        """Wait for what is open; each request has its own time-out."""
        try:
            while self.open:
                await asyncio.wait(self.open)
        finally:
            for task in self.open:
                task.cancel()

    async def tick(self, on_second: OnSecond) -> None:
        """Tell the totals once a second."""
        second = 0
        while True:
            await asyncio.sleep(1)
            second += 1
            failed = self.latencies.count - self.ok + self.errors["too many in flight"]
            on_second(LoadSecond(second, self.sent, self.ok, failed, len(self.open), self.latencies.percentile(0.99)))

    def report(self) -> LoadReport:
        """What was seen."""
        latencies = self.latencies
        return LoadReport(
            sent=self.sent,
            ok=self.ok,
            failed=self.sent - self.ok,
            statuses={str(status): count for status, count in sorted(self.statuses.items())},
            errors=dict(self.errors),
            p50=latencies.percentile(0.5),
            p90=latencies.percentile(0.9),
            p99=latencies.percentile(0.99),
            max=latencies.maximum,
            max_sched_late=self.max_late,
            seconds=self.seconds,
        )
