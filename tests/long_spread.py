"""Spreads the modules that mostly wait over the processes of a parallel run, and lets none of them be its last.

They are begun by the minute and need little of a processor. Where chance put several at the end of one process, the
others had nothing to do for the last tenth of a run. The order stays that of the run's seed otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby

import pytest

LONG = (
    "tests/benchmarks/test_proxy_shifts.py",
    "tests/browser/",
    "tests/cli/test_release_script.py",
    "tests/cli/test_rollouts.py",
    "tests/end_to_end/",
    "tests/faults/test_holding.py",
    "tests/faults/test_kills.py",
    "tests/faults/test_resets",
    "tests/routers/test_temporal_worker.py",
    "tests/sources/test_prometheus_real",
    "tests/sources/test_source_contract.py",
    "tests/worker/",
    "tests/workflows/test_cancels.py",
    "tests/workflows/test_copied_hooks.py",
    "tests/workflows/test_dev_server.py",
    "tests/workflows/test_guard_stuck.py",
    "tests/workflows/test_heard_again.py",
    "tests/workflows/test_machine.py",
    "tests/workflows/test_orders.py",
    "tests/workflows/test_taking_over.py",
)
"""What the ids of their tests begin with: those that took 20 seconds and more, three quarters of it waiting."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Arrange what the seed has shuffled."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if processes > 1:
        items[:] = spread(items, processes)


def spread(items: Sequence[pytest.Item], processes: int) -> list[pytest.Item]:
    """The same items, such that each process, which is given an equal part in a row, gets its share of long modules."""
    modules = [list(group) for _, group in groupby(items, lambda item: item.nodeid.partition("::")[0])]
    long = [module for module in modules if module[0].nodeid.startswith(LONG)]
    short = [item for module in modules if not module[0].nodeid.startswith(LONG) for item in module]
    dealt = [long[number::processes] for number in range(processes)]
    arranged: list[pytest.Item] = []
    for number, own in enumerate(dealt):
        size = (len(items) - len(arranged)) // (processes - number)
        between = max(0, size - sum(map(len, own)))
        rest, short = short[:between], short[between:]
        for place, module in enumerate(own):
            arranged += rest[: len(rest) // (len(own) + 1 - place)]
            rest = rest[len(rest) // (len(own) + 1 - place) :]
            arranged += module
        arranged += rest
    return [*arranged, *short]
