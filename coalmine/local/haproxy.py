"""A real HAProxy as a child process, configured as docs/haproxy.md asks of users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from coalmine.local.daemon import Daemon, answers, program


class HAProxy(Daemon):
    """``async with HAProxy(folder, {"shop": map_file}, backends) as proxy: proxy.url("shop"), proxy.socket``."""

    name = "haproxy"

    def __init__(
        self,
        folder: Path,
        maps: Mapping[str, Path],
        backends: Mapping[str, Sequence[str]],
        *,
        socket: Path | None = None,
        threads: int = 1,
        check: bool = False,
        metrics: bool = False,
    ) -> None:
        """A frontend on a free port for each map, by route; ``backends`` are ``host:port`` by name.

        The stats socket is TCP unless a path is given. With ``check`` HAProxy tries its servers itself,
        with ``metrics`` its exporter for Prometheus answers too.
        """
        super().__init__(folder, 1 + len(maps) + metrics)
        self._maps = dict(maps)
        self._backends = dict(backends)
        self._unix = socket
        self._threads = threads
        self._check = check
        self._metrics = metrics

    @property
    def socket(self) -> str:
        """What ``route.sockets`` calls it."""
        return str(self._unix) if self._unix else f"127.0.0.1:{self.ports[0]}"

    def url(self, route: str) -> str:
        """Where the route takes requests."""
        return f"http://127.0.0.1:{self._port(route)}"

    @property
    def exporter(self) -> str:
        """Where Prometheus scrapes it, ``host:port``."""
        return f"127.0.0.1:{self.ports[-1]}"

    def prepare(self) -> list[str]:
        """The configuration, and HAProxy in the foreground."""
        file = self.folder / "haproxy.cfg"
        file.write_text(self._configuration())
        return [program("haproxy"), "-db", "-f", str(file)]

    @property
    def bound(self) -> Sequence[int]:
        """All but the first where its stats socket is a file."""
        return self.ports if self._unix is None else self.ports[1:]

    async def is_ready(self) -> bool:
        """All its ports answer."""
        return all([await answers(port) for port in self.bound])

    def _port(self, route: str) -> int:
        return self.ports[1 + list(self._maps).index(route)]

    def _configuration(self) -> str:
        address = str(self._unix) if self._unix else f"ipv4@127.0.0.1:{self.ports[0]}"
        lines = [
            "global",
            # Two proxies on one port must be an error, not a silent share.
            "  noreuseport",
            f"  nbthread {self._threads}",
            f"  stats socket {address} level operator",
            "defaults",
            "  mode http",
            *("  timeout connect 1s", "  timeout client 10s", "  timeout server 10s"),
        ]
        for route, path in self._maps.items():
            lines += [
                f"frontend {route}",
                f"  bind 127.0.0.1:{self._port(route)}",
                f"  use_backend %[rand(10000),map_int({path})]",
            ]
        for name, endpoints in self._backends.items():
            check = " check inter 200ms" if self._check else ""
            servers = [f"  server s{number} {endpoint}{check}" for number, endpoint in enumerate(endpoints)]
            lines += [f"backend {name}", *servers]
        if self._metrics:
            lines += [
                "frontend metrics",
                f"  bind {self.exporter}",
                "  http-request use-service prometheus-exporter if { path /metrics }",
            ]
        return "\n".join(lines) + "\n"
