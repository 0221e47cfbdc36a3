"""The buckets of a flag's ``fractional``: the variants that share its users, and the weight of each.

Source: https://flagd.dev/reference/custom-operations/fractional-operation/
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from coalmine.errors import RouteRejected


def first(buckets: list[Any]) -> int:
    """Where the buckets begin: what users are dealt by may stand before them."""
    return 0 if isinstance(buckets[0], list) else 1


def named(buckets: list[Any]) -> list[str]:
    """The variants that buckets name, each once, whatever weight stands beside them."""
    told = (bucket[0] for bucket in buckets[first(buckets) :] if isinstance(bucket, list) and bucket)
    return list(dict.fromkeys(name for name in told if isinstance(name, str)))


def share(where: str, bucket: Any) -> tuple[str, int]:
    """One bucket: a variant and its weight; 1 where none is said, as flagd has it.

    Raises:
        RouteRejected: a provider works one of them out for each user, so nobody can say who gets how much.
    """
    match bucket:
        case [str(name)]:
            return name, 1
        case [str(name), int() | float() as weight] if type(weight) is not bool and weight >= 0 and weight % 1 == 0:
            return name, int(weight)
    raise RouteRejected(
        f"{where}: its bucket {json.dumps(bucket)} cannot be moved: write the name of a variant and a whole number"
    )


def fractionals(rule: Any) -> Iterator[list[Any]]:
    """The arguments of every ``fractional`` of a JsonLogic rule, outermost first."""
    if isinstance(rule, dict):
        for operation, arguments in rule.items():
            if operation == "fractional" and isinstance(arguments, list) and arguments:
                yield arguments
            yield from fractionals(arguments)
    elif isinstance(rule, list):
        for part in rule:
            yield from fractionals(part)
