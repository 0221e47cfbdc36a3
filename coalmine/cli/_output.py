"""Where things go: stdout is data in the form that was asked for, stderr is for people."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from coalmine.harmless import harmless, harmless_json

if TYPE_CHECKING:
    from pydantic import BaseModel


class OutputLost(OSError):
    """Raised when stdout takes nothing more, as on a full disk; what is printed there is what was asked for."""


class Output:
    """One verb's two streams."""

    def __init__(self, form: str = "table") -> None:
        self.form = form

    @property
    def is_json(self) -> bool:
        """Whether a program reads stdout."""
        return self.form in ("json", "jsonl")

    def data(self, value: Any, text: str) -> None:
        """Print ``value`` as JSON, or ``text`` for the table form."""
        self._print(_json(value, indent=None if self.form == "jsonl" else 2) if self.is_json else text)

    def line(self, value: Any, text: str) -> None:
        """Print one of many: a JSON object on one line, or one line of text."""
        self._print(_json(value, indent=None) if self.is_json else text)

    def say(self, text: str) -> None:
        """Tell people; where nothing can be told any more, what was asked for is done all the same."""
        try:
            print(harmless(text), file=sys.stderr, flush=True)
        except BrokenPipeError:
            raise
        except OSError:
            _let_go(sys.stderr)

    def _print(self, text: str) -> None:
        if text:
            # Names of files may hold bytes that are no text; \\udcff is what JSON too writes for one.
            whole = (harmless_json if self.is_json else harmless)(text).encode("utf-8", "backslashreplace").decode()
            try:
                print(whole, flush=True)
            except BrokenPipeError:
                raise
            except OSError as error:
                _let_go(sys.stdout)
                raise OutputLost(error.errno, error.strerror) from error


def let_go_of_the_gone() -> None:
    """Where a terminal is gone or a disk is full: what is still to be written would fail again at the end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _let_go(stream)


def _let_go(stream: TextIO) -> None:
    """What it holds back still would fail once more when it is flushed, and with it the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def plain(model: BaseModel) -> dict[str, Any]:
    """A model as JSON has it."""
    data: dict[str, Any] = model.model_dump(mode="json", by_alias=True)
    return data


def _json(value: Any, indent: int | None) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False, default=str)


def columns(head: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[int] = ()) -> str:
    """A table of plain text, columns two spaces apart; ``right`` names columns of numbers."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    lines = []
    for row in cells:
        padded = [cell.rjust(width) if at in right else cell.ljust(width)
                  for at, (cell, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def pairs(facts: Mapping[str, str]) -> str:
    """``name  fact`` on lines of their own; empty facts are left out, further lines are indented."""
    shown = {name: fact for name, fact in facts.items() if fact}
    width = max((len(name) for name in shown), default=0)
    indent = "\n" + " " * (width + 2)
    return "\n".join(f"{name.ljust(width)}  {fact.replace(chr(10), indent)}" for name, fact in shown.items())
