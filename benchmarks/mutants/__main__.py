"""``python -m benchmarks mutants [--seed N] [--count 400]``: draw mutants, try each, write ``results/mutants.json``.

``--survivors`` tries those again that survived the recorded run, after tests were added; ``--explain`` runs nothing and
explains them anew. Ends with 0 when at least 85 % are noticed and every survivor is explained.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.mutants import trial
from benchmarks.mutants.explanations import Explanations
from benchmarks.mutants.lines import reaching
from benchmarks.mutants.population import Mutant, all_mutants, draw
from benchmarks.mutants.record import Record, Tried, explained, key_of, summed, tried_again

LEAST_SCORE = 0.85
SEED, COUNT, SLOWEST = 5, 400, 6.0
"""The seed that is recorded; before its first run tests were written with those of 1, 3 and 4 in sight."""


def run(mutants: Sequence[Mutant], slowest: float, *, show: bool) -> tuple[list[Tried], Record]:
    """Try these mutants; also returns what tests they were tried on."""
    started = time.monotonic()
    trial.prepare()
    tried: list[Tried] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        base = Path(folder)
        recorder = trial.record(trial.TESTS, base)
        reached = recorder.reached
        for number, mutant in enumerate(mutants, 1):
            tests = reaching(mutant, recorder, slowest)
            seconds = sum(reached[name].seconds for name in tests)
            tried.append(Tried(mutant, trial.attempt(mutant, tests, seconds, base), len(tests)))
            if show:
                print(_progress(number, len(mutants), tried[-1]), flush=True)
    left_out = sorted(name for name, reach in reached.items() if reach.seconds > slowest)
    return tried, {
        "seconds": round(time.monotonic() - started),
        "tests": len(reached),
        "tests_left_out": left_out,
    }


def _progress(number: int, of: int, one: Tried) -> str:
    mutant, verdict = one.mutant, one.outcome.verdict
    text = f"{number}/{of} {verdict} {mutant.file}:{mutant.line} {mutant.operator}"
    return f"{text} ({one.tests} tests)\n{_change(mutant.before, mutant.after)}" if verdict == "survived" else text


def _change(before: str, after: str) -> str:
    return f"    - {before}\n    + {after}"


def _measured(options: argparse.Namespace, explanations: Explanations) -> Record:
    population = [mutant for mutant in all_mutants() if options.only in mutant.file]
    tried, about = run(draw(population, options.count, options.seed), options.slowest, show=not options.quiet)
    head: Record = {"seed": options.seed, "population": len(population), "least_score": LEAST_SCORE}
    return {"machine": report.machine(), **head, **about, **summed(tried, explanations)}


def _again(record: Record, options: argparse.Namespace) -> Record:
    known = {mutant.key: mutant for mutant in all_mutants()}
    keys = [key_of(one) for one in record["survivors"]]
    gone = [f"{file}: {before}" for file, _, before, after in keys if (file, _, before, after) not in known]
    if gone:
        raise SystemExit(f"recorded survivors that exist no more: {'; '.join(gone)}: run all anew")
    tried, about = run([known[key] for key in keys], options.slowest, show=not options.quiet)
    return tried_again(record, {one.mutant.key: one.outcome for one in tried}) | {"tests": about["tests"]}


def main(asked: Sequence[str]) -> int:
    """Measure, print, write.

    Returns:
        0 when the score is reached and all survivors are explained.
    """
    options = _options(asked)
    explanations = Explanations.read()
    if options.explain or options.survivors:
        record: Record = json.loads((report.RESULTS / "mutants.json").read_text())
        if options.survivors:
            record = _again(record, options)
        record = explained(record, explanations)
    else:
        record = _measured(options, explanations)
    stale = explanations.stale(all_mutants())
    _print(record, stale)
    if not options.only and not options.dry:
        print(report.write("mutants", record))
    return int(record["score"] < LEAST_SCORE or record["unexplained"] > 0)


def _print(record: dict[str, Any], stale: Sequence[str]) -> None:
    for name, counts in record["files"].items():
        print(f"{name:45} {counts['mutants']:4} mutants, {counts['survived']:3} survived, {counts['score']:.0%}")
    for one in record["survivors"]:
        if one["kind"] is None:
            print(f"not explained: {one['file']}:{one['line']}\n{_change(one['before'], one['after'])}")
    for entry in stale:
        print(f"explained, but no mutant any more: {entry}")
    print(
        f"{record['score']:.1%} of {record['mutants']} noticed ({record['timeout']} by time), "
        f"{record['survived']} survived, {record['unexplained']} of them not explained"
    )


def _options(asked: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks mutants", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED, help=f"which mutants are drawn (default {SEED})")
    parser.add_argument("--count", type=int, default=COUNT, help=f"how many at least (default {COUNT})")
    parser.add_argument("--slowest", type=float, default=SLOWEST, help="leave out tests that take more seconds")
    parser.add_argument("--only", default="", help="only files whose path has this in it; nothing is written")
    parser.add_argument("--survivors", action="store_true", help="try the recorded survivors again, and nothing else")
    parser.add_argument("--explain", action="store_true", help="run nothing: explain the recorded survivors anew")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    parser.add_argument("--quiet", action="store_true", help="print the sums only")
    options = parser.parse_args(asked)
    if options.count < 1:
        parser.error(f"--count: {options.count} is no number of mutants: give 1 or more")
    if not any(options.only in mutant.file for mutant in all_mutants()):
        parser.error(f"--only: no file has {options.only!r} in its path: name one of coalmine/analysis")
    return options


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
