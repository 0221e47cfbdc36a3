"""A real Prometheus as a child process, on a free port, with nothing outside its own folder."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coalmine.errors import CoalmineError
from coalmine.local.child import Child

_LISTENING = re.compile(r"address=[^\s]*?:(\d+)\b")


class PrometheusUnavailable(CoalmineError):
    """Raised when Prometheus is not installed, or does not come up; says what its log said."""


@dataclass(frozen=True)
class ScrapeJob:
    """One scrape job: ``targets`` are ``host:port``; ``labels`` are put on all their series."""

    name: str
    targets: Sequence[str]
    path: str = "/metrics"
    labels: Mapping[str, str] = field(default_factory=dict)


class PrometheusServer(Child):
    """``async with PrometheusServer(folder, jobs) as prometheus: prometheus.url``."""

    name = "prometheus"
    unavailable = PrometheusUnavailable

    def __init__(
        self,
        folder: Path,
        jobs: Sequence[ScrapeJob] = (),
        *,
        scrape: float = 1.0,
        port: int = 0,
        retention: str = "2d",
        web_config: Path | None = None,
        features: Sequence[str] = (),
    ) -> None:
        """Keep data, configuration and log under ``folder``; ``scrape`` in seconds; port 0 = any free one.

        ``web_config`` is Prometheus' own file for TLS and basic authentication; ``features`` are those of its that are
        off unless named, such as ``exemplar-storage``.
        """
        super().__init__(folder)
        self.port = port
        self._jobs = tuple(jobs)
        self._scrape = scrape
        self._retention = retention
        self._web_config = web_config
        self._features = tuple(features)
        self._skip = 0
        """Bytes of the log that an earlier run wrote."""

    @property
    def url(self) -> str:
        """Its address, once started."""
        scheme = (
            "https" if self._web_config is not None and "tls_server_config" in self._web_config.read_text() else "http"
        )
        return f"{scheme}://127.0.0.1:{self.port}"

    def prepare(self) -> list[str]:
        """Write the configuration, and return the command that runs it in the foreground.

        Raises:
            PrometheusUnavailable: not installed.
        """
        program = shutil.which("prometheus")
        if program is None:
            raise PrometheusUnavailable("prometheus is not installed: apt-get install prometheus (make setup does it)")
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "prometheus.yml").write_text(json.dumps(self._config(), indent=2))
        self._skip = self.log.stat().st_size if self.log.exists() else 0
        arguments = [
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--storage.tsdb.retention.time={self._retention}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-lifecycle",
        ]
        if self._web_config is not None:
            arguments.append(f"--web.config.file={self._web_config}")
        if self._features:
            arguments.append(f"--enable-feature={','.join(self._features)}")
        return [program, *arguments]

    async def await_ready(self) -> None:
        """Wait until it answers; its port is known then. Also for a process somebody else started.

        Raises:
            PrometheusUnavailable: the process this object started has ended.
        """
        while True:
            text = self.log.read_bytes()[self._skip :].decode(errors="replace") if self.log.exists() else ""
            if self.ended is not None:
                raise PrometheusUnavailable(
                    f"prometheus ended at once: {text.strip().splitlines()[-1:]} (see {self.log})"
                )
            # The kernel chose the port, so only the log knows it; "ready" comes after the data is open.
            listening = [line for line in text.splitlines() if "TLS is" in line or "Listening on" in line]
            if "Server is ready to receive web requests" in text and listening:
                found = [match[1] for line in listening if (match := _LISTENING.search(line)) and match[1] != "0"]
                if found:
                    self.port = int(found[-1])
                    return
            await asyncio.sleep(0.02)

    def _config(self) -> dict[str, object]:
        interval = f"{round(self._scrape * 1000)}ms"
        return {
            "global": {"scrape_interval": interval, "scrape_timeout": interval},
            "scrape_configs": [
                {
                    "job_name": job.name,
                    "metrics_path": job.path,
                    "static_configs": [{"targets": list(job.targets), "labels": dict(job.labels)}],
                }
                for job in self._jobs
            ],
        }
