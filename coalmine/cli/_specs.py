"""Reading spec files for verbs that take one."""

from __future__ import annotations

import sys
from collections.abc import Collection
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from coalmine.errors import InputError

if TYPE_CHECKING:
    from coalmine.spec.canary import CanarySpec
    from coalmine.spec.foreign import Foreign

GROUPS = ("coalmine.routers", "coalmine.sources", "coalmine.notifiers")
"""Entry points by which other distributions bring adapters."""
_FOREIGN = {
    b"\xff\xfe": "UTF-16 does; save it as UTF-8",
    b"\xfe\xff": "UTF-16 does; save it as UTF-8",
    b"\x1f\x8b": "gzip does; unpack it (gunzip)",
    b"\x28\xb5\x2f\xfd": "zstd does; unpack it (unzstd)",
}
"""First bytes of what is often given by mistake, and what to do."""


def read_spec(file: str) -> CanarySpec:
    """The spec in a file; ``-`` reads stdin.

    Raises:
        InputError: the file cannot be read.
        SpecError: every problem found, at its file:line:column.
    """
    from coalmine.spec.document import parse_spec

    return parse_spec(read_text(file), "<stdin>" if file == "-" else file, foreign_adapters())


def read_parts(file: str, needed: Collection[str]) -> tuple[CanarySpec, frozenset[str]]:
    """As ``read_spec``, for a verb that needs only some sections; tells also which are written."""
    from coalmine.spec.document import parse_parts

    return parse_parts(read_text(file), needed, "<stdin>" if file == "-" else file, foreign_adapters())


def foreign_adapters() -> Foreign:
    """Names of adapters that other distributions bring."""
    from coalmine.spec.foreign import Foreign

    return Foreign(*({entry.name for entry in entry_points(group=group)} for group in GROUPS))


def read_text(file: str) -> str:
    """All of a file but the byte order mark it may begin with; ``-`` reads stdin.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if file == "-":
            return _utf8(sys.stdin.read()).removeprefix("\ufeff")
        if not file or "\0" in file:
            raise InputError(f"{file!r} names no file")
        return Path(file).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{file}: there is no such file") from None
    except IsADirectoryError:
        raise InputError(f"{file} is a folder: name the file in it") from None
    except UnicodeDecodeError as error:
        raise InputError(_no_utf8(file, error)) from None
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}") from None


def _utf8(text: str) -> str:
    """What stdin gave; bytes that are none stand in it as lone surrogates.

    Raises:
        UnicodeDecodeError: there are some.
    """
    text.encode("utf-8", "surrogateescape").decode("utf-8")
    return text


def _no_utf8(file: str, error: UnicodeDecodeError) -> str:
    data, at = error.object, error.start
    line, begins = data.count(b"\n", 0, at) + 1, data.rfind(b"\n", 0, at) + 1
    hint = next(
        (f": it begins as {mend}" for begins_with, mend in _FOREIGN.items() if data.startswith(begins_with)), ""
    )
    return f"{file}:{line}: not UTF-8 text (byte {at - begins + 1} of the line is 0x{data[at]:02x}){hint}"
