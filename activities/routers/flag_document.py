"""A file of flag definitions as flagd and every OpenFeature provider of it reads them: which users get which variant.

Only the buckets of ``fractional`` move; who else is targeted, other flags and unknown keys stay as they are.
Source: https://flagd.dev/reference/flag-definitions/ and .../custom-operations/fractional-operation/
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from activities.routers.flag_shares import first, fractionals, named, share
from activities.routers.flag_testers import Answer, answers, pin, unpinned
from activities.routers.splits import Split, agreed_weights, managed
from activities.routers.weights import percents
from coalmine.errors import RouteRejected, StaleGeneration
from coalmine.records import Weights
from coalmine.spec.flag_routes import FlagTesters
from coalmine.spec.route_files import testers_variant_problem

GENERATION = "coalmineGeneration"
"""The fence, in the flag's ``metadata``: providers hand it to the app with every evaluation."""
PINNED = "coalmineTesters"
"""In ``metadata``: ``targeting`` has a rule of ours for testers, and which; an older build said ``True`` for it.

It goes with the next write, and stays when that finds no such rule but one that hands may have made of it.
"""


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
            self.variants: dict[str, Any] = dict(self._flag["variants"])
        except (json.JSONDecodeError, RecursionError) as error:
            raise RouteRejected(f"{where}: is no JSON ({error}): mend the file") from error
        except (KeyError, TypeError, ValueError) as error:
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

    @property
    def asleep(self) -> str:
        """Why nobody gets any variant; empty when the flag is enabled."""
        if (state := self._flag.get("state", "ENABLED")) == "ENABLED":
            return ""
        return f"{self.where}: flag {self.name!r} is {state}: apps use their own default"

    def problem(self, variant: str, *, restoring: bool = False) -> str:
        """Why nobody can get a variant; empty when users can.

        On the way back (``restoring``) the state does not matter: who switched the flag off may switch it on again,
        and must not hand out what was rolled back.
        """
        if self.asleep and not restoring:
            return f"{self.asleep}, enable it"
        if variant not in self.variants:
            return f"{self.where}: flag {self.name!r} has no variant {variant!r} (it has {', '.join(self.variants)})"
        return ""

    def testers_problem(self, testers: FlagTesters | None, arms: Collection[str], *, restoring: bool = False) -> str:
        """Why testers cannot get their variant."""
        if testers is None:
            return ""
        if problem := testers_variant_problem(testers.variant, arms):
            return f"route.testers.variant: {problem}"
        return self.problem(testers.variant, restoring=restoring)

    def default_problem(self, baseline: str, canary: str) -> str:
        """Why users who cannot be dealt out would keep the new value after a rollback: they get ``defaultVariant``."""
        default = self._flag.get("defaultVariant")
        if default == baseline or canary not in self.variants or default not in self.variants:
            return ""
        new = self.variants[canary]
        if default != canary and (self.variants[default] != new or self.variants.get(baseline) == new):
            return ""
        return (
            f"{self.where}: defaultVariant of {self.name!r} is {default!r}, which gives the canary's value to users "
            f"without a targetingKey, also after a rollback: let it be {baseline!r}"
        )

    def weights(self, backends: list[str]) -> Weights:
        """Percent by variant, the same in every ``fractional`` that names one.

        Raises:
            RouteRejected: none does, or they share the users differently.
        """
        splits = self._splits()
        if not managed(splits, backends):
            raise RouteRejected(self.lacks_ours(backends))
        return agreed_weights(splits, backends, self.name)

    def lacks_ours(self, backends: Collection[str]) -> str:
        """Why nothing of it is ours to write, whatever its buckets say; empty when something is."""
        targeting = self._flag.get("targeting")
        dealt = {name for buckets in fractionals(targeting) for name in named(buckets)}
        if (dealt if targeting else {self._flag.get("defaultVariant")}) & set(backends):
            return ""
        return (
            f"{self.where}: the targeting of {self.name!r} has no fractional over {' or '.join(backends)}"
            ": put one where the rest of the users are dealt out"
        )

    def is_written(self, units: Mapping[str, int], generation: int) -> bool:
        """Whether it carries this generation with these weights already.

        Raises:
            StaleGeneration: it carries a newer generation, or the same one with other weights, or with such as nobody
                can read.
        """
        if self.generation > generation:
            raise StaleGeneration(f"{self.where}: carries generation {self.generation}, newer than {generation}")
        if self.generation < generation:
            return False
        wanted = {name: weight for name, weight in percents(units).items() if weight}
        other = f"{self.where}: carries generation {generation} with other weights"
        try:
            if any(split.live != wanted for split in managed(self._splits(), list(units))):
                raise StaleGeneration(other)
        except RouteRejected as error:
            raise StaleGeneration(f"{other}: {error}") from error
        return True

    def write(self, units: Mapping[str, int], generation: int, testers: FlagTesters | None) -> str:
        """The text with these weights under the generation.

        The order of buckets stays and their sum never changes: who has a variant keeps it while it grows. What the
        buckets said does not matter: one that a rule works out for each user goes. Testers whose variant is gone get no
        rule: it would break the flag.
        """
        metadata = self._flag["metadata"] = self._metadata
        if mark := metadata.get(PINNED):
            # Somebody may have put rules of their own in its place or before it meanwhile: those stay.
            ours = pin(testers.when, testers.variant) if mark is True and testers else mark
            self._flag["targeting"], found = unpinned(self._flag.get("targeting"), ours)
            if found or not self._left(units, testers):
                del metadata[PINNED]
        if not self._flag.get("targeting"):
            self._flag["targeting"] = {"fractional": [[self._flag.get("defaultVariant"), 1]]}
        for buckets in fractionals(self._flag["targeting"]):
            dealt = named(buckets)
            if set(dealt) & set(units):
                names = [*dealt, *(name for name, unit in units.items() if unit and name not in dealt)]
                buckets[first(buckets) :] = [[name, units.get(name, 0)] for name in names]
        metadata[GENERATION] = generation
        # Pins must not outlive a rollback, nor a promotion. What hands made of one holds while both have users.
        there = testers is not None and not self.testers_problem(testers, units, restoring=True)
        unpinned_yet = PINNED not in metadata and not self.targets(testers)
        if testers and there and unpinned_yet and sum(map(bool, units.values())) > 1:
            self._flag["targeting"] = {"if": [testers.when, testers.variant, self._flag["targeting"]]}
            metadata[PINNED] = pin(testers.when, testers.variant)
        return json.dumps(self._content, indent=2, ensure_ascii=False) + "\n"

    def targets(self, testers: FlagTesters | None) -> bool:
        """Whether the rule for testers is there word for word, and no mark says it is ours: then it is theirs."""
        if testers is None or PINNED in self._metadata:
            return False
        return unpinned(self._flag.get("targeting"), pin(testers.when, testers.variant))[1]

    def still_pinned(self, shares: Weights, testers: FlagTesters | None) -> str:
        """Which rule still gives testers something else than everybody, and how to mend that; empty when none does."""
        if not self._metadata.get(PINNED) or sum(map(bool, shares.values())) != 1:
            return ""
        told = ", ".join(map(str, self._left(shares, testers)))
        return told and (
            f"{self.where}: testers of {self.name!r} still have a variant of their own ({told}): hands have changed "
            f"our rule, so it was not taken out: remove it, or metadata.{PINNED} where the rule is yours"
        )

    def _left(self, shares: Mapping[str, float], testers: FlagTesters | None) -> list[Answer]:
        """What hands may have made of our rule for testers, where it gives them something else than everybody has.

        Of testers that the spec names no more, nothing is known but that they have a condition and no arm's variant.
        """
        live = [self.variants.get(name) for name, share in shares.items() if share]

        def suspect(answer: Answer) -> bool:
            if testers is None:
                return bool(answer.whens) and answer.variant is not None and answer.variant not in shares
            return testers.when in answer.whens or answer.variant == testers.variant

        def beside(answer: Answer) -> bool:
            if answer.variant is None:
                return True
            return answer.variant in self.variants and (len(live) != 1 or self.variants[answer.variant] != live[0])

        return [one for one in answers(self._flag.get("targeting")) if beside(one) and suspect(one)]

    def _splits(self) -> list[Split]:
        targeting = self._flag.get("targeting")
        if not targeting:
            default = self._flag.get("defaultVariant")
            return [Split("defaultVariant", ((default, 1),), False)] if default else []
        splits = []
        for number, buckets in enumerate(fractionals(targeting), 1):
            where = f"{self.where}: fractional {number} of {self.name!r}"
            shares = tuple(share(where, bucket) for bucket in buckets[first(buckets) :])
            if len(dict(shares)) != len(shares) or not sum(weight for _, weight in shares):
                raise RouteRejected(f"{where}: names a variant twice, or gives none a weight: mend the file")
            splits.append(Split(where, shares, True))
        return splits
