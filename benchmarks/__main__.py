"""``python -m benchmarks [NAME ...]``: measure, write ``results/*.json``, and draw docs/figures.md from them.

What follows one name and begins with ``-`` is passed on to it: ``python -m benchmarks mutants --seed 2``.
"""

from __future__ import annotations

import sys

from benchmarks import figures
from benchmarks.ending import carried_out

ALL = (
    "cli_help",
    "look_cost",
    "look_speed",
    "history",
    "envoy_shift",
    "proxy_shifts",
    "flag_change",
    "rollback_latency",
    "kills",
    "chat_ack",
    "judge",
    "judge_kinds",
    "carried_history",
    "backtest",
    "plan",
    "dashboard",
)
LONG = ("mutants", "sketch")
"""Run only when named."""


def main(asked: list[str]) -> int:
    """Run the named benchmarks, or all.

    Returns:
        0 when each reached its limits, 1 when one did not, 2 when what was asked is not understood.
    """
    named = next((number for number, word in enumerate(asked) if word.startswith("-")), len(asked))
    names, options = asked[:named], asked[named:]
    unknown = [name for name in names if name not in (*ALL, *LONG)]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; known are {', '.join((*ALL, *LONG))}", file=sys.stderr)
        return 2
    if options and len(names) != 1:
        print(f"{' '.join(options)}: options belong to one benchmark: name it before them", file=sys.stderr)
        return 2
    codes = {name: carried_out([sys.executable, "-m", f"benchmarks.{name}", *options]) for name in names or ALL}
    if options and 2 in codes.values():
        return 2
    failed = [name for name, code in codes.items() if code != 0]
    print(figures.write())
    if failed:
        print(f"limits not reached: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
