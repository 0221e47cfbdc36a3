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
    rows = [
        *_traffic(),
        *_proxies(),
        *_flags(),
        *_rollback(),
        *_kills(),
        *_look(),
        *_speed(),
        *_history(),
        *_backtest(),
        *_help(),
        *_chat(),
        *_plan(),
        *_dashboard(),
        *_mutants(),
    ]
    lines = [f"| {what} | {figure} | {limit} | {machine} |" for what, figure, limit, machine in rows]
    PAGE.write_text(HEAD + "\n".join(lines) + "\n" + _judge() + _kinds() + _carried())
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


def _proxies() -> list[tuple[str, str, str, str]]:
    found = _read("proxy_shifts")
    if found is None:
        return []
    rows: list[tuple[str, str, str, str]] = []
    for name, one in found["proxies"].items():
        split = one["split"]
        machine = _machine({"machine": {**found["machine"], "date": one["date"]}})
        what = (
            f"{name}: failed requests in {one['changes']} changes at {one['requests_per_second_reached']:g}/s reached"
        )
        rows.append((what, f"{one['failed_requests']:,} of {one['requests']:,}", "0", machine))
        what = f"{name}: split seen over {split['requests']:,} requests, asked {split['asked_percent']:g} %"
        rows.append((what, f"{split['seen_percent']:g} %", "within 2 points", machine))
    return rows


def _flags() -> list[tuple[str, str, str, str]]:
    found = _read("flag_change")
    if found is None:
        return []
    seconds = found["seconds"]
    figure = f"median {seconds['median']:g} s, p95 {seconds['p95']:g} s, longest {seconds['max']:g} s"
    what = (
        f"flag change until a running Python app answers by it, {found['changes']} changes, its provider looks every "
        f"{found['poll_seconds']:g} s"
    )
    return [(what, figure, f"{found['limit']:g} s", _machine(found))]


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
    if "beside_hung_hooks" in found:
        beside = found["beside_hung_hooks"]
        figure = f"p50 {beside['p50_ms']:g} ms, p95 {beside['p95_ms']:g} ms: {beside['p95_to_idle']:g}x"
        what = f"the same with a look in flight, beside {beside['hooks']} hooks that hang ({beside['tries']} tries)"
        rows.append((what, figure, "p95 2x of idle", _machine(found)))
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


def _undisturbed(one: dict[str, Any]) -> str:
    """What looks took while nothing shared the core; nothing where that was not measured."""
    if one.get("undisturbed_p95_ms") is None:
        return ""
    return f"; p95 of the {one['undisturbed_looks']:.0f} looks that nothing disturbed {one['undisturbed_p95_ms']:.1f}"


def _speed() -> list[tuple[str, str, str, str]]:
    found = _read("look_speed")
    if found is None or "sets" not in found:
        # Measured before there were sets: no figure of these rows.
        return []
    names = {"alike": "errors and latency", "own_margins": "the same, a margin each", "six_kinds": "all six kinds"}
    each = [
        f"{words}: p50 {one['p50_ms']:.1f} ms, p95 {one['p95_ms']:.1f} ms "
        f"(by the clock {one['clock_p50_ms']:.1f} and {one['clock_p95_ms']:.1f}{_undisturbed(one)})"
        for words, one in ((words, found["sets"][name]) for name, words in names.items())
    ]
    best = found["sets"]["alike"].get("reference_best_ms")
    reference = "" if best is None else f"; the reference sum takes {best:g} ms at its best there"
    figure = f"{'; '.join(each)}; load {found['load_average']:g}{reference}"
    many = ", ".join(f"{bytes_:,} at {number}" for number, bytes_ in found["state_bytes_objective_by_bounds"].items())
    state = (
        f"{found['state_bytes_errors_latency']:,} bytes, {found['state_bytes_each_further']:,} for each further "
        f"metric; with an objective {many} bounds"
    )
    return [
        (
            f"one look at ten metrics judged, processor time on one core, median of {found['repetitions']} runs",
            figure,
            "p95 5 ms",
            _machine(found),
        ),
        ("evidence of errors + latency, its largest", state, "4,096 bytes, 2,560", _machine(found)),
    ]


def _history() -> list[tuple[str, str, str, str]]:
    found = _read("history")
    if found is None:
        return []
    figure = f"{found['outcome']} after {found['runs']} runs, record {'whole' if found['complete'] else 'with gaps'}"
    what = f"a rollout of {found['looks']:,} looks, by continue-as-new (scripted world, skipped time)"
    return [(what, figure, "promoted, whole", _machine(found))]


def _backtest() -> list[tuple[str, str, str, str]]:
    found = _read("backtest")
    if found is None:
        return []
    what = f"`coalmine backtest`, {found['traces']:,} traces of {found['looks']} looks, errors + latency, one core"
    figure = (
        f"{max(found['processor_seconds']):.1f} s of processor time, {min(found['wall_seconds']):.1f} s by the clock "
        f"(load {found['load_average']:g}); bytes the same twice and in another order of metrics"
    )
    if not (found["same_bytes_twice"] and found["same_bytes_in_another_order"]):
        figure = figure.replace("the same twice and", "NOT the same twice or")
    return [(what, figure, f"{found['limit_seconds']:g} s", _machine(found))]


def _help() -> list[tuple[str, str, str, str]]:
    found = _read("cli_help")
    if found is None:
        return []
    wall = found["wall"]
    figure = f"median {wall['median']:.2f} s, p95 {wall['p95']:.2f} s (load {found['load_average']:g})"
    return [("`coalmine --help` and every verb's", figure, f"{found['limit_seconds']} s", _machine(found))]


def _chat() -> list[tuple[str, str, str, str]]:
    found = _read("chat_ack")
    if found is None:
        return []
    figure = f"p50 {found['p50_ms']:g} ms, p99 {found['p99_ms']:g} ms (load {found['load_average']:g})"
    what = f"chat: acknowledgement to (a fake) Slack while Temporal is down, {found['requests']} requests"
    return [(what, figure, f"p99 {found['limit_ms']:g} ms", _machine(found))]


def _plan() -> list[tuple[str, str, str, str]]:
    found = _read("plan")
    if found is None:
        return []
    rows = found["settings"]
    what = "`coalmine plan`: forecast median within 25 % of the judge's, or one look or block ([plan.md](plan.md))"
    return [(what, f"{sum(row['within'] for row in rows)} of {len(rows)} settings", "20", _machine(found))]


def _dashboard() -> list[tuple[str, str, str, str]]:
    found = _read("dashboard")
    if found is None:
        return []
    load = f"(load {found['load_average']:g})"
    waiting = found.get("waiting_at_a_gate", 0)
    many = f"{found['rollouts']:,} open rollouts" + (f", {waiting} of them at a gate" if waiting else "")
    rows = []
    for key, what in (
        (
            "usable",
            f"live page with {many}, nothing cached, until it is usable in chromium",
        ),
        ("seen", f"a start until its row is seen on that page, {many}"),
        ("phase_seen", f"another phase until its row says so on that page, {many}"),
        ("order_seen", f"a weight above all others until its row comes onto that page, sorted by weight, {many}"),
    ):
        one = found.get(f"{key}_s")
        if one is None:
            continue  # Measured before that was timed.
        figure = f"p50 {one['p50']:g} s, p95 {one['p95']:g} s, longest {one['max']:g} s of {one['tries']} {load}"
        limit = f"p95 {found['limit_usable_s']:g} s" if key == "usable" else f"longest {found['limit_seen_s']:g} s"
        rows.append((what, figure, limit, _machine(found)))
    return rows


def _mutants() -> list[tuple[str, str, str, str]]:
    found = _read("mutants")
    if found is None:
        return []
    explained = found["survived"] - found["unexplained"]
    figure = f"{found['score']:.1%} of {found['mutants']}"
    if "score_at_first" in found:
        figure += f" ({found['score_at_first']:.1%} before tests were added for its survivors)"
    figure += f"; {explained} of {found['survived']} survivors explained"
    what = f"wrong changes of the judge's code that its tests notice (seed {found['seed']})"
    return [(what, figure, f"{found['least_score']:.0%}", _machine(found))]


def _judge() -> str:
    if _read("judge") is None:
        return ""
    return (
        "\nHow often the judge is wrong, how soon it sees a fault, and how others do: [benchmark.md](benchmark.md).\n"
    )


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


def _carried() -> str:
    found = _read("carried_history")
    if found is None:
        return ""
    lines = [
        "",
        "## A history learnt half against half, and a canary with less",
        "",
        f"{_machine(found)}; seed {found['seed']}. {found['settings'][0]['runs']:,} runs a line, each with a history",
        f"and traffic of its own, judged for {found['looks']} looks of 10 s, alpha 1 %, no margin. How much of the",
        "history's noise is taken to stay where the canary has less traffic than the history was learnt from: none of",
        "it, half (the judge), all.",
        f"Limit, with half: {found['most_rolled_back']} sound releases rolled back.",
        "",
        "| noise | errors | canary | sound ones rolled back: none, half, all | doubled errors seen: none, half, all "
        "| at look, median: none, half, all |",
        "|---|---:|---:|---|---|---|",
    ]
    for row in found["settings"]:
        choices = [row[name] for name in ("none", "half", "all")]
        rolled_back, seen = (", ".join(str(one[key]) for one in choices) for key in ("rolled_back", "seen"))
        looks = ", ".join("-" if one["median_look"] is None else f"{one['median_look']:g}" for one in choices)
        lines.append(f"| {row['noise']} | {row['rate']:.1%} | {row['weight']:.0%} | {rolled_back} | {seen} | {looks} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(write())
