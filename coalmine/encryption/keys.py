"""The key ring: a text file with one key a line, ``NAME BASE64``; the first encrypts, every one decrypts.

``COALMINE_PAYLOAD_KEYS`` names the file. A key is never in a spec, an argument or a log: only its name is.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from coalmine.errors import InputError

KEYS_VARIABLE = "COALMINE_PAYLOAD_KEYS"
KEY_BYTES = 32
"""AES-256."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class KeyRing:
    """Keys by name."""

    newest: str
    """Encrypts."""
    keys: Mapping[str, bytes] = field(repr=False)
    origin: str = "the key ring"
    """Where the keys come from, for messages."""

    @classmethod
    def read(cls, path: str | Path) -> KeyRing:
        """Read a key file.

        Raises:
            InputError: it cannot be read, or a line is no key; names file and line, never the key.
        """
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is no text file"
            raise InputError(
                f"{KEYS_VARIABLE}: {path} cannot be read: {reason}; coalmine codec key makes a key"
            ) from None
        keys: dict[str, bytes] = {}
        for number, line in enumerate(lines, 1):
            words = line.split("#", 1)[0].split()
            if not words:
                continue
            place = f"{KEYS_VARIABLE}: {path}:{number}"
            if len(words) != 2 or not _NAME.fullmatch(words[0]):
                raise InputError(f"{place}: not NAME KEY, as coalmine codec key prints it")
            name = words[0]
            if name in keys:
                raise InputError(f"{place}: there is a key {name!r} already: give each a name of its own")
            keys[name] = _key(f"{place}: key {name!r}", words[1])
        if not keys:
            raise InputError(f"{KEYS_VARIABLE}: {path} holds no key: coalmine codec key >> {path}")
        return cls(next(iter(keys)), keys, str(path))


def new_key(now: datetime) -> str:
    """A line for a key file: a random key, named after the day."""
    name = f"{now:%Y-%m-%d}-{secrets.token_hex(2)}"
    return f"{name} {base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def _key(place: str, text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"{place} is no base64: take one of coalmine codec key") from None
    if len(key) != KEY_BYTES:
        raise InputError(
            f"{place} has {len(key)} bytes, and needs {KEY_BYTES} (AES-256): take one of coalmine codec key"
        )
    return key
