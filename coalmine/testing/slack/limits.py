"""What Slack takes as blocks and views, and what it refuses (docs.slack.dev/reference/block-kit). Pure.

Lengths are characters of the text as it was sent. Only what an app of buttons, texts and dialogs uses is known: any
other block is refused, so that no test passes by a check that does not exist.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100
TEXT = 3_000
FIELD = 2_000
HEADER = 150
BUTTON = 75
VALUE = 2_000
URL = 3_000
ACTIONS = 25
CONTEXT = 10
FIELDS = 10
ID = 255
VIEW_TITLE = 24
METADATA = 3_000
LABEL = 2_000
PLACEHOLDER = 150
INPUT = 3_000
CONFIRM = {"title": 100, "text": 300, "confirm": 30, "deny": 30}
MESSAGE_TEXT = 40_000
"""Slack cuts what is longer off, without a word: here it is refused, since nobody would be told the rest."""
UPDATE_TEXT = 4_000
"""Of ``chat.update``, which answers ``msg_too_long`` from there on; the 40,000 of its page are an old rule, says one of
Slack's own people (seratch/ChatGPT-in-Slack issue 102)."""
MESSAGE_BLOCKS_TEXT = 13_000
"""Characters of all blocks as JSON. Slack documents none, and answers ``msg_blocks_too_long`` from about 13,200 on
(slackapi/bolt-js issue 2509)."""


def message_faults(text: Any, blocks: Any, most: int = MESSAGE_TEXT) -> list[str]:
    """What Slack would refuse in a message; ``most``: characters of its text."""
    faults = []
    if isinstance(text, str) and len(text) > most:
        faults.append(f"text has {len(text)} characters, more than {most}")
    if blocks is not None:
        faults += _blocks(blocks, MESSAGE_BLOCKS, in_view=False)
        faults += _too_long(blocks)
    return faults


def message_error(text: Any, blocks: Any, most: int = MESSAGE_TEXT) -> str:
    """The word by which Slack refuses a message with faults; ``most`` as above."""
    if isinstance(text, str) and len(text) > most:
        return "msg_too_long"
    return "msg_blocks_too_long" if any(_too_long(blocks)) else "invalid_blocks"


def _too_long(blocks: Any) -> Iterator[str]:
    if isinstance(blocks, list) and (size := len(json.dumps(blocks, ensure_ascii=False))) > MESSAGE_BLOCKS_TEXT:
        yield f"all blocks together have {size} characters, more than {MESSAGE_BLOCKS_TEXT}"


def view_faults(view: Any) -> list[str]:
    """What Slack would refuse in a modal."""
    if not isinstance(view, Mapping) or view.get("type") != "modal":
        return ["view is no modal"]
    faults = [*_text(view.get("title"), "title", VIEW_TITLE, plain=True)]
    for name in ("submit", "close"):
        if view.get(name) is not None:
            faults += _text(view[name], name, VIEW_TITLE, plain=True)
    faults += _length(view.get("private_metadata", ""), "private_metadata", METADATA)
    faults += _length(view.get("callback_id", ""), "callback_id", ID)
    blocks = view.get("blocks")
    faults += _blocks(blocks, VIEW_BLOCKS, in_view=True)
    if isinstance(blocks, list) and any(_kind(block) == "input" for block in blocks) and view.get("submit") is None:
        faults.append("submit is missing, and there is an input")
    return faults


def _blocks(blocks: Any, most: int, *, in_view: bool) -> Iterator[str]:
    if not isinstance(blocks, list) or not blocks:
        yield "blocks is no list with blocks in it"
        return
    if len(blocks) > most:
        yield f"{len(blocks)} blocks, more than {most}"
    ids = [block["block_id"] for block in blocks if isinstance(block, Mapping) and "block_id" in block]
    if len(ids) != len(set(map(str, ids))):
        yield "a block_id is there twice"
    for number, block in enumerate(blocks):
        for fault in _block(block, in_view):
            yield f"blocks[{number}]: {fault}"


def _block(block: Any, in_view: bool) -> Iterator[str]:
    yield from _length(block.get("block_id", "x") if isinstance(block, Mapping) else "x", "block_id", ID)
    match _kind(block):
        case "divider":
            return
        case "header":
            yield from _text(block.get("text"), "text", HEADER, plain=True)
        case "section":
            yield from _section(block)
        case "context":
            elements = block.get("elements")
            yield from _count(elements, "elements", CONTEXT)
            for element in elements if isinstance(elements, list) else []:
                yield from _text(element, "elements", TEXT)
        case "actions":
            elements = block.get("elements")
            yield from _count(elements, "elements", ACTIONS)
            found = elements if isinstance(elements, list) else []
            names = [element.get("action_id") for element in found if isinstance(element, Mapping)]
            if len(names) != len(set(map(str, names))):
                yield "an action_id is there twice"
            for element in found:
                yield from _button(element)
        case "input" if in_view:
            yield from _text(block.get("label"), "label", LABEL, plain=True)
            yield from _input(block.get("element"))
        case other:
            yield f"type {other!r} does not belong here, or is not known to this fake"


def _section(block: Mapping[str, Any]) -> Iterator[str]:
    text, fields = block.get("text"), block.get("fields")
    if text is None and fields is None:
        yield "section has neither text nor fields"
    if text is not None:
        yield from _text(text, "text", TEXT)
    if fields is not None:
        yield from _count(fields, "fields", FIELDS)
        for one in fields if isinstance(fields, list) else []:
            yield from _text(one, "fields", FIELD)


def _button(element: Any) -> Iterator[str]:
    if _kind(element) != "button":
        yield f"element {_kind(element)!r} is not known to this fake"
        return
    yield from _text(element.get("text"), "button text", BUTTON, plain=True)
    if not element.get("action_id"):
        yield "button has no action_id"
    yield from _length(element.get("action_id", ""), "action_id", ID)
    yield from _length(element.get("value", ""), "value", VALUE)
    yield from _length(element.get("url", ""), "url", URL)
    if "style" in element and element["style"] not in ("primary", "danger"):
        yield f"style {element['style']!r} is neither primary nor danger"
    confirm = element.get("confirm")
    if confirm is not None and not isinstance(confirm, Mapping):
        yield "confirm is no object"
    elif confirm is not None:
        for name, most in CONFIRM.items():
            yield from _text(confirm.get(name), f"confirm.{name}", most, plain=name != "text")


def _input(element: Any) -> Iterator[str]:
    if _kind(element) != "plain_text_input":
        yield f"input of {_kind(element)!r} is not known to this fake"
        return
    yield from _length(element.get("action_id", ""), "action_id", ID)
    most = element.get("max_length")
    if most is not None and not (isinstance(most, int) and 1 <= most <= INPUT):
        yield f"max_length is {most!r}, not 1 to {INPUT}"
    if element.get("placeholder") is not None:
        yield from _text(element["placeholder"], "placeholder", PLACEHOLDER, plain=True)


def _text(found: Any, name: str, most: int, *, plain: bool = False) -> Iterator[str]:
    kind = _kind(found)
    if kind not in ("plain_text", "mrkdwn") or (plain and kind != "plain_text"):
        yield f"{name} is no {'plain_text' if plain else 'text'} object"
        return
    text = found.get("text")
    if not isinstance(text, str) or not text:
        yield f"{name} is empty"
    else:
        yield from _length(text, name, most)
    if kind == "mrkdwn" and "emoji" in found:
        yield f"{name}: emoji belongs to plain_text"


def _length(text: Any, name: str, most: int) -> Iterator[str]:
    if not isinstance(text, str):
        yield f"{name} is no text"
    elif len(text) > most:
        yield f"{name} has {len(text)} characters, more than {most}"


def _count(found: Any, name: str, most: int) -> Iterator[str]:
    if not isinstance(found, list) or not 1 <= len(found) <= most:
        yield f"{name} has {len(found) if isinstance(found, list) else 'no'} elements, not 1 to {most}"


def _kind(found: Any) -> Any:
    return found.get("type") if isinstance(found, Mapping) else None
