"""HTML by construction: text is always escaped, only what this module made is taken as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from coalmine.harmless import harmless

_LINK = re.compile(r"https?://[^\s\"'<>`]+", re.IGNORECASE)


def escaped(text: str) -> str:
    """Text for a page: HTML has no control characters, and those that turn the direction of writing are spelled out."""
    return escape(harmless(text))


class Markup(str):
    """Text that is HTML already: made here, by the plots, or written in the code; never made of what people wrote."""

    __slots__ = ()


Child = str | None


def element(name: str, *children: Child, **attributes: str | None) -> Markup:
    """``<name attribute="...">children</name>``; a trailing ``_`` of an attribute's name is dropped, ``_`` is ``-``."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{said}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Markup:
    """Children one after the other."""
    parts = [child if isinstance(child, Markup) else escaped(child) for child in children if child]
    return Markup("".join(parts))


def link(url: str, text: str) -> Markup:
    """A link to http or https; anything else (``javascript:``) is shown as text."""
    if not _LINK.fullmatch(url):
        return element("code", f"{text}: {url}")
    return element("a", text, href=url, rel="noopener noreferrer")


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Child]]) -> Markup:
    """A table in a box that scrolls, reachable by keyboard.

    A head that ends in a colon (not shown) is a column of numbers; the first cell of a row names it.
    """
    names = [name.removesuffix(":") for name in head]
    numeric = ["n" if name.endswith(":") else None for name in head]
    top = element(
        "tr", *(element("th", name, scope="col", class_=kind) for name, kind in zip(names, numeric, strict=True))
    )
    body = [
        element(
            "tr",
            element("th", row[0], scope="row", class_=numeric[0]),
            *(element("td", cell, class_=kind) for cell, kind in zip(row[1:], numeric[1:], strict=True)),
        )
        for row in rows
    ]
    whole = element("table", element("caption", caption), element("thead", top), element("tbody", *body))
    return element("div", whole, class_="scroll", role="region", aria_label=caption, tabindex="0")


def pairs(facts: Iterable[tuple[str, Child]]) -> Markup:
    """A list of names and values; what is empty is left out."""
    return element("dl", *(join([element("dt", name), element("dd", value)]) for name, value in facts if value))
