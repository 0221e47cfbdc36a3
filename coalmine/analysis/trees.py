"""States are dataclasses of arrays: walked to write them down, to select runs, to leave out a missing look."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from coalmine.analysis.grids import Array, Integers, Mask, Numeric

Kind = Literal["capital", "curve", "sum", "count"]
Capital = Annotated[Array, "capital"]
"""Log capital: written down in coarse steps."""
Curve = Annotated[Array, "curve"]
"""Log-likelihood, at most 0: written down in coarse steps."""
Sum = Annotated[Array, "sum"]
"""A running sum: written down as a 32-bit float."""
Count = Annotated[Array, "count"]
"""Whole numbers: written down exactly."""
Index = Annotated[Integers, "count"]
"""Whole numbers used as an index."""

State = TypeVar("State")
_STATE = "__dataclass_fields__"


@cache
def _fields(state_type: Any) -> tuple[tuple[str, Kind | None], ...]:
    hints = get_type_hints(state_type, include_extras=True)
    return tuple(
        (field.name, get_args(hint)[1] if get_origin(hint := hints[field.name]) is Annotated else None)
        for field in dataclasses.fields(state_type)
    )


def leaves(state: Any) -> list[tuple[Kind, Numeric]]:
    """The arrays of a state with their kinds, in a fixed order."""
    found: list[tuple[Kind, Numeric]] = []
    _collect(state, found)
    return found


def _collect(state: Any, found: list[tuple[Kind, Numeric]]) -> None:
    state_type: Any = type(state)
    values = vars(state)
    for name, kind in _fields(state_type):
        value = values[name]
        if kind is not None:
            found.append((kind, value))
        elif isinstance(value, tuple):
            for part in value:
                if hasattr(part, _STATE):
                    _collect(part, found)
        elif hasattr(value, _STATE):
            _collect(value, found)


def refill(state: State, arrays: Iterator[Numeric]) -> State:
    """The same state with other arrays, in the order of ``leaves``."""
    made: list[Any] = []
    state_type: Any = type(state)
    values = vars(state)
    for name, kind in _fields(state_type):
        value = values[name]
        if kind is not None:
            made.append(next(arrays))
        elif isinstance(value, tuple):
            made.append(tuple(refill(part, arrays) if hasattr(part, _STATE) else part for part in value))
        else:
            made.append(refill(value, arrays) if hasattr(value, _STATE) else value)
    result: State = state_type(*made)
    return result


def rebuild(function: Callable[..., Numeric], state: State, *others: State) -> State:
    """The same state with ``function(array, *arrays of the others)`` for every array."""
    made: list[Any] = []
    state_type: Any = type(state)
    for name, kind in _fields(state_type):
        first, rest = getattr(state, name), [getattr(one, name) for one in others]
        if kind is not None:
            made.append(function(first, *rest))
        elif isinstance(first, tuple):
            made.append(
                tuple(
                    rebuild(function, *parts) if hasattr(parts[0], _STATE) else parts[0]
                    for parts in zip(first, *rest, strict=True)
                )
            )
        elif hasattr(first, _STATE):
            made.append(rebuild(function, first, *rest))
        else:
            made.append(first)
    result: State = state_type(*made)
    return result


def choose(mask: Mask, new: State, old: State) -> State:
    """``new`` where ``mask`` [...] holds, ``old`` elsewhere; the mask covers the leading axes of every array."""

    def pick(after: Numeric, before: Numeric) -> Numeric:
        return np.where(mask.reshape(mask.shape + (1,) * (after.ndim - mask.ndim)), after, before)

    return rebuild(pick, new, old)


def take(state: State, index: Any) -> State:
    """The runs ``index`` of a batch."""
    return rebuild(lambda values: values[index], state)
