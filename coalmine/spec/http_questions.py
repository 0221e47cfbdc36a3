"""What a source of kind ``http`` is asked: ``/path?query -> expression``, the second in JMESPath over the JSON answer.

``/v1/orders?version={arm.version}&from={start}&to={end} -> totals.failed`` is one whole selector.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from coalmine.spec.faults import listed, shown
from coalmine.spec.urls import SECRET_PARAMETER

PLACES = ("start", "end", "start.unix", "end.unix", "arm.version", "arm.backend")
"""What is filled in, URL-encoded."""
LONGEST = 2_000
"""Characters of an expression."""
_ARROW = " -> "
_PLACE = re.compile(r"\{([^{}]*)\}")
_PATH = re.compile(r"/[!-~]*")
_KNOWN = listed("{" + name + "}" for name in PLACES)


@dataclass(frozen=True)
class Question:
    """A path with its query, in which values have yet to be filled in, and what to read of the answer."""

    path: str
    expression: Any
    """Compiled; ``search(data)`` gives what it finds, None for nothing."""


def question_of(text: str) -> Question:
    """The question a selector asks.

    Raises:
        ValueError: it is none; says what to write.
    """
    path, arrow, expression = (part.strip() if part != _ARROW else part for part in text.strip().partition(_ARROW))
    if not arrow or not expression:
        raise ValueError(f"{shown(text)} reads nothing of its answer: write /path?query -> an expression of JMESPath")
    bare = _PLACE.sub("x", path)
    if not _PATH.fullmatch(bare) or re.search(r"[{}#\"<>\\^`|]", bare):
        raise ValueError(
            f'{shown(path)} is no path: it begins with / and holds neither spaces nor {{ }} # " < > \\ ^ ` |, '
            "which are written as %20 and so on"
        )
    unknown = [name for name in _PLACE.findall(path) if name not in PLACES]
    if unknown:
        raise ValueError(f"{{{unknown[0]}}} is not known: use {_KNOWN}")
    if SECRET_PARAMETER.search(bare):
        raise ValueError("has a secret in its query, which ends up in records: name it in token_env, or in headers")
    if len(expression) > LONGEST:
        raise ValueError(f"the expression has {len(expression):,} characters: at most {LONGEST:,}")
    try:
        return Question(path, jmespath.compile(expression))
    except (JMESPathError, RecursionError) as error:
        said = str(error).partition("\n")[0].removeprefix("Invalid jmespath expression: ").strip(" :")
        reason = said or "it is nested too deeply"
        raise ValueError(f"{shown(expression)} is no expression of JMESPath: {reason}") from None


def filled_in(question: Question, values: dict[str, str]) -> str:
    """The path with ``values``, which are encoded already, by the names of ``PLACES``."""
    return _PLACE.sub(lambda place: values[place[1]], question.path)


def form_problem(text: str) -> str | None:
    """Why it is no question at all."""
    try:
        question_of(text)
    except ValueError as error:
        return str(error)
    return None


def question_problem(text: str) -> str | None:
    """Why it cannot be asked for one arm and one window."""
    if problem := form_problem(text):
        return problem
    names = set(_PLACE.findall(question_of(text).path))
    if not names & {"arm.version", "arm.backend"}:
        return "answers the same for both arms: put {arm.version} or {arm.backend} into the path or the query"
    missing = [name for name in ("start", "end") if not names & {name, f"{name}.unix"}]
    if missing:
        mend = f"put {{start}} and {{end}} into the path or the query ({missing[0]} is missing)"
        return f"counts more than the window: {mend}"
    return None
