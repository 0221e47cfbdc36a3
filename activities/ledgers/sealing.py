"""How a head of the ledger is sealed: signed with the worker's Ed25519 key, or with a plain checksum without one.

The key is a PEM file that the worker's ``COALMINE_LEDGER_KEY`` names; ``openssl genpkey -algorithm ed25519`` makes it.
A spec cannot name it: whoever writes a spec may not choose what a worker reads.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from coalmine.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_VARIABLE = "COALMINE_LEDGER_KEY"
_CHECKSUM = "sha256:"
_SIGNATURE = "ed25519:"
_DOMAIN = b"coalmine/ledger-head/1\n"
"""Signed with the head: the key's signatures under anything else never pass for a head."""

Sealed = Literal["signed", "unchecked", "plain", "broken"]
"""``signed``: by a key that is known; ``unchecked``: signed, but by a key that was not given; ``plain``: a checksum."""


@dataclass(frozen=True)
class Sealer:
    """Seals heads; without a key with a checksum, which finds accidents only."""

    key: Ed25519PrivateKey | None = field(default=None, repr=False)
    name: str = ""
    """Names the key: the first 16 hex digits of the SHA-256 of its public half."""

    def seal(self, body: bytes) -> str:
        """The seal of a head's body."""
        if self.key is None:
            return _CHECKSUM + hashlib.sha256(body).hexdigest()
        return _spelt(body, self.key.sign(_DOMAIN + body))


@dataclass(frozen=True)
class SealReader:
    """Judges seals, with the public keys that were given."""

    keys: Mapping[str, Ed25519PublicKey] = field(default_factory=dict)

    def judge(self, body: bytes, key: str, seal: str) -> Sealed:
        """What a seal is worth; ``broken`` when it does not fit its body."""
        if seal.startswith(_CHECKSUM):
            fits = not key and seal == _CHECKSUM + hashlib.sha256(body).hexdigest()
            return "plain" if fits else "broken"
        if not seal.startswith(_SIGNATURE) or not key:
            return "broken"
        try:
            raw = base64.b64decode(seal.removeprefix(_SIGNATURE).partition(":")[0], validate=True)
        except (binascii.Error, ValueError):
            return "broken"
        if len(raw) != 64 or seal != _spelt(body, raw):
            return "broken"
        if key not in self.keys:
            return "unchecked"
        from cryptography.exceptions import InvalidSignature

        try:
            self.keys[key].verify(raw, _DOMAIN + body)
        except InvalidSignature:
            return "broken"
        return "signed"


def _spelt(body: bytes, signature: bytes) -> str:
    """The one spelling of a signature; its checksum finds accidents where the public key is not at hand."""
    check = hashlib.sha256(body + signature).hexdigest()[:16]
    return f"{_SIGNATURE}{base64.b64encode(signature).decode()}:{check}"


def sealer_of(environ: Mapping[str, str]) -> Sealer:
    """The sealer a worker's environment names.

    Raises:
        InputError: the key cannot be read; names variable, value and mend.
        MissingExtra: keys need the extra ``identity``.
    """
    path = environ.get(KEY_VARIABLE)
    if not path:
        return Sealer()
    key = _private(Path(path), KEY_VARIABLE)
    return Sealer(key, key_name(key.public_key()))


def reader_of(paths: Sequence[str], option: str = "--key") -> SealReader:
    """A reader with the public keys of these PEM files; a private key's file gives its public half.

    Raises:
        InputError: a file is no Ed25519 key.
        MissingExtra: keys need the extra ``identity``.
    """
    keys = [_public(Path(path), option) for path in paths]
    return SealReader({key_name(key): key for key in keys})


def key_name(key: Ed25519PublicKey) -> str:
    """See ``Sealer.name``."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _read(path: Path, named_by: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{named_by}: {str(path)!r} cannot be read ({reason}): name the PEM file of an Ed25519 key, "
            "as openssl genpkey -algorithm ed25519 makes"
        ) from None


def _private(path: Path, named_by: str) -> Ed25519PrivateKey:
    content = _read(path, named_by)
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise MissingExtra("identity", f"{named_by} (signing the ledger)") from None
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{named_by}: {str(path)!r} holds no private key that can be read without a password ({error}): make one "
            "with openssl genpkey -algorithm ed25519"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(
            f"{named_by}: {str(path)!r} holds a {type(key).__name__}, not an Ed25519 key: make one with openssl "
            "genpkey -algorithm ed25519"
        )
    return key


def _public(path: Path, named_by: str) -> Ed25519PublicKey:
    content = _read(path, named_by)
    if b"PRIVATE KEY-----" in content:
        return _private(path, named_by).public_key()
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError:
        raise MissingExtra("identity", f"{named_by} (checking signatures)") from None
    try:
        key = load_pem_public_key(content)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{named_by}: {str(path)!r} is no public key in PEM ({error}): openssl pkey -in KEY -pubout makes it"
        ) from None
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"{named_by}: {str(path)!r} holds a {type(key).__name__}, not an Ed25519 key")
    return key
