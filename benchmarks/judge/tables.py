"""The tables of docs/benchmark.md, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from benchmarks.judge import targets as aims
from benchmarks.judge.bound import requests_for_proof
from benchmarks.judge.cells import QUIET_RELEASES, WEIGHTS
from benchmarks.judge.faults import AT_THE_MARGIN, FAULTS
from benchmarks.judge.limits import limits
from benchmarks.judge.measure import OURS, OURS_NEW
from benchmarks.judge.quiet_releases import DEVELOPED_ON
from benchmarks.judge.results import Found, Results
from benchmarks.judge.rivals import RIVALS
from benchmarks.judge.traffic import LOOKS, REQUESTS_PER_LOOK
from benchmarks.judge.unseen_releases import UNSEEN

NO_HARM, BETA = 1.5, 0.05
"""The margin of no harm, and the chance that it is shown wrongly: the defaults, which the benchmark's spec keeps."""

JUDGES = (OURS, OURS_NEW, *RIVALS)
AIM = 0.01
"""The share of false rollbacks all are asked for."""
MISSING = "·"
WEIGHT_NAMES = " / ".join(f"{weight:.0%}".rstrip("%") for weight in WEIGHTS) + " %"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], align: str = "---:") -> str:
    """A Markdown table; all but the first column to the right, unless ``align`` says otherwise."""
    columns = ["---", *([align] * (len(head) - 1))]
    return "".join("| " + " | ".join(row) + " |\n" for row in (head, columns, *rows))


def runs(found: Results, kind: str) -> str:
    """Runs a cell of a kind has."""
    numbers = sorted({cell["runs"] for (one, _, _), cell in found.cells.items() if one == kind})
    return " or ".join(str(number) for number in numbers) or MISSING


def targets(found: Results) -> str:
    """Every target, reached or missed."""
    word = {True: "yes", False: "**no**", None: MISSING}
    rows = [(one.what, one.needed, one.figures, word[one.reached]) for one in aims.targets(found)]
    text = f"""## What Coalmine is meant to reach

Several figures in a row are at weights {WEIGHT_NAMES}, of detection at 5 / 10 / 50 %; with history unless it says
otherwise.

"""
    return text + table(("target", "needed", "measured", "reached"), rows, "---")


def weak(found: Results) -> str:
    """Where Coalmine fails, or another judge that keeps its promise is better."""
    lines = [*_false_alarms(found), *_wrongly_promoted(found), *_beaten(found), *_late(found)]
    text = "## Where Coalmine is weak\n\n"
    return text + ("\n".join(f"- {line}" for line in lines) or "Nowhere in the cells measured so far.") + "\n"


def _false_alarms(found: Results) -> Iterable[str]:
    for judge in (OURS, OURS_NEW):
        for name in QUIET_RELEASES:
            cells = [(weight, found.found("quiet", name, weight, judge)) for weight in WEIGHTS]
            above = [f"{one.rate:.1%} at {weight:.0%}" for weight, one in cells if one is not None and one.rate > AIM]
            if above:
                yield f"**{judge}** rolls back releases without fault, {name}: {', '.join(above)}."


def _wrongly_promoted(found: Results) -> Iterable[str]:
    for judge in (OURS, OURS_NEW):
        for name in AT_THE_MARGIN:
            cells = [(weight, found.found("margin", name, weight, judge)) for weight in WEIGHTS]
            shares = [(weight, one.figures["promoted"] / one.runs) for weight, one in cells if one is not None]
            above = [f"{share:.1%} at {weight:.0%}" for weight, share in shares if share > aims.MOST_WRONG]
            if above:
                yield f"**{judge}** promotes releases that are harmful, {name}: {', '.join(above)}."


def _beaten(found: Results) -> Iterable[str]:
    """Rivals that see a fault sooner, and keep to the promised 1 % in the release it departs from."""
    for name, fault in FAULTS.items():
        better = []
        for weight in WEIGHTS:
            ours = found.found("fault", name, weight, OURS)
            for judge in RIVALS:
                other, quiet = (
                    found.found("fault", name, weight, judge),
                    found.found("quiet", fault.quiet, weight, judge),
                )
                if ours is None or other is None or quiet is None or quiet.rate > AIM or other.early > AIM:
                    continue
                if other.looks is not None and (ours.looks is None or other.looks < ours.looks):
                    better.append(f"{judge} at {weight:.0%} ({other.looks} looks against {_or_never(ours.looks)})")
        if better:
            yield f"{name}: sooner seen by {', '.join(better)}."


def _late(found: Results) -> Iterable[str]:
    for name in FAULTS:
        cells = [(weight, found.found("fault", name, weight, OURS)) for weight in WEIGHTS]
        few = [f"{one.rate:.0%} at {weight:.0%}" for weight, one in cells if one is not None and one.rate < 0.95]
        if few:
            yield f"{name}: not always seen within the hour: {', '.join(few)}."


def false_rollbacks(found: Results) -> str:
    """Share of releases without fault that each judge rolls back."""
    parts = [
        "## False rollbacks\n",
        f"Releases without fault that are rolled back, in %, at weights {WEIGHT_NAMES}; pooled: all of them, with",
        "exact 95 % limits. All judges see the same traffic. Of the noise added later the judge has since been tuned",
        "on slow clients, with other seeds ([what was tried](judging.md#what-was-tried)); on the rest it was not.\n",
    ]
    for title, group in (("Noise the judge was developed on", DEVELOPED_ON), ("Noise added later", UNSEEN)):
        rows = [
            (judge, *(_rates(found, name, judge) for name in group), _pooled(found, tuple(group), judge))
            for judge in JUDGES
        ]
        parts += [f"### {title}\n", table(("judge", *group, "pooled"), rows)]
    return "\n".join(parts)


def detection(found: Results) -> str:
    """The overview: median looks over the bound."""
    rows = [
        (judge, *(_each(found, name, judge, aims.DETECTED_AT, _ratio) for name in FAULTS))
        for judge in JUDGES
    ]  # fmt: skip
    text = """## How soon a fault is seen

Median looks until the rollback over the looks of the bound, at weights 5 / 10 / 50 %. A figure in brackets belongs to a
judge that rolls back more than 1 % of the releases without fault that this one departs from: it is soon because it
fires anyway. "never": less than half were seen within the hour; "-": the bound is beyond the hour.

"""
    return text + table(("judge", *FAULTS), _bracketed(found, rows))


def _bracketed(found: Results, rows: Iterable[Sequence[str]]) -> Iterable[Sequence[str]]:
    for judge, *figures in rows:
        shown = []
        for name, text in zip(FAULTS, figures, strict=True):
            parts = [
                f"({part})" if part[0].isdigit() and _fires_anyway(found, name, weight, judge) else part
                for weight, part in zip(aims.DETECTED_AT, text.split(" / "), strict=True)
            ]
            shown.append(" / ".join(parts))
        yield (judge, *shown)


def _fires_anyway(found: Results, fault: str, weight: float, judge: str) -> bool:
    quiet = found.found("quiet", FAULTS[fault].quiet, weight, judge)
    return quiet is not None and quiet.rate > AIM


def each_fault(found: Results) -> str:
    """One table a fault: looks, requests, share seen, and false rollbacks beside them."""
    text = """## Each fault

Median looks after the fault began, median canary requests exposed until the rollback, and the share of runs rolled back
within the hour, by weight; in the last column the false rollbacks without this fault, at weights 1 / 5 / 10 / 50 %.
"""
    parts = [text]
    for name, fault in FAULTS.items():
        bounds = [_bound(found, name, weight) for weight in WEIGHTS]
        head = ("judge", *(f"{weight:.0%} (bound {bound})" for weight, bound in zip(WEIGHTS, bounds, strict=True)))
        rows = [
            (
                judge,
                *(_seen(found.found("fault", name, weight, judge)) for weight in WEIGHTS),
                _rates(found, fault.quiet, judge),
            )
            for judge in JUDGES
        ]
        parts += [f"### {name}\n", table((*head, "without fault, %"), rows)]
    return "\n".join(parts)


def promotion(found: Results) -> str:
    """How often no harm is shown, rightly and wrongly."""
    rows = [
        (name, *(_each(found, name, judge, WEIGHTS, _promoted) for judge in (OURS, OURS_NEW)),
         _each(found, name, OURS, WEIGHTS, _proof))
        for name in QUIET_RELEASES
    ]  # fmt: skip
    wrong = [
        (name, *(_each(found, name, judge, WEIGHTS, _promoted, "margin") for judge in (OURS, OURS_NEW)))
        for name in AT_THE_MARGIN
    ]
    text = f"""## Promotion

Coalmine promotes when no harm is shown at 5 %: that the canary is below 1.5 times the baseline's odds, in every metric.
Runs promoted within the hour, in %, and the median look of the proof, at weights {WEIGHT_NAMES}:

"""
    needed, brought = (
        " / ".join(f"{one:,.0f}" for one in row)
        for row in (
            [requests_for_proof(0.005, NO_HARM, weight, BETA) for weight in WEIGHTS],
            [REQUESTS_PER_LOOK * LOOKS * weight for weight in WEIGHTS],
        )
    )
    text += (
        table(("release without fault", OURS, OURS_NEW, "look of the proof"), rows)
        + f"""
No test gets there faster than the information allows: to refute {NO_HARM:g} times the odds at 0.5 % errors takes at
least {needed} canary requests on average, of errors alone and even for a test that knows both levels; the hour
brings {brought}. At 1 % that is too few to promote nine of ten.
"""
    )
    last = """
Releases exactly as bad as that limit in one metric, of which at most 5 % may seem harmless within the hour. Nearly all
are rolled back first; they are judged on all the same, so that the proof is measured by itself:

"""
    return text + last + table(("release", OURS, OURS_NEW), wrong)


def coverage(found: Results) -> str:
    """Whether the intervals hold the truth at all looks."""
    kinds = ("errors", "p97", "every bound")
    rows = [
        (name, *(_each(found, name, judge, WEIGHTS, _covered(of)) for judge in (OURS, OURS_NEW) for of in kinds))
        for name in QUIET_RELEASES
    ]
    text = f"""## Intervals

Runs, in %, in which Coalmine's 99 % interval of the odds ratio held the truth (1) at every one of 360 looks, at weights
{WEIGHT_NAMES}: of errors, of requests slower than the bucket bound next to p97, and of all watched bounds at once.

"""
    head = ("release without fault", *(f"{of}{new}" for new in ("", ", new service") for of in kinds))
    return text + table(head, rows)


def rules() -> str:
    """How the others decide, and where that is written."""
    rows = (
        ("Kayenta", "Mann-Whitney on a point a minute, growing window judged every 5 min; confidence 98 %, tolerance "
         "25 % of the estimated shift; both critical", "spinnaker/kayenta: `NetflixACAJudge`, `MannWhitneyClassifier`"),
        ("Flagger", "a check a minute on the last minute: success at least 99 %, p99 at most 500 ms; rolled back at "
         "the tick after the fifth failed check", "fluxcd/flagger: `pkg/controller/scheduler.go`"),
        ("Argo", "a measurement a minute of the same two; aborted when failures exceed `failureLimit`, or after five "
         "measurements in a row without data", "argoproj/argo-rollouts: `analysis/analysis.go`"),
        ("repeated z-test", "pooled one-sided z-test of two proportions at every look", "textbooks"),
        ("mSPRT", "normal mixture over the difference, deviation 0.5 points of errors and 1 point of slow requests",
         "Johari, Koomen, Pekelis, Walsh: Always Valid Inference (2022)"),
        ("GrowthBook", "one-sided asymptotic confidence sequence, tuning parameter 5000",
         "growthbook/growthbook: `gbstats/frequentist/tests.py`; Waudby-Smith et al., 2103.06476"),
        ("Lindon", "Dirichlet mixture over which arm an event comes from, concentration 100",
         "Lindon, Malek: Anytime-Valid Inference for Multinomial Count Data (2022)"),
    )  # fmt: skip
    text = """## The rules of the others

Re-implemented from what their authors published, each in a file of `benchmarks/judge/rivals/` and tested against an
independent oracle (`tests/benchmarks/`). Thresholds and limits without a published default were chosen in their favour.

"""
    return text + table(("judge", "rule", "source"), rows, "---")


def _each(
    found: Results,
    name: str,
    judge: str,
    weights: Iterable[float],
    shown: Callable[[Found], str],
    kind: str | None = None,
) -> str:
    kind = kind or ("fault" if name in FAULTS else "quiet")
    cells = [found.found(kind, name, weight, judge) for weight in weights]
    return " / ".join(MISSING if one is None else shown(one) for one in cells)


def _ratio(one: Found) -> str:
    if one.bound is None:
        return "-"
    return "never" if one.ratio is None else f"{one.ratio:.1f}"


def _rates(found: Results, name: str, judge: str) -> str:
    return _each(found, name, judge, WEIGHTS, lambda one: _percent(one.rate), "quiet")


def _pooled(found: Results, names: Sequence[str], judge: str) -> str:
    events, number = found.pooled("quiet", names, WEIGHTS, judge)
    if not number:
        return MISSING
    low, high = limits(events, number)
    return f"{100 * events / number:.2f} ({100 * low:.2f}-{100 * high:.2f})"


def _seen(one: Found | None) -> str:
    if one is None:
        return MISSING
    requests = one.figures["median_requests"]
    when = "never" if one.looks is None else f"{one.looks} looks, {requests:,} req"
    early = f", {one.early:.0%} before it" if one.early else ""
    return f"{when}, {one.rate:.0%}{early}"


def _bound(found: Results, name: str, weight: float) -> str:
    one = found.found("fault", name, weight, OURS)
    if one is None:
        return MISSING
    return "beyond the hour" if one.bound is None else str(one.bound - one.onset)


def _promoted(one: Found) -> str:
    return _percent(one.figures["promoted"] / one.runs)


def _proof(one: Found) -> str:
    return _or_never(one.figures["median_proof"])


def _covered(of: str) -> Callable[[Found], str]:
    return lambda one: _percent(one.figures["covered"][of] / one.runs)


def _percent(share: float) -> str:
    """Without the sign, as short as it may be."""
    return f"{100 * share:.2f}".rstrip("0").rstrip(".")


def _or_never(look: int | None) -> str:
    return "never" if look is None else str(look)
