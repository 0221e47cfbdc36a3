"""One input, tried: answered, or why not; what takes too long is a hang."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from tests.fuzz.targets import Target

LONGEST = 20
"""Seconds for one input: far more than any valid one takes."""


class Hang(BaseException):
    """An input took too long; no handler of ours catches it."""


def warm_up(target: Target) -> None:
    """Import what a target imports on its first use: on a busy machine that alone can take as long as a hang."""
    for data in target.seeds:
        target.run(data)


def attempt(target: Target, data: bytes) -> str:
    """Empty when the input was answered; else what went wrong instead."""
    alarmed = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGALRM, _hangs) if alarmed else None
    if alarmed:
        signal.alarm(LONGEST)
    try:
        target.run(data)
    except Hang:
        return f"no answer within {LONGEST} s"
    except Exception as error:
        text = str(error).splitlines()
        return f"{type(error).__name__}: {text[0] if text else ''}"
    finally:
        if alarmed:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
    return ""


def _hangs(number: int, frame: FrameType | None) -> None:
    raise Hang
