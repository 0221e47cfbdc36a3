"""Which proxies there were when a control plane ended: one that starts anew must not take the first to come for all.

Kept in the folder of routes, in a hidden file. Everything here blocks; call it in a thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from activities.routers.locked_files import replace

FILE = ".coalmine-proxies.json"
_log = structlog.get_logger("coalmine.xds")


def load(folder: Path) -> dict[str, list[str]]:
    """By node, the routes it asked for; none where nothing was kept."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return {str(node): [str(name) for name in names] for node, names in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        _log.warning("proxies not remembered", file=str(folder / FILE), reason=str(error))
        return {}


def save(folder: Path, proxies: Mapping[str, Sequence[str]]) -> None:
    """Keep them; where that cannot be, say so and go on."""
    try:
        replace(folder / FILE, json.dumps(proxies, sort_keys=True), create=True)
    except OSError as error:
        _log.warning("proxies not kept", file=str(folder / FILE), reason=str(error))
