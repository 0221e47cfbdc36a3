"""How evidence is written down: a few kilobytes of JSON, the same size after five looks as after five thousand.

Log capitals become 16-bit steps of 1/64 nat, delta-coded and deflated; running sums 32-bit floats; counts stay whole numbers.
Steps are rounded with an offset that walks through the golden ratio, so that evidence smaller than a step per look adds up
to what it is instead of vanishing.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Any, TypeVar

import numpy as np

from coalmine.analysis.grids import Array, Numeric
from coalmine.analysis.trees import leaves, rebuild
from coalmine.errors import InputError
from coalmine.records import Evidence

STEPS_PER_NAT = 64
LOWEST = -30.0
"""Capital below e^-30 is gone: what any later look invests outweighs it."""
_GOLDEN = (5.0**0.5 - 1.0) / 2.0
_NOTHING = 0
_HIGHEST = 65535

State = TypeVar("State")


def encode(state: Any, look: int) -> dict[str, Any]:
    """Write down the arrays of a state; ``look`` seeds the rounding, so that a retry writes the very same."""
    parts: dict[str, list[Numeric]] = {"capital": [], "sum": [], "count": []}
    for kind, values in leaves(state):
        parts[kind].append(np.asarray(values, float).reshape(-1))
    capital, sums, counts = (np.concatenate([*parts[kind], np.zeros(0)]) for kind in ("capital", "sum", "count"))
    return {
        "capital": _pack(_quantise(capital, look)),
        "sums": base64.b64encode(zlib.compress(sums.astype("<f4").tobytes(), 9)).decode(),
        "counts": [int(value) for value in counts],
    }


def decode(template: State, written: dict[str, Any]) -> State:
    """Read what ``encode`` wrote into a state of the template's shape.

    Raises:
        InputError: it was written for other metrics, or is damaged.
    """
    try:
        kept = {
            "capital": _restore(_unpack(written["capital"])),
            "sum": np.frombuffer(zlib.decompress(base64.b64decode(written["sums"])), "<f4").astype(float),
            "count": np.array(written["counts"], float),
        }
    except (KeyError, TypeError, ValueError, zlib.error, binascii.Error) as error:
        raise InputError(
            f"evidence.state: cannot be read ({error}): pass on what the last evaluation returned"
        ) from None
    wanted = {"capital": 0, "sum": 0, "count": 0}
    kinds = []
    for kind, values in leaves(template):
        wanted[kind] += values.size
        kinds.append(kind)
    if any(kept[kind].size != number for kind, number in wanted.items()):
        raise InputError("evidence.state: was written for other metrics: start anew with `evidence` absent")
    offsets, order = {"capital": 0, "sum": 0, "count": 0}, iter(kinds)

    def read(values: Numeric) -> Numeric:
        kind = next(order)
        start = offsets[kind]
        offsets[kind] = start + values.size
        return kept[kind][start : start + values.size].reshape(values.shape).astype(values.dtype)

    return rebuild(read, template)


def _quantise(capital: Array, look: int) -> Numeric:
    offset = (look * _GOLDEN) % 1.0
    with np.errstate(invalid="ignore"):
        steps = np.floor((capital - LOWEST) * STEPS_PER_NAT + offset)
    steps = np.where(np.isneginf(capital), _NOTHING, np.clip(steps, _NOTHING, _HIGHEST))
    return steps.astype(np.uint16)


def _restore(steps: Numeric) -> Array:
    result: Array = np.where(steps == _NOTHING, -np.inf, LOWEST + steps.astype(float) / STEPS_PER_NAT)
    return result


def _pack(steps: Numeric) -> str:
    delta = np.diff(steps, prepend=steps.dtype.type(0)).astype("<u2")
    planes = delta.view(np.uint8).reshape(-1, 2).T
    return base64.b64encode(zlib.compress(np.ascontiguousarray(planes).tobytes(), 9)).decode()


def _unpack(text: str) -> Numeric:
    planes = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(2, -1)
    delta = np.ascontiguousarray(planes.T).reshape(-1).view("<u2")
    return np.cumsum(delta, dtype=np.uint16)


def sealed(stage: str, version: int, looks: int, written: dict[str, Any]) -> Evidence:
    """Evidence that says what wrote it."""
    return Evidence(looks=looks, state={"stage": stage, "version": version, "looks": looks} | written)


def opened(evidence: Evidence | None, stage: str, version: int) -> dict[str, Any]:
    """What ``sealed`` closed; empty at the first look.

    Raises:
        InputError: it is of another stage or of an unknown version.
    """
    if evidence is None or not evidence.state:
        return {}
    state = evidence.state
    if state.get("stage") != stage:
        raise InputError(
            f"evidence: is of the stage {state.get('stage')!r}, not {stage!r}: each stage starts with `evidence` absent"
        )
    if state.get("version") != version:
        raise InputError(
            f"evidence: is of version {state.get('version')!r}, this judge reads {version}: use the worker that wrote it"
        )
    return state
