"""What cancels a job does what Ctrl-C does, once, and leaves alone what others have decided about signals."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from coalmine.cli._cancelling import cancelled_as_by_ctrl_c


@pytest.fixture(autouse=True)
def _as_they_were() -> Iterator[None]:
    """Signals as a process has them that nobody started in the background."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_work_is_cancelled_and_the_last_words_are_not(number: signal.Signals) -> None:
    done: list[str] = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.sleep(60)
        finally:
            done.append("cleaned up")

    with cancelled_as_by_ctrl_c("watch"):
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(work())
        os.kill(os.getpid(), number)
        done.append("said")
    assert done == ["cleaned up", "said"]
    assert signal.getsignal(number) is signal.SIG_DFL


def test_who_does_not_hear_ctrl_c_can_be_cancelled() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60)

    with cancelled_as_by_ctrl_c("start"), pytest.raises(KeyboardInterrupt):
        asyncio.run(work())


def test_what_nohup_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with cancelled_as_by_ctrl_c("watch"):
        os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL


def test_other_verbs_end_as_before() -> None:
    with cancelled_as_by_ctrl_c("worker"):
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
