"""When two names are the same person: one form for whatever compares people. Shown and recorded is what was said."""

from __future__ import annotations

import unicodedata

LONGEST_NAME = 200
"""Characters: what people send (a gate's name, who they are) is refused above it."""

_UNSEEN_TOO = frozenset(
    map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10)))
) | frozenset(map(chr, range(0xE0100, 0xE01F0)))
"""Joiners, fillers and selectors of variants: shown as nothing, like those of the category Cf, and of other ones."""


def folded(name: str) -> str:
    """The form by which two names are the same person; empty where a name is nothing that anybody sees.

    Capitals, the way an accent is written, full width, white space around it and characters that are not shown make no
    other person. A letter that only looks like another one does: nothing here can tell which was meant.
    Unicode promises that what is assigned keeps its form, so a replay under a later Python gives the same.
    """
    seen = "".join(char for char in name if unicodedata.category(char) != "Cf" and char not in _UNSEEN_TOO)
    # Unicode's compatibility caseless match: folding case may undo the normal form, and decompose what folds again.
    once = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", seen).casefold())
    return unicodedata.normalize("NFKC", once.casefold()).strip()
