"""A worker imports the judge in several threads at once: while it warms up, a rollout may be admitted already."""

from __future__ import annotations

import asyncio
import sys

BOTH = """
import threading
from activities.evaluation import numerics
from activities.ledger import _learn

failed, begin = [], threading.Barrier(2)

def run(work):
    begin.wait()
    try:
        work()
    except BaseException as error:
        failed.append(repr(error))

threads = [threading.Thread(target=run, args=(work,)) for work in (numerics, lambda: _learn([], []))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(failed)
"""


async def test_threads_that_import_the_judge_at_once_do_not_fail() -> None:
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", BOTH, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        for _ in range(4)
    ]
    for process in started:
        said, _ = await process.communicate()
        assert said.decode().strip() == "[]"
