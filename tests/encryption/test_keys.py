"""The key file: what it holds, and what is said when it cannot be used."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest

from coalmine.encryption import KeyRing, new_key
from coalmine.errors import InputError

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def written(folder: Path, text: str) -> Path:
    path = folder / "keys"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_first_key_is_the_newest_and_all_are_known(tmp_path: Path) -> None:
    first, second = new_key(NOW), new_key(NOW)
    ring = KeyRing.read(written(tmp_path, f"# two keys\n{first}  # since March\n\n{second}\n"))
    assert ring.newest == first.split()[0]
    assert [f"{name} {base64.b64encode(key).decode()}" for name, key in ring.keys.items()] == [first, second]


def test_a_key_is_named_after_its_day_and_never_the_same_twice() -> None:
    keys = {new_key(NOW) for _ in range(20)}
    assert len({line.split()[1] for line in keys}) == 20
    assert all(line.startswith("2026-03-01-") for line in keys)


def test_keys_are_not_in_what_is_printed_of_a_ring(tmp_path: Path) -> None:
    line = new_key(NOW)
    ring = KeyRing.read(written(tmp_path, line))
    assert line.split()[1] not in repr(ring)
    assert repr(base64.b64decode(line.split()[1])) not in repr(ring)


SHORT = base64.b64encode(b"x" * 16).decode()
GOOD = base64.b64encode(b"k" * 32).decode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"holds no key: coalmine codec key >>"),
        ("# only this\n", r"holds no key"),
        ("\n2026 \n", r":2: not NAME KEY"),
        (f"a b {GOOD}", r":1: not NAME KEY"),
        (f"-a {GOOD}", r":1: not NAME KEY"),
        (f"a {GOOD}\na {GOOD}", r":2: there is a key 'a' already"),
        ("a !!!!", r":1: key 'a' is no base64"),
        (f"a {SHORT}", r":1: key 'a' has 16 bytes, and needs 32"),
    ],
)
def test_a_line_that_is_no_key_is_named_and_the_key_is_not(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=said) as refused:
        KeyRing.read(path)
    assert str(refused.value).startswith(f"COALMINE_PAYLOAD_KEYS: {path}")
    assert SHORT not in str(refused.value)
    assert GOOD not in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file or directory; coalmine codec key makes a key"):
        KeyRing.read(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="it is no text file"):
        KeyRing.read(tmp_path / "bytes")
    with pytest.raises(InputError, match="cannot be read"):
        KeyRing.read("a\0b")
