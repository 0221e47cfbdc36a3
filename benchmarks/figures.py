"""Draws docs/figures.md from ``results/*.json``: no figure in it is typed by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.report import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "figures.md"
HEAD = """# Figures

Measured by `make bench` on the machine each line names; drawn from `benchmarks/results/*.json`.

| what | figure | limit | machine, date |
|---|---|---|---|
"""


def write() -> Path:
    """Write the page anew from what was measured so far."""
    rows = [*_traffic(), *_rollback(), *_kills(), *_look(), *_history(), *_help()]
    lines = [f"| {what} | {figure} | {limit} | {machine} |" for what, figure, limit, machine in rows]
    PAGE.write_text(HEAD + "\n".join(lines) + "\n" + _judge() + _kinds())
    return PAGE


def _read(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return found


def _machine(found: dict[str, Any]) -> str:
    machine = found["machine"]
    return f"{machine['processor']}, {machine['cores']} cores, {machine['date']}"


def _traffic() -> list[tuple[str, str, str, str]]:
    found = _read("envoy_shift")
    if found is None:
        return []
    changes, rate = found["changes"], found["requests_per_second"]
    figure = f"{found['failed_requests']} of {found['requests']:,}"
    return [(f"failed requests while weights change {changes} times under {rate:g}/s", figure, "0", _machine(found))]


def _rollback() -> list[tuple[str, str, str, str]]:
    found = _read("rollback_latency")
    if found is None:
        return []
    rows = []
    for key, when in (("look_in_flight", "a look in flight"), ("during_shift", "during a shift")):
        one = found[key]
        figure = f"p50 {one['p50_ms']:g} ms, p95 {one['p95_ms']:g} ms, p99 {one['p99_ms']:g} ms"
        limit = "p95 300 ms, p99 500 ms" if key == "look_in_flight" else "reported"
        what = f"rollback signal until 0 % is shown by 3 Envoys, {when} ({one['tries']} tries)"
        rows.append((what, figure, limit, _machine(found)))
    return rows


def _kills() -> list[tuple[str, str, str, str]]:
    found = _read("kills")
    if found is None:
        return []
    progress = found["next_progress_s"]
    right = f"{found['right']} of {found['rollouts']} rollouts right"
    after = f"p50 {progress['p50']:g} s, p95 {progress['p95']:g} s"
    return [
        (
            f"kill -9 of the worker at {found['kills']} random moments, read from the proxies",
            right,
            "all",
            _machine(found),
        ),
        ("next progress after a new worker's process starts", after, "p50 5 s", _machine(found)),
    ]


def _look() -> list[tuple[str, str, str, str]]:
    found = _read("look_cost")
    if found is None:
        return []
    figure = f"{found['events_per_look']:g} events, {found['bytes_per_look']:,} bytes"
    limit = f"{found['limit_events']} events, {found['limit_bytes']:,} bytes"
    return [("history per look, errors + latency, ledger included", figure, limit, _machine(found))]


def _history() -> list[tuple[str, str, str, str]]:
    found = _read("history")
    if found is None:
        return []
    figure = f"{found['outcome']} after {found['runs']} runs, record {'whole' if found['complete'] else 'with gaps'}"
    what = f"a rollout of {found['looks']:,} looks, by continue-as-new (scripted world, skipped time)"
    return [(what, figure, "promoted, whole", _machine(found))]


def _help() -> list[tuple[str, str, str, str]]:
    found = _read("cli_help")
    if found is None:
        return []
    wall = found["wall"]
    figure = f"median {wall['median']:.2f} s, p95 {wall['p95']:.2f} s (load {found['load_average']:g})"
    return [("`coalmine --help` and every verb's", figure, f"{found['limit_seconds']} s", _machine(found))]


def _judge() -> str:
    found = _read("judge_quick")
    if found is None:
        return ""
    harmful = [cell for cell in found["cells"] if cell.get("ratio") is not None and cell["known"]]
    lines = [
        "",
        "## The judge, quick benchmark",
        "",
        f"{_machine(found)}; seed {found['seed']}. Median looks until rollback over the looks the two-sample bound",
        "needs (200 requests/s, a look each 10 s, alpha 1 %, no margin, with history); 1 is the theoretical limit.",
        "",
        "| regression | weight | runs | ratio |",
        "|---|---:|---:|---:|",
    ]
    for cell in harmful:
        row = (cell["scenario"], f"{cell['weight']:.0%}", str(cell["runs"]), f"{cell['ratio']:.2f}")
        lines.append("| " + " | ".join(row) + " |")
    upper = f"{found['pooled_upper_limit']:.2%}"
    lines += ["", f"False rollbacks of releases without change, noisy regimes pooled: 95 % upper limit {upper}."]
    lines += ["", "What is behind these and how to read them: [judging.md](judging.md)."]
    return "\n".join(lines) + "\n"


def _kinds() -> str:
    found = _read("judge_kinds")
    if found is None:
        return ""
    lines = [
        "",
        "## Further kinds of metrics",
        "",
        f"{_machine(found)}; seed {found['seed']}. {found['rows'][0]['runs']:,} runs a line, judged after every one of",
        f"{found['looks']} minutes (`value`) or looks of 10 s (`count`, `slo`), alpha 1 %, no margin, without history.",
        "",
        "| kind | case | found harm | looks until then, median | bound |",
        "|---|---|---:|---:|---:|",
    ]
    for row in found["rows"]:
        looks = ("-", "-") if "bound" not in row else (f"{row['looks']:g}", f"{row['bound']:g}")
        lines.append(f"| `{row['kind']}` | {row['case']} | {row['harm']:.1%} | {looks[0]} | {looks[1]} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(write())
