"""The demo service: one version of it on one port, with faults that follow a seeded schedule.

Plain asyncio, no framework: it must carry hundreds of requests a second on a machine that also runs Temporal, Envoy,
Prometheus and the load. ``GET /metrics`` is Prometheus' text format, ``GET /stats`` what it served, as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import json
import math
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

BOUNDS = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 1.0, 2.5)
"""Upper bounds of the latency histogram, in seconds."""
LONGEST = 5.0
"""Seconds; no response takes longer, however unlucky the draw."""


@dataclass(frozen=True)
class Behaviour:
    """How a version behaves from some moment on.

    Latencies are lognormal about ``median`` (seconds) with ``sigma`` (of the logarithm); ``errors`` is the share of
    responses that are 500.
    """

    after: float = 0.0
    """Seconds since the start."""
    errors: float = 0.02
    median: float = 0.05
    sigma: float = 0.47

    def p99(self) -> float:
        """The 99th percentile of its latency, in seconds."""
        return self.median * math.exp(2.326 * self.sigma)


def with_p99(behaviour: Behaviour, factor: float) -> Behaviour:
    """The same median, but a 99th percentile that is ``factor`` times as long."""
    return Behaviour(behaviour.after, behaviour.errors, behaviour.median, behaviour.sigma + math.log(factor) / 2.326)


class Faults:
    """Draws a status and a latency for each request: the same seed and schedule give the same sequence."""

    def __init__(self, seed: int, schedule: Sequence[Behaviour]) -> None:
        if not schedule:
            raise ValueError("a schedule needs at least one behaviour")
        self._schedule = sorted(schedule, key=lambda behaviour: behaviour.after)
        self._random = random.Random(seed)

    def at(self, elapsed: float) -> Behaviour:
        """The behaviour that holds ``elapsed`` seconds after the start."""
        index = bisect.bisect_right([behaviour.after for behaviour in self._schedule], elapsed)
        return self._schedule[max(0, index - 1)]

    def draw(self, elapsed: float) -> tuple[int, float]:
        """The next request's status and its latency in seconds."""
        behaviour = self.at(elapsed)
        status = 500 if self._random.random() < behaviour.errors else 200
        return status, min(self._random.lognormvariate(math.log(behaviour.median), behaviour.sigma), LONGEST)


@dataclass
class Tally:
    """What was served. ``first_bad`` is when the first bad response went out (a 500, or slower than ``slow``)."""

    version: str
    slow: float = LONGEST
    codes: dict[int, int] = field(default_factory=lambda: {200: 0, 500: 0})
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0
    first: float | None = None
    first_bad: float | None = None

    def count(self, status: int, seconds: float) -> None:
        """Note one response."""
        now = time.time()
        self.first = self.first or now
        if status >= 500 or seconds > self.slow:
            self.first_bad = self.first_bad or now
        self.codes[status] = self.codes.get(status, 0) + 1
        self.buckets[bisect.bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds

    def stats(self) -> dict[str, object]:
        """For people and for the demo's table."""
        return {
            "version": self.version,
            "requests": sum(self.codes.values()),
            "codes": {str(code): count for code, count in self.codes.items()},
            "first": self.first,
            "first_bad": self.first_bad,
        }

    def exposition(self) -> str:
        """Prometheus' text format."""
        label = f'version="{self.version}"'
        lines = ["# TYPE http_requests_total counter"]
        lines += [f'http_requests_total{{{label},code="{code}"}} {count}' for code, count in self.codes.items()]
        lines.append("# TYPE http_request_duration_seconds histogram")
        bounds = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
        for bound, count in zip(bounds, accumulate(self.buckets), strict=True):
            lines.append(f'http_request_duration_seconds_bucket{{{label},le="{bound}"}} {count}')
        lines.append(f"http_request_duration_seconds_sum{{{label}}} {self.seconds:.6f}")
        lines.append(f"http_request_duration_seconds_count{{{label}}} {sum(self.buckets)}")
        return "\n".join(lines) + "\n"


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests have no bodies and are answered in order."""

    def __init__(self, service: DemoService) -> None:
        self._service = service
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._service.open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        if self._transport is not None:
            self._service.open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
            path = head.split(b" ", 2)[1] if head.count(b" ") >= 2 else b"/"
            self._answer(path)

    def _answer(self, path: bytes) -> None:
        if path == b"/metrics":
            self._send(200, self._service.tally.exposition().encode(), b"text/plain; version=0.0.4")
        elif path == b"/stats":
            self._send(200, json.dumps(self._service.tally.stats()).encode(), b"application/json")
        else:
            status, seconds = self._service.draw()
            asyncio.get_running_loop().call_later(seconds, self._served, status, seconds)

    def _served(self, status: int, seconds: float) -> None:
        self._service.tally.count(status, seconds)
        self._send(status, self._service.body, b"text/plain")

    def _send(self, status: int, body: bytes, kind: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        reason = b"OK" if status < 500 else b"Internal Server Error"
        head = b"HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n" % (status, reason, kind, len(body))
        self._transport.write(head + body)


class DemoService:
    """One version."""

    def __init__(self, version: str, seed: int, schedule: Sequence[Behaviour], slow: float) -> None:
        self.tally = Tally(version, slow)
        self.body = f"{version}\n".encode()
        self.open: set[asyncio.Transport] = set()
        """Connections; closed with the service, because a proxy keeps its own for ever."""
        self._faults = Faults(seed, schedule)
        self._began = time.monotonic()

    def draw(self) -> tuple[int, float]:
        """What the next request gets."""
        return self._faults.draw(time.monotonic() - self._began)

    async def serve(self, port: int, stop: asyncio.Event) -> None:
        """Serve until told to stop."""
        server = await asyncio.get_running_loop().create_server(lambda: Connection(self), "127.0.0.1", port)
        async with server:
            await stop.wait()
            for transport in list(self.open):
                transport.abort()


def main() -> None:
    """``python -m coalmine.local.demo_service --port 8081 --version 1.0.0 --schedule '[{"errors": 0.02}]'``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--slow", type=float, default=LONGEST, help="seconds above which a response counts as bad")
    parser.add_argument("--schedule", default="[{}]", help="JSON list of behaviours: after, errors, median, sigma")
    asked = parser.parse_args()
    schedule = [Behaviour(**behaviour) for behaviour in json.loads(asked.schedule)]
    asyncio.run(_run(DemoService(asked.version, asked.seed, schedule, asked.slow), asked.port))


async def _run(service: DemoService, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await service.serve(port, stop)


if __name__ == "__main__":
    main()
