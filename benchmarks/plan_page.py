"""Draws the table of docs/plan.md from ``results/plan.json``: no figure in it is typed by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.report import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "plan.md"
BEGIN, END = "<!-- drawn by benchmarks.plan -->\n", "<!-- end -->\n"


def write() -> Path:
    """Put what was measured between the page's two marks."""
    found: dict[str, Any] = json.loads((RESULTS / "plan.json").read_text())
    text = PAGE.read_text()
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    PAGE.write_text(before + BEGIN + table(found) + END + after)
    return PAGE


def table(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    rows, machine = found["settings"], found["machine"]
    within = sum(row["within"] for row in rows)
    drawn = [row for row in rows if row["drawn"]]
    ratios = sorted(row["ratio"] for row in rows if row["ratio"] is not None)
    lines = [
        f"{within} of {len(rows)} medians are within {found['within']:.0%} of the simulated one (or one look or block, "
        f"where a quarter is less); {sum(row['within'] for row in drawn)} of the {len(drawn)} settings that were drawn "
        f"at random (*). Forecast over simulated: {ratios[0]:.2f} to {ratios[-1]:.2f}, median "
        f"{ratios[len(ratios) // 2]:.2f}. {found['runs']} runs a setting, seed {found['seed']}; "
        f"{machine['processor']}, {machine['cores']} cores, {machine['date']}.",
        "",
        "| | metric | canary % | requests/s | look | baseline | regression | history | 50 % | 80 % | 95 % |",
        "|---|---|---|---:|---:|---:|---:|---|---:|---:|---:|",
    ]
    for row in rows:
        cells = [
            "*" if row["drawn"] else "",
            row["metric"] + (" of both" if row["judged"] != row["metric"] else ""),
            ", ".join(f"{weight:g}" for weight in row["weights"]) + (" (from step 2)" if row["onset"] else ""),
            f"{row['rps']:g}",
            f"{row['look_s']:g} s",
            _baseline(row),
            _regression(row),
            _history(row),
            *(_looks(row["looks"][share]) for share in ("50%", "80%", "95%")),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _regression(row: dict[str, Any]) -> str:
    if row["times"] == 1:
        return "none: no harm"
    if row["kind"] == "value":
        return f"{'-' if row['down'] else '+'}{100 * (row['times'] - 1):.3g} %"
    if row["kind"] == "slo":
        return f"burns {row['times']:g} times"
    return f"x1/{row['times']:g}" if row["down"] else f"x{row['times']:g}"


def _baseline(row: dict[str, Any]) -> str:
    if row["kind"] in ("value", "count"):
        what = f"{100 * row['wobble']:.3g} %" if row["kind"] == "value" else f"{row['rate']:,.0f}/h"
        further = [f"{name} {row[name]:g}" for name in ("margin", "tolerance") if row[name]]
        return ", ".join([what, *further])
    if row["rate"] is None:
        return "above p97" if row["objective"] is None else f"above {row['objective']:g} s"
    return f"{100 * row['rate']:.3g} %" + (f", margin {row['margin']:g}" if row["margin"] else "")


def _history(row: dict[str, Any]) -> str:
    if not row["known"]:
        return "no"
    return f"yes, noise {row['wobble']:.0%}" if row["wobble"] and row["kind"] != "value" else "yes"


def _looks(one: dict[str, float | None]) -> str:
    return " / ".join("-" if looks is None else f"{looks:g}" for looks in (one["forecast"], one["simulated"]))


if __name__ == "__main__":
    print(write())
