"""``python -m benchmarks [NAME ...] [OPTION ...]``: measure, write ``results/*.json``, draw docs/figures.md from them.

Options go to the one benchmark that is named: ``python -m benchmarks judge --quick``.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks import figures

ALL = ("cli_help", "look_cost", "look_speed", "history", "envoy_shift", "rollback_latency", "kills", "judge")


def main(arguments: list[str]) -> int:
    """Run the named benchmarks, or all.

    Returns:
        0 when each reached its limits.
    """
    first = next((at for at, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    asked, options = arguments[:first], arguments[first:]
    if options and len(asked) != 1:
        print(f"{options[0]}: name the one benchmark it is for, such as judge {options[0]}", file=sys.stderr)
        return 2
    unknown = [name for name in asked if name not in ALL]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; known are {', '.join(ALL)}", file=sys.stderr)
        return 2
    failed = [
        name
        for name in asked or ALL
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False).returncode != 0
    ]
    print(figures.write())
    if failed:
        print(f"limits not reached: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
