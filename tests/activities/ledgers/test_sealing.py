"""Signed heads: what a key proves, and how a key that cannot be used is told."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.ledgers.file import FileLedger
from activities.ledgers.file_pages import FilePages
from activities.ledgers.heads import hash_of_head
from activities.ledgers.sealing import KEY_VARIABLE, Sealer, SealReader, _spelt, key_name, reader_of, sealer_of
from activities.ledgers.stated import Pin, Stated
from activities.ledgers.verification import verify
from coalmine.errors import InputError
from tests.activities.ledgers.books import BOOK, entries, lines, places, verified, write

PEM, PKCS8 = Encoding.PEM, PrivateFormat.PKCS8


def private(path: Path) -> Path:
    """A new key's file."""
    path.write_bytes(Ed25519PrivateKey.generate().private_bytes(PEM, PKCS8, NoEncryption()))
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return private(tmp_path / "ledger.pem")


@pytest.fixture
def sealer(key: Path) -> Sealer:
    return sealer_of({KEY_VARIABLE: str(key)})


def public(path: Path, sealer: Sealer) -> Path:
    """The public half in a file."""
    assert sealer.key is not None
    path.write_bytes(sealer.key.public_key().public_bytes(PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def test_without_a_key_heads_have_a_checksum(tmp_path: Path) -> None:
    write(tmp_path / "ledger", 30, sealer=sealer_of({}))
    found = verified(tmp_path / "ledger")
    assert (found.heads.signed, found.heads.unchecked, found.heads.last_signed) == (0, 0, False)


def test_signatures_are_checked_with_either_half_of_the_key(tmp_path: Path, key: Path, sealer: Sealer) -> None:
    write(tmp_path / "ledger", 30, sealer=sealer)
    for path in (key, public(tmp_path / "public.pem", sealer)):
        found = verified(tmp_path / "ledger", reader_of([str(path)]))
        assert not found.faults
        assert (found.heads.signed, found.heads.unchecked, found.heads.last_signed) == (2, 0, True)
    found = verified(tmp_path / "ledger")
    assert not found.faults
    assert (found.heads.signed, found.heads.unchecked) == (0, 2)


def test_a_ledger_made_anew_by_somebody_without_the_key_is_found(tmp_path: Path, key: Path, sealer: Sealer) -> None:
    root = tmp_path / "ledger"
    write(root, 30, sealer=sealer)
    shutil.rmtree(root)
    made = [entry.model_copy(update={"reason": "all was well"}) for entry in entries(30)]
    asyncio.run(FileLedger(root).append(BOOK, made))
    assert places(verified(root, reader_of([str(key)]))) == [("unsigned", "heads.jsonl", 1)]


def test_a_signature_that_only_names_the_key_is_broken(sealer: Sealer) -> None:
    assert sealer.key is not None
    name, body = sealer.name, b'{"sequence": 1}'
    reader = SealReader({name: sealer.key.public_key()})
    assert reader.judge(body, name, sealer.seal(body)) == "signed"
    # Everything about these is right, its checksum too, but for who signed: another's key, and nobody's.
    for signature in (Sealer(Ed25519PrivateKey.generate(), name).seal(body), _spelt(body, b"x" * 64)):
        assert reader.judge(body, name, signature) == "broken"
        # Without the key nobody can tell.
        assert SealReader({}).judge(body, name, signature) == "unchecked"


def test_a_signed_head_of_another_copy_of_the_ledger_is_found(tmp_path: Path, key: Path, sealer: Sealer) -> None:
    """Number, records and signature are right: it is of a copy on which a worker with the key wrote the same."""
    root, other = tmp_path / "ledger", tmp_path / "copy"
    for place in (root, other):
        write(place, 30, at_once=10, sealer=sealer)
    kept = lines(root / "heads.jsonl")
    (root / "heads.jsonl").write_bytes(b"".join([kept[0], lines(other / "heads.jsonl")[1], kept[2]]))
    found = places(verified(root, reader_of([str(key)])))
    assert found == [("head", "heads.jsonl", 2), ("head", "heads.jsonl", 3)]


def test_a_ledger_signed_anew_with_another_key_is_found(tmp_path: Path, key: Path) -> None:
    root, other = tmp_path / "ledger", sealer_of({KEY_VARIABLE: str(private(tmp_path / "other.pem"))})
    write(root, 10, sealer=other)
    assert ("unsigned", "heads.jsonl", 1) in places(verified(root, reader_of([str(key)])))


def test_a_head_added_without_the_key_is_found_also_without_it(tmp_path: Path, sealer: Sealer) -> None:
    root = tmp_path / "ledger"
    write(root, 10, sealer=sealer)
    asyncio.run(FileLedger(root).append(BOOK, entries(12)))
    assert places(verified(root)) == [("unsigned", "heads.jsonl", 2)]


def test_a_key_that_came_later_and_one_that_followed_it(tmp_path: Path, key: Path, sealer: Sealer) -> None:
    root, next_key = tmp_path / "ledger", private(tmp_path / "next.pem")
    for records, by in [(5, Sealer()), (10, sealer), (15, sealer_of({KEY_VARIABLE: str(next_key)}))]:
        asyncio.run(FileLedger(root, by).append(BOOK, entries(records)))
    reader, first = reader_of([str(key), str(next_key)]), lines(root / "heads.jsonl")[0].rstrip()
    assert places(verified(root, reader)) == [("unsigned", "heads.jsonl", 1)]
    found = verify(FilePages(root), reader, stated=Stated(signed_from=Pin(2, hash_of_head(first))))
    assert not found.faults
    assert found.heads.signed == 2


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_one_bit_of_a_signed_head_is_found_without_the_key(data: st.DataObject) -> None:
    signer = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, 4, at_once=2, sealer=Sealer(signer, key_name(signer.public_key())))
        heads = root / "heads.jsonl"
        content = bytearray(heads.read_bytes())
        bit = data.draw(st.integers(0, 8 * len(content) - 1))
        line = content.count(b"\n", 0, bit // 8) + 1
        content[bit // 8] ^= 1 << bit % 8
        heads.write_bytes(content)
        assert places(verified(root))[0][1:] == ("heads.jsonl", line)
        # Nor does the key make it pass.
        assert verified(root, SealReader({key_name(signer.public_key()): signer.public_key()})).faults


def test_a_signature_is_not_accepted_for_another_head(tmp_path: Path, key: Path, sealer: Sealer) -> None:
    root = tmp_path / "ledger"
    write(root, 40, sealer=sealer)
    heads = root / "heads.jsonl"
    first, second = lines(heads)
    seal = first[first.rindex(b',"seal":') :]
    heads.write_bytes(first + second[: second.rindex(b',"seal":')] + seal)
    assert ("head", "heads.jsonl", 2) in places(verified(root, reader_of([str(key)])))


class TestKeysThatCannotBeUsed:
    """Told with variable, value and mend, when the worker starts."""

    def test_none_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"COALMINE_LEDGER_KEY: '.*none\.pem' cannot be read .*: name the PEM"):
            sealer_of({KEY_VARIABLE: str(tmp_path / "none.pem")})

    def test_no_key(self, tmp_path: Path) -> None:
        (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        with pytest.raises(InputError, match="holds no private key that can be read without a password"):
            sealer_of({KEY_VARIABLE: str(tmp_path / "key.pem")})

    def test_a_password(self, tmp_path: Path) -> None:
        path = tmp_path / "key.pem"
        path.write_bytes(Ed25519PrivateKey.generate().private_bytes(PEM, PKCS8, BestAvailableEncryption(b"x")))
        with pytest.raises(InputError, match="without a password"):
            sealer_of({KEY_VARIABLE: str(path)})

    def test_another_kind(self, tmp_path: Path) -> None:
        path = tmp_path / "key.pem"
        path.write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(PEM, PKCS8, NoEncryption()))
        with pytest.raises(InputError, match="not an Ed25519 key: make one with openssl genpkey -algorithm ed25519"):
            sealer_of({KEY_VARIABLE: str(path)})

    def test_to_verify_with(self, tmp_path: Path) -> None:
        (tmp_path / "key.pem").write_text("ssh-ed25519 AAAA")
        with pytest.raises(InputError, match=r"--key: .* is no public key in PEM"):
            reader_of([str(tmp_path / "key.pem")])
