"""Secrets in a spec: ``${COALMINE_SECRET_NAME}``, a name only, which the worker that needs the value looks up."""

from __future__ import annotations

import re

PREFIX = "COALMINE_SECRET_"
"""What the names of variables begin with: a spec can ask a worker for nothing else of its environment."""
BY_NAME = "write ${COALMINE_SECRET_...} in its place, and set that variable on the worker"
REFERENCE = re.compile(r"\$\{(COALMINE_SECRET_[A-Z0-9_]+)\}")
_ANY = re.compile(r"\$\{[^}]*\}?")
_STAND_IN = "x"


def name_problem(text: str) -> str | None:
    """Why what looks like a reference in ``text`` is none; None when all are well-formed."""
    wrong = next((found for found in _ANY.findall(text) if not REFERENCE.fullmatch(found)), None)
    if wrong is None:
        return None
    # Not shown in full: it may be the secret itself.
    kind = "a secret's name has capital letters, digits and _ only" if wrong.startswith(f"${{{PREFIX}") else "unknown"
    return f"'${{' begins something that is not filled in ({kind}): write ${{{PREFIX}NAME}}"


def is_by_name(text: str) -> bool:
    """Whether ``text`` is nothing but references."""
    return bool(text) and REFERENCE.sub("", text) == ""


def with_stand_ins(url: str) -> str:
    """The URL with a letter for each secret, and a whole address for one it begins with: what can be checked."""
    if found := REFERENCE.match(url):
        url = f"https://{_STAND_IN}{url[found.end() :]}"
    return REFERENCE.sub(_STAND_IN, url)
