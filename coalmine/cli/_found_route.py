"""What a route file shows of a route: which backend has the traffic now, and which could take it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from activities.routers.envoy_document import RouteDocument
from coalmine.errors import CoalmineError


def backends_of(files: Sequence[str], name: str) -> tuple[str, str, str]:
    """The live backend, the only other one, and the weights in words; empty where the files do not tell.

    A file that is on the worker's disk and not here is no error: its backends are asked for.
    """
    for file in files:
        try:
            splits = RouteDocument(file, Path(file).read_text(encoding="utf-8"), name).reading().splits
        except (OSError, ValueError, CoalmineError):
            continue
        weights = next((split.weights() for split in splits if split.weighted), {})
        if not weights:
            continue
        ordered = sorted(weights, key=lambda backend: -weights[backend])
        said = ", ".join(f"{backend} {weights[backend]:g} %" for backend in ordered)
        live = ordered[0] if ordered and weights[ordered[0]] > 50 else ""
        return live, ordered[1] if live and len(ordered) == 2 else "", said
    return "", "", ""
