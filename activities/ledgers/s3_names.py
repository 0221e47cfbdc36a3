"""Keys of a ledger in a bucket.

``chains/<environment>/<service>/<region or ->/<version>-<n>/<first record>.jsonl`` holds the lines of one append;
``heads/<n>.json`` is one head; ``heads.at`` says where the heads ended some time ago; ``kept/<chain>.<name>`` is a
file beside a chain; ``splits/<environment>/<service>/<region or ->/<name>.split`` is a stored period, in no chain.
"""

from __future__ import annotations

import re

CHAINS, HEADS, KEPT, SPLITS, HINT = "chains/", "heads/", "kept/", "splits/", "heads.at"
_HEAD = re.compile(rf"{re.escape(HEADS)}([0-9]{{12}})\.json", re.ASCII)
_NO_REGION = "-"
"""No region is called so: identifiers begin with a letter or a digit."""


def folder_of_book(book: str) -> str:
    """Where the chains of a book are."""
    return f"{CHAINS}{_path_of(book)}/"


def folder_of_splits(book: str) -> str:
    """Where the stored periods of a book are."""
    return f"{SPLITS}{_path_of(book)}/"


def book_of_parts(environment: str, service: str, region: str) -> str:
    """The book a folder belongs to."""
    return "/".join((environment, service) if region == _NO_REGION else (environment, service, region))


def folder_of_chain(chain: str) -> str:
    """Where the lines of a chain are."""
    book, _, name = chain.rpartition("/")
    return f"{folder_of_book(book)}{name}/"


def chain_of_key(key: str) -> str:
    """The chain an object below ``CHAINS`` belongs to."""
    environment, service, region, name, *_ = [*key.removeprefix(CHAINS).split("/"), "", "", "", ""]
    return f"{book_of_parts(environment, service, region)}/{name}"


def lines_key(chain: str, first: int) -> str:
    """The object whose first line is record ``first``."""
    return f"{folder_of_chain(chain)}{first:010d}.jsonl"


def head_key(n: int) -> str:
    """The object of one head."""
    return f"{HEADS}{n:012d}.json"


def head_number(key: str) -> int | None:
    """The number of a head by its key; None where the object is none of ours."""
    found = _HEAD.fullmatch(key)
    return int(found[1]) if found else None


def _path_of(book: str) -> str:
    parts = book.split("/")
    return "/".join(parts if len(parts) > 2 else [*parts, _NO_REGION])
