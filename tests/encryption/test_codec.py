"""What is encrypted comes back whole under any key of the ring, and nothing that was changed comes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload

from coalmine.encryption import EncryptionCodec, KeyRing, data_converter
from coalmine.encryption.codec import ENCODING, KEY_NAME, NONCE_BYTES
from coalmine.errors import InputError, PayloadUnreadable
from coalmine.records import Ban

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
BEFORE = EncryptionCodec(KeyRing("old", {"old": OLD}))
ROTATED = EncryptionCodec(KeyRing("new", {"new": NEW, "old": OLD}, "keys.txt"))

payloads = st.builds(
    Payload,
    metadata=st.dictionaries(st.text(max_size=8), st.binary(max_size=8), max_size=3),
    data=st.binary(max_size=200),
).filter(lambda payload: payload.metadata.get("encoding") != ENCODING)


@settings(deadline=None)
@given(st.lists(payloads, max_size=4))
async def test_what_is_encrypted_comes_back(clear: list[Payload]) -> None:
    hidden = await ROTATED.encode(clear)
    assert len(hidden) == len(clear)
    assert all(payload.metadata["encoding"] == ENCODING for payload in hidden)
    assert await ROTATED.decode(hidden) == clear


@settings(deadline=None)
@given(payloads)
def test_an_older_key_still_reads_and_the_newest_writes(clear: Payload) -> None:
    before = BEFORE.encrypted(clear)
    assert before.metadata[KEY_NAME] == b"old"
    assert ROTATED.decrypted(before) == clear
    assert ROTATED.encrypted(clear).metadata[KEY_NAME] == b"new"


def test_the_same_payload_is_never_encrypted_to_the_same_bytes() -> None:
    clear = Payload(data=b"x")
    assert len({BEFORE.encrypted(clear).data for _ in range(50)}) == 50


async def test_what_is_not_encrypted_is_read_and_what_is_encrypted_is_not_encrypted_twice() -> None:
    clear = Payload(metadata={"encoding": b"json/plain"}, data=b"1")
    assert await ROTATED.decode([clear]) == [clear]
    hidden = await ROTATED.encode([clear])
    assert await ROTATED.encode(hidden) == hidden


@settings(deadline=None)
@given(st.data())
def test_a_bit_that_was_changed_is_found(data: st.DataObject) -> None:
    hidden = BEFORE.encrypted(Payload(metadata={"encoding": b"json/plain"}, data=b'{"reason":"too slow"}'))
    place = data.draw(st.integers(0, len(hidden.data) * 8 - 1))
    changed = bytearray(hidden.data)
    changed[place // 8] ^= 1 << place % 8
    with pytest.raises(PayloadUnreadable, match="was changed, or the key ring has another key under that name"):
        BEFORE.decrypted(Payload(metadata=hidden.metadata, data=bytes(changed)))


@pytest.mark.parametrize("bound", [b"old", b"", None, b"coalmine/other/1\nold"])
def test_what_the_key_encrypted_for_anything_else_does_not_pass_for_a_payload(bound: bytes | None) -> None:
    clear, nonce = Payload(data=b"x").SerializeToString(), b"n" * NONCE_BYTES
    metadata = BEFORE.encrypted(Payload()).metadata
    elsewhere = Payload(metadata=metadata, data=nonce + AESGCM(OLD).encrypt(nonce, clear, bound))
    with pytest.raises(PayloadUnreadable, match="was changed"):
        BEFORE.decrypted(elsewhere)


def test_a_worker_reads_what_was_changed_as_a_text_that_says_so() -> None:
    """A record cannot be made of it, so it is refused; an unknown key can be given later, so it is waited for."""
    serving = EncryptionCodec(KeyRing("old", {"old": OLD}), serving=True)
    hidden = serving.encrypted(Payload(data=b"x"))
    read = serving.decrypted(Payload(metadata=hidden.metadata, data=b"garbage"))
    assert read.metadata["encoding"] == b"json/plain"
    assert json.loads(read.data).startswith("a payload encrypted with the key 'old' was changed")
    with pytest.raises(PayloadUnreadable, match="add that key"):
        serving.decrypted(Payload(metadata={"encoding": ENCODING, KEY_NAME: b"new"}, data=b"garbage"))


@pytest.mark.parametrize("length", [0, 5, 12, 20])
def test_a_payload_cut_short_is_found(length: int) -> None:
    hidden = BEFORE.encrypted(Payload(data=b"x"))
    with pytest.raises(PayloadUnreadable, match="was changed"):
        BEFORE.decrypted(Payload(metadata=hidden.metadata, data=hidden.data[:length]))


def test_a_key_that_is_not_there_is_named() -> None:
    hidden = EncryptionCodec(KeyRing("gone", {"gone": OTHER})).encrypted(Payload(data=b"x"))
    with pytest.raises(PayloadUnreadable, match=r"the key 'gone', and keys\.txt has new, old: add that key"):
        ROTATED.decrypted(hidden)


def test_a_ciphertext_does_not_pass_under_the_name_of_another_key() -> None:
    """Even when the bytes of the key are the same."""
    twins = EncryptionCodec(KeyRing("a", {"a": OLD, "b": OLD}))
    hidden = twins.encrypted(Payload(data=b"x"))
    with pytest.raises(PayloadUnreadable):
        twins.decrypted(Payload(metadata={**hidden.metadata, KEY_NAME: b"b"}, data=hidden.data))


async def test_the_converter_encrypts_records_and_errors(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("k " + "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=")
    converter = data_converter(str(path))
    assert data_converter(None).payload_codec is None
    assert data_converter("").payload_codec is None
    ban = Ban(service="checkout", version="1.2.3", reason="leaks memory", by="ana")
    hidden = await converter.encode([ban])
    assert b"leaks" not in hidden[0].SerializeToString()
    assert await converter.decode(hidden, [Ban]) == [ban]
    from temporalio.api.failure.v1 import Failure

    failure = Failure()
    await converter.encode_failure(ValueError("ana said no"), failure)
    assert b"ana" not in failure.SerializeToString()
    assert "ana said no" in str(await converter.decode_failure(failure))


def test_no_key_file_is_an_error_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="COALMINE_PAYLOAD_KEYS"):
        data_converter(str(tmp_path / "none"))
