"""Whether Coalmine is no worse than the sketch it came from where it misses a target: one sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.judge.results import Results
from benchmarks.judge.sketch_results import (
    AS_FEW,
    BY_PROOF,
    EQUAL,
    FOR_ALL,
    IN_ALL,
    SURE,
    Sketch,
    apart,
    read,
    surely_fewer,
    surely_less,
)
from benchmarks.judge.targets import Place, Target, missed, share_of
from benchmarks.report import RESULTS

HEAD = f"""
Missed, and [beside the sketch](#beside-the-sketch-it-came-from) Coalmine began as, in the cells that fall short (worse:
by more than {SURE:g} standard errors; figures in %, Coalmine / sketch):

"""


@dataclass(frozen=True)
class Pair:
    """Coalmine and the sketch in one cell that falls short: shares of the runs. ``down``: less is better.

    ``apart``: runs that only Coalmine promotes, and only the sketch; None where both are not known run by run.
    """

    place: Place
    ours: float
    runs: int
    theirs: float
    others: int
    down: bool = False
    apart: tuple[int, int] | None = None

    @property
    def worse(self) -> bool:
        """Coalmine, by more than chance explains."""
        if self.apart is not None:
            return surely_fewer(*self.apart)
        if self.down:
            return surely_less(self.theirs, self.others, self.ours, self.runs)
        return surely_less(self.ours, self.runs, self.theirs, self.others)

    @property
    def gap(self) -> float:
        """By how much Coalmine is worse; below 0 where it is better."""
        return self.ours - self.theirs if self.down else self.theirs - self.ours

    def __str__(self) -> str:
        _, name, weight, _ = self.place
        return f"{name}, {weight:.0%}: {100 * self.ours:.1f} / {100 * self.theirs:.1f}"


def beside_the_sketch(found: Results, path: Path = RESULTS / "sketch.json") -> str:
    """A sentence for each target missed; empty where none is, or nothing is measured."""
    sketch = read(path)
    targets = missed(found)
    if sketch is None or not targets:
        return ""
    return HEAD + "".join(f"- **{target.what}**: {sentence(target, found, sketch)}\n" for target in targets)


def sentence(target: Target, found: Results, sketch: Sketch) -> str:
    """Is Coalmine no worse than the sketch in the cells that miss the target, and where is it?"""
    pairs = list(_pairs(target, found, sketch))
    if not pairs or len(pairs) < len(target.short):
        return f"**not known**: of {len(target.short)} cells that fall short the sketch was run in {len(pairs)}."
    worse = [pair for pair in pairs if pair.worse]
    if not worse:
        return f"**no worse than the sketch**; {_summed(pairs)}, at the worst {max(pairs, key=lambda pair: pair.gap)}."
    if target.share != "promoted" or pairs[0].down:
        return f"**worse than the sketch in {_named(worse, pairs)}**; {_summed(pairs)}."
    still = {of: [one for one in _at_equal_error(pairs, sketch, of) if one.worse] for of in EQUAL}
    # More proof promotes no more. Where the error was not measured, the sketch's own rule is all there is.
    of_noise = {pair.place: pair for pair in (*still[IN_ALL], *still[BY_PROOF])}
    of_noise |= {pair.place: pair for pair in worse if not _error_is_known(pair, sketch)}
    also = [pair for pair in worse if pair.place not in of_noise]
    if not of_noise:
        return (
            "**no worse than the sketch at equal error**; by the sketch's own rules worse in "
            f"{_named(also, pairs)}; {_summed(pairs)}."
        )
    return (
        f"**worse than the sketch in {_named([*of_noise.values()], pairs)}** if under each noise 5 % of the harmful "
        f"ones may come through; in {_named(still[AS_FEW], pairs)} if only as few as through Coalmine; in "
        f"{_named(still[FOR_ALL], pairs)} with one proof for all noise; by the sketch's own rules also in "
        f"{_named(also, pairs)}; {_summed(pairs)}."
    )


def _named(pairs: Sequence[Pair], of: Sequence[Pair]) -> str:
    return f"{len(pairs)} of {len(of)} ({'; '.join(map(str, pairs))})" if pairs else "none"


def _summed(pairs: Sequence[Pair]) -> str:
    ours, theirs = (sum(values) / len(pairs) for values in zip(*((one.ours, one.theirs) for one in pairs), strict=True))
    return f"on average {100 * ours:.1f} / {100 * theirs:.1f}"


def _error_is_known(pair: Pair, sketch: Sketch) -> bool:
    theirs = sketch.found(*pair.place)
    return theirs is not None and BY_PROOF in theirs.figures.get("equal", {})


def _pairs(target: Target, found: Results, sketch: Sketch) -> Iterator[Pair]:
    for place in target.short:
        ours, theirs = found.found(*place), sketch.found(*place)
        if ours is not None and theirs is not None and target.share:
            quiet, promotions = place[0] == "quiet", target.share == "promoted"
            # At the margin Coalmine's promotions are counted by the proof alone too.
            of = "proven" if promotions and not quiet else target.share
            yield Pair(
                place,
                share_of(ours, target.share),
                ours.runs,
                share_of(theirs, of),
                theirs.runs,
                down=target.share == "rolled_back" or not quiet,
                apart=apart(theirs.figures) if promotions and quiet else None,
            )


def _at_equal_error(pairs: Sequence[Pair], sketch: Sketch, of: str) -> Iterator[Pair]:
    """Promotions once as much proof is asked of the sketch; none where that was not measured."""
    for pair in pairs:
        theirs = sketch.found(*pair.place)
        equal = {} if theirs is None else theirs.figures.get("equal", {}).get(of, {})
        if theirs is not None and equal:
            yield replace(pair, theirs=int(equal["promoted"]) / theirs.runs, apart=apart(equal))
