"""A test that runs out of time tells what it was waiting for."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

SLOW = """
import asyncio
import pytest

async def the_answer_that_never_comes():
    await asyncio.get_running_loop().create_future()

@pytest.mark.timeout({limit})
async def test_slow():
    await the_answer_that_never_comes()

@pytest.fixture
async def late():
    yield
    await the_answer_that_never_comes()

@pytest.mark.timeout({limit})
async def test_late(late):
    pass
"""


def test_it_names_what_was_awaited(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SLOW.format(limit=1))
    pytester.makeini("[pytest]\nasyncio_mode = auto\n")
    result = pytester.runpytest_subprocess("-p", "tests.timed_out", "-p", "no:cacheprovider", "-p", "no:randomly")
    result.assert_outcomes(passed=1, failed=1, errors=1)
    text = result.stdout.str()
    for when in ("call", "teardown"):
        section = text.split(f"Pending tasks at {when}", 1)[1]
        assert "the_answer_that_never_comes" in section
