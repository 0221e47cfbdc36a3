"""A file of flag definitions as flagd and every OpenFeature provider of it reads them: which users get which variant.

Only the buckets of ``fractional`` move; who else is targeted, other flags and unknown keys stay as they are.
Source: https://flagd.dev/reference/flag-definitions/ and .../custom-operations/fractional-operation/
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from activities.routers.splits import Split, agreed_weights, managed
from activities.routers.weights import percents
from coalmine.errors import RouteRejected, StaleGeneration
from coalmine.records import Weights
from coalmine.spec.flag_routes import FlagTesters

GENERATION = "coalmineGeneration"
"""The fence, in the flag's ``metadata``: providers hand it to the app with every evaluation."""
PINNED = "coalmineTesters"
"""In ``metadata``: the outermost ``if`` of ``targeting`` is ours, and goes when the testers' variant does."""


class FlagDocument:
    """One flag of one file. ``where`` names the file in messages."""

    def __init__(self, where: str, text: str, name: str) -> None:
        """Read it.

        Raises:
            RouteRejected: it is no JSON, or has no such flag with variants.
        """
        self.where, self.name = where, name
        try:
            self._content = json.loads(text)
            self._flag: dict[str, Any] = self._content["flags"][name]
            self.variants = list(self._flag["variants"])
        except json.JSONDecodeError as error:
            raise RouteRejected(f"{where}: is no JSON ({error}): mend the file") from error
        except (KeyError, TypeError) as error:
            raise RouteRejected(
                f"{where}: has no flag {name!r} with variants: route.name is its key, define it there first"
            ) from error
        self._metadata: dict[str, Any] = {} if (there := self._flag.get("metadata")) is None else there
        if not isinstance(self._metadata, dict):
            raise RouteRejected(f"{where}: metadata of {name!r} is {there!r}, no object: mend the file")

    @property
    def generation(self) -> int:
        """The fence; 0 when nobody of ours has written it.

        Raises:
            RouteRejected: it is no number.
        """
        there = self._metadata.get(GENERATION, 0)
        if not isinstance(there, int) or there < 0:
            raise RouteRejected(
                f"{self.where}: metadata.{GENERATION} of {self.name!r} is {there!r}, no number: remove it"
            )
        return there

    def problem(self, variant: str) -> str:
        """Why nobody can get a variant; empty when users can."""
        if self._flag.get("state", "ENABLED") != "ENABLED":
            return f"{self.where}: flag {self.name!r} is {self._flag['state']}: apps use their own default, enable it"
        if variant not in self.variants:
            return f"{self.where}: flag {self.name!r} has no variant {variant!r} (it has {', '.join(self.variants)})"
        return ""

    def testers_problem(self, testers: FlagTesters | None, arms: Collection[str]) -> str:
        """Why testers cannot get their variant: one of an arm's would count them in every comparison."""
        if testers is None:
            return ""
        if testers.variant in arms:
            return (
                f"route.testers.variant: {testers.variant!r} is an arm, whose users are compared: define a variant of "
                "their own with the same value, and name that"
            )
        return self.problem(testers.variant)

    def weights(self, backends: list[str]) -> Weights:
        """Percent by variant, the same in every ``fractional`` that names one.

        Raises:
            RouteRejected: none does, or they share the users differently.
        """
        splits = self._splits()
        if not managed(splits, backends):
            raise RouteRejected(
                f"{self.where}: the targeting of {self.name!r} has no fractional over {' or '.join(backends)}"
                ": put one where the rest of the users are dealt out"
            )
        return agreed_weights(splits, backends, self.name)

    def is_written(self, units: Mapping[str, int], generation: int) -> bool:
        """Whether it carries this generation with these weights already.

        Raises:
            StaleGeneration: it carries a newer generation, or the same one with other weights.
        """
        if self.generation > generation:
            raise StaleGeneration(f"{self.where}: carries generation {self.generation}, newer than {generation}")
        if self.generation < generation:
            return False
        wanted = {name: weight for name, weight in percents(units).items() if weight}
        if any(split.live != wanted for split in managed(self._splits(), list(units))):
            raise StaleGeneration(f"{self.where}: carries generation {generation} with other weights")
        return True

    def write(self, units: Mapping[str, int], generation: int, testers: FlagTesters | None) -> str:
        """The text with these weights under the generation.

        The order of buckets stays and their sum never changes: who has a variant keeps it while it grows.

        Raises:
            RouteRejected: its buckets cannot be read.
        """
        self._splits()
        match self._flag.get("targeting"):
            # Somebody may have put a targeting of their own in its place meanwhile: that stays.
            case {"if": [_, _, rest]} if self._metadata.get(PINNED):
                self._flag["targeting"] = rest
        if not self._flag.get("targeting"):
            self._flag["targeting"] = {"fractional": [[self._flag.get("defaultVariant"), 1]]}
        for buckets in _fractionals(self._flag["targeting"]):
            first = 0 if isinstance(buckets[0], list) else 1
            named = [bucket[0] for bucket in buckets[first:]]
            if set(named) & set(units):
                names = [*named, *(name for name, unit in units.items() if unit and name not in named)]
                buckets[first:] = [[name, units.get(name, 0)] for name in names]
        metadata = self._flag["metadata"] = self._metadata
        metadata.pop(PINNED, None)
        metadata[GENERATION] = generation
        # Pins must not outlive a rollback, nor a promotion.
        if testers and sum(map(bool, units.values())) > 1:
            self._flag["targeting"] = {"if": [testers.when, testers.variant, self._flag["targeting"]]}
            metadata[PINNED] = True
        return json.dumps(self._content, indent=2, ensure_ascii=False) + "\n"

    def _splits(self) -> list[Split]:
        targeting = self._flag.get("targeting")
        if not targeting:
            default = self._flag.get("defaultVariant")
            return [Split("defaultVariant", ((default, 1),), False)] if default else []
        splits = []
        for number, buckets in enumerate(_fractionals(targeting), 1):
            where = f"{self.where}: fractional {number} of {self.name!r}"
            listed = buckets if isinstance(buckets[0], list) else buckets[1:]
            shares = tuple(_share(where, bucket) for bucket in listed)
            if len(dict(shares)) != len(shares) or not sum(weight for _, weight in shares):
                raise RouteRejected(f"{where}: names a variant twice, or gives none a weight: mend the file")
            splits.append(Split(where, shares, True))
        return splits


def _share(where: str, bucket: Any) -> tuple[str, int]:
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


def _fractionals(rule: Any) -> Iterator[list[Any]]:
    """The arguments of every ``fractional`` of a JsonLogic rule, outermost first."""
    if isinstance(rule, dict):
        for operation, arguments in rule.items():
            if operation == "fractional" and isinstance(arguments, list) and arguments:
                yield arguments
            yield from _fractionals(arguments)
    elif isinstance(rule, list):
        for part in rule:
            yield from _fractionals(part)
