"""What the terminal can show: whether it redraws, takes colours, and has the characters that plots are drawn with."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TextIO


def redraws(stream: TextIO | None = None, environ: Mapping[str, str] | None = None) -> bool:
    """Whether a page can be drawn anew in place: a terminal that knows more than lines."""
    stream, environ = stream or sys.stdout, os.environ if environ is None else environ
    return stream.isatty() and environ.get("TERM", "").lower() not in ("dumb", "unknown")


def colours(stream: TextIO | None = None, environ: Mapping[str, str] | None = None) -> bool:
    """Whether colours are wanted: a terminal that redraws, and no ``NO_COLOR`` (https://no-color.org)."""
    environ = os.environ if environ is None else environ
    return redraws(stream, environ) and not environ.get("NO_COLOR")


def draws(text: str, stream: TextIO | None = None, environ: Mapping[str, str] | None = None) -> bool:
    """Whether these characters can be shown; a dumb terminal gets ASCII, whatever its encoding says."""
    stream, environ = stream or sys.stdout, os.environ if environ is None else environ
    if environ.get("TERM", "").lower() == "dumb":
        return text.isascii()
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
