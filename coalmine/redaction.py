"""Keeping secrets out of what people read: values this process looked up, and whatever looks like a credential.

Pure but for one list: the values a process has looked up so far, which its logs and errors then leave out.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

HIDDEN = "***"
SHORTEST = 8
"""Characters of a secret: a shorter one would turn up in ordinary words, which could not be read any more."""
_SECRET_KEY = re.compile(
    r"(?:.*[-_.])?(?:authorization|password|passwd|secret|token|api[-_]?key|cookie)", re.IGNORECASE
)
_TOKEN = r"[A-Za-z0-9._~+/=-]"
# Each alternative begins where no other match of it can: long texts take time in proportion to their length.
_LOOKS_SECRET: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"(?i)(\b(?:proxy-)?authorization\b['\"]?\s{0,3}[:=]\s{0,3}['\"]?)[^\s'\",;]+(?: [^\s'\",;]{8,})?"),
        r"\1***",
    ),
    (re.compile(rf"(?<![A-Za-z])(Bearer|Basic) {_TOKEN}{{12,}}"), r"\1 ***"),
    (re.compile(r"(://)[^/\s@'\"<>]{1,500}@"), r"\1***@"),
    (
        re.compile(
            r"(?i)([?&;](?:[a-z_-]{0,20}(?:token|password|secret|signature)|api_?key|auth|sig|key)=)[^&#\s'\"<>]+"
        ),
        r"\1***",
    ),
    (re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"), HIDDEN),
    (re.compile(r"(?<![A-Za-z0-9_-])(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-)[A-Za-z0-9_-]{10,}"), HIDDEN),
    (re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"), HIDDEN),
    (re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]*(?:-----END [A-Z ]{0,30}PRIVATE KEY-----)?"), HIDDEN),
)


class Redactor:
    """Replaces secrets by ``***``."""

    def __init__(self) -> None:
        self._forms: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def register(self, value: str) -> None:
        """Leave ``value`` out from now on, also as URLs, JSON and basic authentication write it."""
        if len(value) < SHORTEST:
            return
        forms = {
            value,
            quote(value, safe=""),
            quote(value),
            quote_plus(value),
            json.dumps(value)[1:-1],
            repr(value)[1:-1],
        }
        forms.add(json.dumps(value, ensure_ascii=False)[1:-1])
        forms.add(base64.b64encode(value.encode()).decode())
        # Basic authentication sends it so, and whoever gets it may repeat it so.
        forms.update(form for form in (unquote(value),) if len(form) >= SHORTEST)
        # A URL's path is what makes it secret, and is shown without its host at times.
        path = value.partition("://")[2].partition("/")[2]
        forms.update({path, quote(path)} if len(path) >= SHORTEST else set())
        with self._lock:
            # The longest first: one value may be part of another.
            self._forms = tuple(sorted({*self._forms, *forms}, key=lambda form: (-len(form), form)))

    def known(self, text: str) -> str:
        """``text`` without the registered values."""
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        return text

    def text(self, text: str) -> str:
        """``text`` without the registered values and without what looks like a credential.

        Halves of characters, which JSON of others may hold, are spelled out: what is read here is written elsewhere.
        """
        text = self.known(text)
        for pattern, instead in _LOOKS_SECRET:
            text = pattern.sub(instead, text)
        return text.encode("utf-8", "backslashreplace").decode()

    def anything(self, value: Any, depth: int = 12) -> Any:
        """Texts within mappings and sequences too; a text under a key such as ``password`` goes wholly.

        What JSON has no kind for becomes text, and what lies deeper than ``depth`` the name of its type.
        """
        if value is None or isinstance(value, bool | int | float):
            return value
        if not isinstance(value, Mapping | list | tuple | set | frozenset):
            return self.text(str(value))
        if depth == 0:
            return f"<{type(value).__name__}>"
        if isinstance(value, Mapping):
            return {
                self.text(key) if isinstance(key, str) else key: HIDDEN
                if isinstance(inner, str) and isinstance(key, str) and _SECRET_KEY.fullmatch(key)
                else self.anything(inner, depth - 1)
                for key, inner in value.items()
            }
        return [self.anything(inner, depth - 1) for inner in value]


def looks_secret(text: str) -> bool:
    """Whether something in ``text`` looks like a credential."""
    return any(pattern.search(text) for pattern, _ in _LOOKS_SECRET)


redactor = Redactor()
"""Of this process."""
