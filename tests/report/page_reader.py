"""Reads a page as a browser would and remembers its structure: what is unclosed, unnamed or loaded is found here."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr"}


@dataclass
class Node:
    """One element."""

    tag: str
    attributes: dict[str, str]
    children: list[Node] = field(default_factory=list)
    text: str = ""

    def all(self, tag: str) -> list[Node]:
        """Every element of this name below, in order."""
        found = [self] if self.tag == tag else []
        return found + [node for child in self.children for node in child.all(tag)]

    def words(self) -> str:
        """The text of this element and all below, in order."""
        return self.text + "".join(child.words() for child in self.children)


class Page(HTMLParser):
    """Parses strictly: a tag that is not closed by its own end is an error."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("root", {})
        self._open = [self.root]
        self.feed(text)
        self.close()
        assert self._open == [self.root], f"not closed: {[node.tag for node in self._open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice: {names}"
        node = Node(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(node)
        if tag not in VOID:
            self._open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        # Text is a child of its own, so that words stay in order around elements.
        self._open[-1].children.append(Node("#text", {}, text=data))

    def nodes(self) -> list[Node]:
        """Every element, in order."""

        def below(node: Node) -> list[Node]:
            return [node, *(found for child in node.children for found in below(child))]

        return [node for node in below(self.root)[1:] if node.tag != "#text"]

    def outline(self) -> list[str]:
        """Headings with their level."""
        return [f"{node.tag} {node.words()}" for node in self.nodes() if node.tag in ("h1", "h2", "h3", "h4")]
