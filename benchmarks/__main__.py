"""``python -m benchmarks [NAME ...]``: measure, write ``results/*.json``, and draw docs/figures.md from them."""

from __future__ import annotations

import subprocess
import sys

from benchmarks import figures

ALL = (
    "cli_help",
    "look_cost",
    "look_speed",
    "history",
    "envoy_shift",
    "rollback_latency",
    "kills",
    "judge_quick",
    "judge_kinds",
)


def main(asked: list[str]) -> int:
    """Run the named benchmarks, or all.

    Returns:
        0 when each reached its limits.
    """
    unknown = [name for name in asked if name not in ALL]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; known are {', '.join(ALL)}", file=sys.stderr)
        return 2
    failed = [
        name
        for name in asked or ALL
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode != 0
    ]
    print(figures.write())
    if failed:
        print(f"limits not reached: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
