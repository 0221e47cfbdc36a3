"""The codec server: decodes for pages that may ask, and for nobody else; whatever it is sent, it answers in JSON."""

from __future__ import annotations

import base64
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from google.protobuf import json_format
from temporalio.api.common.v1 import Payload, Payloads

from coalmine.encryption import EncryptionCodec, KeyRing
from coalmine.encryption.server import Access, CodecServer
from coalmine.errors import InputError

CODEC = EncryptionCodec(KeyRing("k", {"k": b"k" * 32}))
UI = "http://localhost:8233"
CLEAR = Payload(metadata={"encoding": b"json/plain"}, data=b'{"reason":"too slow"}')


@contextmanager
def serving(**access: Any) -> Iterator[CodecServer]:
    server = CodecServer(("127.0.0.1", 0), CODEC, Access(frozenset({UI}), **access))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[CodecServer]:
    with serving() as running:
        yield running


def asked(
    server: CodecServer, verb: str = "POST", path: str = "/decode", body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
    try:
        connection.request(verb, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, json.loads(content or "{}")
    finally:
        connection.close()


def as_json(*payloads: Payload) -> bytes:
    return json_format.MessageToJson(Payloads(payloads=payloads)).encode()


def test_what_was_encrypted_is_decrypted_for_the_ui(server: CodecServer) -> None:
    body = as_json(CODEC.encrypted(CLEAR), CLEAR)
    status, headers, answer = asked(server, body=body, Origin=UI, X_Namespace="coalmine")
    assert status == 200
    assert json_format.ParseDict(answer, Payloads()).payloads == [CLEAR, CLEAR]
    assert headers["access-control-allow-origin"] == UI
    assert headers["cache-control"] == "no-store"


def test_what_the_ui_sends_is_encrypted(server: CodecServer) -> None:
    _, _, answer = asked(server, path="/encode", body=as_json(CLEAR), Origin=UI)
    (hidden,) = json_format.ParseDict(answer, Payloads()).payloads
    assert b"slow" not in hidden.data
    assert CODEC.decrypted(hidden) == CLEAR


def test_the_browser_is_told_before_it_asks(server: CodecServer) -> None:
    status, headers, _ = asked(server, "OPTIONS", Origin=UI)
    assert (status, headers["access-control-allow-methods"]) == (204, "POST,OPTIONS")
    assert "authorization" in headers["access-control-allow-headers"]


@pytest.mark.parametrize("verb", ["OPTIONS", "POST"])
def test_other_pages_are_refused(server: CodecServer, verb: str) -> None:
    status, headers, answer = asked(server, verb, body=as_json(CODEC.encrypted(CLEAR)), Origin="http://evil.example")
    assert status == 403
    assert "access-control-allow-origin" not in headers
    assert "payloads" not in answer


def test_a_name_that_was_rebound_to_us_is_refused(server: CodecServer) -> None:
    status, _, answer = asked(server, body=as_json(CLEAR), Host="evil.example:80")
    assert (status, answer["message"]) == (403, "no such host here: 'evil.example:80'; name it with --host")


def test_without_a_page_a_program_is_answered(server: CodecServer) -> None:
    assert asked(server, body=as_json(CLEAR))[0] == 200
    assert asked(server, "GET", "/health")[2] == {"status": "ok"}


def test_a_token_is_asked_for() -> None:
    with serving(token="s3cret") as server:
        assert asked(server, body=as_json(CLEAR))[0] == 401
        assert asked(server, body=as_json(CLEAR), Authorization="Bearer s3cre")[0] == 401
        assert asked(server, body=as_json(CLEAR), Authorization="Bearer s3cret")[0] == 200
        assert asked(server, "OPTIONS", Origin=UI)[0] == 204, "browsers ask first without it"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not"),
        (b"{", "not"),
        (b"\xff", "not"),
        (b"[1]", "not"),
        (b'{"payloads": 5}', "not"),
        (b'{"payloads": [5]}', "not"),
        (b'{"nothing": []}', "not"),
        (b"[" * 5000, "not"),
    ],
)
def test_a_body_that_cannot_be_is_refused(server: CodecServer, body: bytes, said: str) -> None:
    status, _, answer = asked(server, body=body)
    assert status == 400
    assert answer["message"].startswith(f'{said} {{"payloads": [...]}}')


def test_a_payload_that_cannot_be_read_is_named(server: CodecServer) -> None:
    hidden = EncryptionCodec(KeyRing("gone", {"gone": b"g" * 32})).encrypted(CLEAR)
    status, _, answer = asked(server, body=as_json(hidden))
    assert status == 400
    assert "the key 'gone'" in answer["message"]
    assert base64.b64encode(b"k" * 32).decode() not in answer["message"]


@pytest.mark.parametrize("length", ["99999999999999999999", str(65 * 1024 * 1024)])
def test_a_body_without_end_is_refused(server: CodecServer, length: str) -> None:
    assert asked(server, Content_Length=length)[0] == 413


@pytest.mark.parametrize("length", ["-1", "x", "²"])
def test_a_length_that_is_none_is_refused(server: CodecServer, length: str) -> None:
    assert asked(server, Content_Length=length.encode().decode("latin-1"))[0] == 411


def test_other_paths_and_verbs(server: CodecServer) -> None:
    assert asked(server, path="/else", body=as_json(CLEAR))[0] == 404
    assert asked(server, "GET", "/")[0] == 404


def test_an_address_that_is_taken_is_named(server: CodecServer) -> None:
    port = server.server_address[1]
    with pytest.raises(InputError, match=f"codec server: 127.0.0.1:{port} cannot be bound: Address already in use"):
        CodecServer(("127.0.0.1", int(port)), CODEC, Access(frozenset()))
