"""Printing the report for a terminal: its width, its colours, and the characters it has."""

from __future__ import annotations

import shutil
import sys

from coalmine.cli._terminal import colours, draws
from coalmine.harmless import harmless
from coalmine.report.story import Story
from coalmine.report.text import Line, as_text
from coalmine.report.text_plots import ASCII, UNICODE

_STYLES = {"head": "bold", "good": "bold green", "bad": "bold red", "warn": "yellow", "dim": "dim"}
WIDEST = 160


def lines(story: Story) -> list[Line]:
    """The page, as wide as the terminal, in ASCII where nothing else can be shown."""
    drawn = "".join((UNICODE.effect, UNICODE.band, UNICODE.margin, *UNICODE.marks.values(), UNICODE.levels))
    glyphs = UNICODE if draws(drawn) else ASCII
    return as_text(story, min(shutil.get_terminal_size((100, 24)).columns, WIDEST), glyphs)


def show(found: list[Line]) -> None:
    """Print it, in colours where they are wanted."""
    if not colours():
        encoding = sys.stdout.encoding or "ascii"
        text = harmless("\n".join(line.text for line in found))
        print(text.encode(encoding, "replace").decode(encoding))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for line in found:
        console.print(Text(harmless(line.text), style=_STYLES.get(line.style, "")))
