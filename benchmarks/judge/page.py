"""Draws docs/benchmark.md and its plots from ``results/judge.json``: no figure in it is typed by hand."""

from __future__ import annotations

from pathlib import Path

from benchmarks.judge import plots, tables
from benchmarks.judge.beside_sketch import beside_sketch
from benchmarks.judge.missed_targets import beside_the_sketch
from benchmarks.judge.results import Results, read
from benchmarks.report import RESULTS

DOCS = Path(__file__).parent.parent.parent / "docs"

HEAD = """# Release judges compared

How often does a judge roll back a release that is fine, and how many requests does a bad release get before it is seen?
The traffic is simulated, so that the truth is known and every figure can be measured again:

    python -m benchmarks judge            # everything: half an hour of one core; stopped, it goes on where it was
    python -m benchmarks judge --quick    # a slice in some seconds

- **Traffic**: 200 requests a second, a look each 10 s, an hour, the canary at 1, 5, 10 or 50 % of the requests. Errors,
  and latency in eleven histogram buckets (log-normal, median 80 ms, p99 323 ms).
- **Releases without fault** ({quiet_runs} runs a cell): whatever is rolled back is a false alarm. **Releases with a
  fault** ({fault_runs} runs a cell): looks and requests until the rollback.
- **The bound** is the number of looks after which a release with this fault differs from one without by ln(1/alpha)
  nats, errors and latency together. No test with that alpha and an unknown baseline needs fewer on average: 1x is the
  theoretical limit. A median may lie below it; one far below belongs to a judge that also fires without cause.
- **Coalmine** judges by `benchmarks/judge/spec.yaml`: alpha 1 % for the whole release, no margin, no floor; with a
  history of the service (an independent hour of the same noise), and as a new service that rolls back all the same.
- **The others** follow their [published rules](#the-rules-of-the-others). Tests of proportions get the same 1 %, split
  between errors and requests slower than 250 ms. Fixed limits are at least 99 % success and p99 of at most 500 ms.
- **Seeds**: {seed} was drawn for this page alone. A cell's randomness depends on that seed and the cell's name, so each
  can be measured by itself; the judge is tuned with other seeds (`--seed`).

Measured {date} on {processor}, {cores} cores; {cells} of {planned} cells.{incomplete}
"""


def write(results: Results | None = None, docs: Path = DOCS) -> None:
    """Write the page and its plots."""
    found = results or read(RESULTS / "judge.json")
    images = docs / "images"
    images.mkdir(parents=True, exist_ok=True)
    (images / "benchmark-false-rollbacks.svg").write_text(plots.false_rollbacks(found))
    (images / "benchmark-requests.svg").write_text(plots.requests(found))
    (docs / "benchmark.md").write_text(text(found))


def text(found: Results) -> str:
    """The page."""
    head = HEAD.format(
        quiet_runs=tables.runs(found, "quiet"),
        fault_runs=tables.runs(found, "fault"),
        seed=found.seed,
        date=found.machine["date"],
        processor=found.machine["processor"],
        cores=found.machine["cores"],
        cells=len(found.cells),
        planned=found.planned,
        incomplete="" if len(found.cells) == found.planned else " What is not measured yet is shown as ·.",
    )
    parts = [
        head,
        "![False rollbacks by judge](images/benchmark-false-rollbacks.svg)\n",
        "![Requests until the rollback against false rollbacks](images/benchmark-requests.svg)\n",
        tables.weak(found),
        tables.targets(found) + beside_the_sketch(found),
        beside_sketch(found),
        tables.false_rollbacks(found),
        tables.detection(found),
        tables.each_fault(found),
        tables.promotion(found),
        tables.coverage(found),
        tables.rules(),
    ]
    return "\n".join(parts)
