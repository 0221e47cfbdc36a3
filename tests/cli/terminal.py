"""A command on a terminal of its own: what it draws, until it has drawn what is wanted; then Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


# Put before a command. Who was started in the background by a shell ignores Ctrl-C, and so does whatever they start.
# A function between fork and exec would do too, but the threads of gRPC start anew in a process that is forked, and
# abort it where their files are closed before it runs the command.
HEARS_CTRL_C = ("/usr/bin/env", "--default-signal=INT")


@contextlib.asynccontextmanager
async def on_a_terminal(
    words: Sequence[str], variables: Mapping[str, str] | None = None, stderr: bool = True
) -> AsyncIterator[tuple[Process, int]]:
    """Start ``coalmine WORDS`` on a terminal of 40 x 160; it is ended when the block is left.

    Args:
        words: Of the command line.
        variables: Of its environment.
        stderr: Whether what it says on stderr goes to the terminal too, or to a pipe.

    Yields:
        The process, and our end of the terminal, which whoever uses it closes.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *(*HEARS_CTRL_C, sys.executable, "-m", "coalmine.cli", *words),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs if stderr else asyncio.subprocess.PIPE,
        env={**os.environ, "TERM": "xterm", "LINES": "40", "COLUMNS": "160", **(variables or {})},
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        # Whoever reads from it in a thread would wait for ever.
        if process.returncode is None:
            process.kill()
        await process.wait()


async def shown_until(words: Sequence[str], wanted: Sequence[str], **variables: str) -> tuple[str, str, int]:
    """Run ``coalmine WORDS`` on a terminal of 40 x 160 until it has shown all that is wanted, then interrupt it.

    Returns:
        What was drawn, what stderr says, and the exit code.
    """
    drawn = b""
    try:
        async with on_a_terminal(words, variables, stderr=False) as (process, ours), asyncio.timeout(90):
            while not all(part in _ESCAPES.sub("", drawn.decode(errors="replace")) for part in wanted):
                drawn += await asyncio.to_thread(os.read, ours, 65536)
            # One that ends by itself may have done so already.
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            # A terminal nobody reads would block the last page.
            reading = asyncio.create_task(asyncio.to_thread(_drain, ours))
            assert process.stderr is not None
            told = (await process.stderr.read()).decode()
            code = await process.wait()
            await reading
    except TimeoutError:
        raise AssertionError(f"it never showed {list(wanted)}; it drew {drawn[-4000:]!r}") from None
    os.close(ours)
    return drawn.decode(errors="replace"), told, code


def _drain(terminal: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(terminal, 65536):
            pass


async def typed(words: Sequence[str], answers: Mapping[str, str]) -> tuple[str, int]:
    """Run ``coalmine WORDS`` at a terminal and answer each question, by a word in it, in their order.

    Returns:
        All that was shown, and the exit code.
    """
    shown = ""
    try:
        async with on_a_terminal(words) as (process, ours), asyncio.timeout(90):
            for question, answer in answers.items():
                seen = len(shown)
                while not (question in shown[seen:] and shown.endswith(": ")):
                    shown += (await asyncio.to_thread(os.read, ours, 65536)).decode(errors="replace")
                os.write(ours, f"{answer}\n".encode())
            # The terminal is gone with the last one that has it open.
            with contextlib.suppress(OSError):
                while read := await asyncio.to_thread(os.read, ours, 65536):
                    shown += read.decode(errors="replace")
            code = await process.wait()
    except TimeoutError:
        raise AssertionError(f"it never asked all of {list(answers)}; it showed {shown!r}") from None
    os.close(ours)
    return shown, code
