"""How evidence is written down: a few kilobytes of JSON, the same size after five looks as after five thousand.

Log capitals become 16-bit steps of 1/64 nat, likelihood curves 16-bit steps of their square root, delta-coded and
deflated; running sums become 32-bit floats; counts stay whole numbers. Steps are rounded with an offset that walks
through the golden ratio, so that evidence smaller than a step per look adds up to what it is instead of vanishing.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from coalmine.analysis.grids import Array, Numeric
from coalmine.analysis.trees import Kind, leaves, rebuild, refill
from coalmine.errors import InputError
from coalmine.records import Evidence

_GOLDEN = (5.0**0.5 - 1.0) / 2.0
_KINDS: tuple[Kind, ...] = ("capital", "curve", "sum", "count")
_NONE: Array = np.zeros(0)
_LARGEST = 2.0**63 - 1024.0
"""The largest double that a whole number of 64 bits holds."""


@dataclass(frozen=True)
class Steps:
    """16-bit steps upwards from ``lowest``; what lies at or below it is written as step 0 and read as ``below``."""

    per_nat: int
    lowest: float
    below: float

    def write(self, values: Array, offset: float) -> Numeric:
        """Round down after adding ``offset``, a part of a step."""
        steps = np.subtract(values, self.lowest)
        steps *= self.per_nat
        steps += offset
        # What is no number is step 0; ``fmax`` and ``fmin`` prefer the other.
        np.fmin(np.fmax(np.floor(steps, out=steps), 0.0, out=steps), 65535.0, out=steps)
        return steps.astype("<u2")

    def read(self, steps: Numeric) -> Array:
        """The values, exact to a step."""
        values: Array = steps / self.per_nat
        values += self.lowest
        np.copyto(values, self.below, where=steps == 0)
        return values

    def settle(self, values: Array, offset: float) -> Array:
        """``read(write(values, offset))``, in place of a detour over 16 bits."""
        steps = np.subtract(values, self.lowest)
        steps *= self.per_nat
        steps += offset
        np.floor(steps, out=steps)
        np.minimum(steps, 65535.0, out=steps)
        # Step 0 is "below", and so are minus infinity and what is no number.
        kept = steps > 0
        steps /= self.per_nat
        steps += self.lowest
        np.copyto(steps, self.below, where=~kept)
        return steps


@dataclass(frozen=True)
class Roots:
    """16-bit steps of the square root of how far a likelihood lies below its maximum, 65535 for the maximum itself.

    The likelihood of a busy service falls by thousands of nats from one kept ratio to the next, and the interval is
    read from a curve through all of them: cut off anywhere, it leaves the truth out. It is nearly a parabola, its root
    nearly straight: fine where the interval ends, coarse where little depends on it, and never cut off in practice.
    """

    per_root: int

    def write(self, values: Array, offset: float) -> Numeric:
        """Round down after adding ``offset``, a part of a step."""
        return (65535.0 - self._steps(values, offset)).astype("<u2")

    def read(self, steps: Numeric) -> Array:
        """The values, exact to a step."""
        return self._values(65535.0 - steps)

    def settle(self, values: Array, offset: float) -> Array:
        """``read(write(values, offset))``."""
        return self._values(self._steps(values, offset))

    def _steps(self, values: Array, offset: float) -> Array:
        steps = np.sqrt(np.fmax(np.negative(values), 0.0))
        steps *= self.per_root
        steps += offset
        result: Array = np.fmin(np.floor(steps, out=steps), 65535.0, out=steps)
        return result

    def _values(self, steps: Array) -> Array:
        roots = steps / self.per_root
        result: Array = -(roots * roots)
        return result


CAPITAL = Steps(per_nat=64, lowest=-30.0, below=-np.inf)
"""Capital below e^-30 is gone: what any later look invests outweighs it."""
CURVE = Roots(per_root=64)
"""To a million nats below the best ratio. What walks adds up to is a few percent of an interval in 3,000 looks."""
CUT_CURVE = Steps(per_nat=32, lowest=-2047.0, below=-2047.0)
"""Of evidence of earlier versions."""

State = TypeVar("State")


@dataclass(frozen=True)
class Rounded:
    """The arrays of a state one behind the other, by kind, as exact as they are written down."""

    capital: Numeric
    """16-bit steps, as is the curve."""
    curve: Numeric
    sums: Numeric
    """32-bit floats."""
    counts: Numeric
    """Whole numbers."""
    shapes: tuple[tuple[int, ...], ...] = ()
    """Of the capitals; empty where they are not known."""
    curves: Steps | Roots = CURVE
    """How the curve is written."""
    origin: tuple[Any, Sequence[tuple[Kind, Numeric]]] | None = None
    """The state they are of, and its leaves; None where they were read."""

    @staticmethod
    def of(state: Any, look: int) -> Rounded:
        """``look`` seeds the rounding, so that a retry rounds the very same."""
        parts: dict[Kind, list[Numeric]] = {kind: [_NONE] for kind in _KINDS}
        found = leaves(state)
        for kind, values in found:
            parts[kind].append(values)
        shapes = [values.shape for values in parts["capital"][1:]]
        # Without an axis they are flattened on the way.
        capital, curve, sums, counts = (np.concatenate(part, axis=None) for part in parts.values())
        offset = (look * _GOLDEN) % 1.0
        steps = CAPITAL.write(capital, offset), CURVE.write(curve, offset)
        whole = _held(counts).astype(np.int64)
        return Rounded(*steps, sums.astype("<f4"), whole, tuple(shapes), origin=(state, found))

    def written(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "capital": _pack(_delta(self.capital)),
            "curve": _pack(_delta(self.curve)),
            "sums": _pack(self.sums),
            "counts": self.counts.tolist(),
        }

    @staticmethod
    def parsed(written: dict[str, Any]) -> Rounded:
        """What ``written`` wrote.

        Raises:
            InputError: it is damaged.
        """
        try:
            return Rounded(
                np.cumsum(_unpack(written["capital"], "<u2"), dtype=np.uint16),
                np.cumsum(_unpack(written["curve"], "<u2"), dtype=np.uint16),
                _unpack(written["sums"], "<f4"),
                np.array(written["counts"], np.int64),
            )
        except (KeyError, TypeError, ValueError, OverflowError, zlib.error, binascii.Error) as error:
            raise InputError(
                f"evidence.state: cannot be read ({error}): pass on what the last evaluation returned"
            ) from None

    def read(self, template: State) -> State:
        """As a state of the template's shape.

        Raises:
            InputError: it was written for other metrics.
        """
        kept = {
            "capital": CAPITAL.read(self.capital),
            "curve": self.curves.read(self.curve),
            "sum": self.sums.astype(float),
            "count": self.counts.astype(float),
        }
        wanted = dict.fromkeys(_KINDS, 0)
        arrays = []
        known = self.origin is not None and self.origin[0] is template
        for kind, values in self.origin[1] if self.origin is not None and known else leaves(template):
            start = wanted[kind]
            wanted[kind] = end = start + values.size
            part = kept[kind][start:end]
            if part.size == values.size:
                part = part.reshape(values.shape)
                arrays.append(part if values.dtype is part.dtype else part.astype(values.dtype))
        if any(kept[kind].size != number for kind, number in wanted.items()):
            raise InputError("evidence.state: was written for other metrics: start anew with `evidence` absent")
        return refill(template, iter(arrays))


def encode(state: Any, look: int) -> dict[str, Any]:
    """Write down the arrays of a state; ``look`` seeds the rounding, so that a retry writes the very same."""
    return Rounded.of(state, look).written()


def decode(template: State, written: dict[str, Any], curves: Steps | Roots = CURVE) -> State:
    """Read what ``encode`` wrote into a state of the template's shape; ``curves``: how, in an earlier version.

    Raises:
        InputError: it was written for other metrics, or is damaged.
    """
    return replace(Rounded.parsed(written), curves=curves).read(template)


def settled(state: State, look: int) -> State:
    """The state of a batch as it is when it was written down at this look and read back, without doing so.

    ``settled(state, look)`` of every run equals ``decode(state, encode(state, look))``: a batch that keeps no evidence
    between its looks judges exactly as a rollout does that writes it down at each.
    """
    offset = (look * _GOLDEN) % 1.0
    steps: dict[str, Steps | Roots] = {"capital": CAPITAL, "curve": CURVE}

    def settle(kind: Kind, values: Numeric) -> Numeric:
        if kind == "sum":
            return values.astype(np.float32).astype(float)
        return _held(values) if kind == "count" else steps[kind].settle(values, offset)

    kinds = iter([kind for kind, _ in leaves(state)])
    return rebuild(lambda values: settle(next(kinds), values), state)


def _held(counts: Numeric) -> Numeric:
    """Running counts stop at what 64 bits hold: beyond, as after 1,024 windows of 2^53, they would turn negative."""
    # Such as are an index are whole numbers already.
    return np.clip(counts, -_LARGEST, _LARGEST) if counts.dtype.kind == "f" else counts


def _delta(steps: Numeric) -> Numeric:
    return np.diff(steps, prepend=np.zeros(1, "<u2"))


def _pack(values: Numeric) -> str:
    """Deflate byte by byte place: the high bytes of neighbours are alike; trying harder takes five times as long."""
    if not values.size:
        return ""
    planes = values.view(np.uint8).reshape(-1, values.itemsize).T
    return base64.b64encode(zlib.compress(np.ascontiguousarray(planes).tobytes(), 4)).decode()


def _unpack(text: str, kind: str) -> Numeric:
    if not text:
        return np.zeros(0, kind)
    planes = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return np.ascontiguousarray(planes.reshape(np.dtype(kind).itemsize, -1).T).reshape(-1).view(kind)


def sealed(stage: str, version: int, looks: int, written: dict[str, Any]) -> Evidence:
    """Evidence that says what wrote it."""
    return Evidence(looks=looks, state={"stage": stage, "version": version, "looks": looks} | written)


def opened(evidence: Evidence | None, stage: str, version: int, *earlier: int) -> dict[str, Any]:
    """What ``sealed`` closed; empty at the first look. ``earlier`` versions can be read as well.

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
    if state.get("version") not in (version, *earlier):
        raise InputError(
            f"evidence: is of version {state.get('version')!r}, not {version}: use the worker that wrote it"
        )
    return state
