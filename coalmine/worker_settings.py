"""What can be set of a worker besides its connection, each by an environment variable (docs/worker.md)."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, cast

from temporalio.common import WorkerDeploymentVersion

from coalmine.errors import InputError
from coalmine.spec.durations import parse_duration

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("json", "text")


@dataclass(frozen=True)
class WorkerSettings:
    """What can be set besides the connection, each by an environment variable."""

    metrics_address: str | None = None
    """``COALMINE_METRICS_ADDRESS``, ``host:port``: where Prometheus may scrape the worker. Unset: no endpoint."""
    drain: timedelta = timedelta(seconds=5)
    """``COALMINE_DRAIN``: how long running activities may take to finish after SIGTERM."""
    log_level: str = "info"
    """``COALMINE_LOG_LEVEL``."""
    log_format: Literal["json", "text"] = "json"
    """``COALMINE_LOG_FORMAT``. Unset: json, and text on a terminal."""
    deployment: WorkerDeploymentVersion | None = None
    """``TEMPORAL_DEPLOYMENT_NAME`` and ``TEMPORAL_WORKER_BUILD_ID``: rollouts stay on the build they began on."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> WorkerSettings:
        """Read the settings.

        Raises:
            InputError: names the variable, the value and the mend.
        """
        address = environ.get("COALMINE_METRICS_ADDRESS") or None
        if address is not None and not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^\s:]+):\d{1,5}", address):
            raise InputError(f"COALMINE_METRICS_ADDRESS: {address!r} is not host:port, such as 127.0.0.1:9464")
        try:
            drain = parse_duration(environ.get("COALMINE_DRAIN") or "5s")
        except ValueError as error:
            raise InputError(f"COALMINE_DRAIN: {error}") from None
        name, build = environ.get("TEMPORAL_DEPLOYMENT_NAME"), environ.get("TEMPORAL_WORKER_BUILD_ID")
        if bool(name) != bool(build):
            lacking = "TEMPORAL_WORKER_BUILD_ID" if name else "TEMPORAL_DEPLOYMENT_NAME"
            raise InputError(f"{lacking}: not set, though its other half is: set both to run versioned, or none")
        form = _one_of(environ, "COALMINE_LOG_FORMAT", FORMATS, "text" if sys.stderr.isatty() else "json")
        return cls(
            metrics_address=address,
            drain=drain,
            log_level=_one_of(environ, "COALMINE_LOG_LEVEL", LEVELS, "info"),
            log_format=cast("Literal['json', 'text']", form),
            deployment=WorkerDeploymentVersion(name, build) if name and build else None,
        )


def _one_of(environ: Mapping[str, str], variable: str, known: Sequence[str], otherwise: str) -> str:
    value = (environ.get(variable) or otherwise).lower()
    if value not in known:
        raise InputError(f"{variable}: {value!r} is not known; known are {', '.join(known)}")
    return value
