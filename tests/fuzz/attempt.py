"""One input, tried: answered, or why not; what takes too long is a hang, of the processor or of waiting."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from tests.fuzz.targets import Target

LONGEST = 20
"""Seconds of processor time for one input: far more than any valid one takes."""
LONGEST_WAIT = 180
"""Seconds for one input on a machine that is busy with other things: what waits for ever uses no processor time."""


class Hang(BaseException):
    """An input took too long; no handler of ours catches it."""


def warm_up(target: Target) -> None:
    """Import what a target imports on its first use: on a busy machine that alone can take as long as a hang."""
    for data in target.seeds:
        target.run(data)


def attempt(target: Target, data: bytes) -> str:
    """Empty when the input was answered; else what went wrong instead."""
    alarmed = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, _hangs) for number in (signal.SIGALRM, signal.SIGPROF)} if alarmed else {}
    if alarmed:
        signal.setitimer(signal.ITIMER_PROF, LONGEST)
        signal.alarm(LONGEST_WAIT)
    try:
        target.run(data)
    except Hang as hang:
        return str(hang)
    except Exception as error:
        text = str(error).splitlines()
        return f"{type(error).__name__}: {text[0] if text else ''}"
    finally:
        if alarmed:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)
    return ""


def _hangs(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGPROF:
        raise Hang(f"no answer within {LONGEST} s of processor time")
    raise Hang(f"no answer within {LONGEST_WAIT} s")
