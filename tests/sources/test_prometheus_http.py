"""The connection: authentication, TLS, time-outs, and errors that say what to mend and never tell a secret."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from activities.sources.prometheus_http import PrometheusHttp
from coalmine.errors import QueryRejected, SourceError, SourceUnreachable
from coalmine.spec.sources import Source
from coalmine.testing.fake_prometheus import FakeAnswer, FakePrometheus

SECRET = "s3cr3t-v4lue"
Make = Callable[..., PrometheusHttp]


@pytest.fixture
async def make(server: FakePrometheus) -> AsyncIterator[Make]:
    made: list[PrometheusHttp] = []

    def build(**fields: Any) -> PrometheusHttp:
        http = PrometheusHttp("prometheus", Source(**{"url": server.url, **fields}))
        made.append(http)
        return http

    yield build
    for http in made:
        http.close()


def demand(header: str, value: str) -> Callable[[str, Mapping[str, str]], FakeAnswer | None]:
    return lambda query, headers: None if headers.get(header) == value else FakeAnswer(401, b"who are you?")


async def test_a_bearer_token_comes_from_the_environment(
    server: FakePrometheus, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROM_TOKEN", SECRET)
    server.answer = demand("Authorization", f"Bearer {SECRET}")
    assert (await make(token_env="PROM_TOKEN").query("time()", 1000)).result == [1.0, "1.0"]
    with pytest.raises(QueryRejected, match=r"wants authentication \(401\): set token_env"):
        await make().query("time()")


async def test_basic_authentication(server: FakePrometheus, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROM_PASSWORD", SECRET)
    server.answer = demand("Authorization", "Basic " + base64.b64encode(f"ana:{SECRET}".encode()).decode())
    assert (await make(username="ana", password_env="PROM_PASSWORD").query("time()", 0)).result


async def test_headers_are_sent(server: FakePrometheus, make: Make) -> None:
    server.answer = demand("X-Scope-OrgID", "shop")
    assert (await make(headers={"X-Scope-OrgID": "shop"}).query("time()", 0)).result


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"token_env": "NOT_SET_ANYWHERE"}, r"sources\.prometheus\.token_env: .* NOT_SET_ANYWHERE is not set"),
        ({"username": "ana"}, r"sources\.prometheus\.password_env is missing"),
        ({"username": "ana", "password_env": "HOME", "token_env": "HOME"}, "keep one"),
        ({"ca_file": "/nowhere/ca.pem"}, r"sources\.prometheus\.ca_file: there is no file '/nowhere/ca\.pem'"),
    ],
)
async def test_what_cannot_work_says_which_key(make: Make, fields: dict[str, str], message: str) -> None:
    with pytest.raises(QueryRejected, match=message):
        make(**fields)


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (FakeAnswer(400, b'{"status":"error","error":"parse error: unexpected end"}'), QueryRejected, "parse error"),
        (FakeAnswer(403, b"no"), QueryRejected, r"\(403\): no"),
        (FakeAnswer(404, b"404 page not found"), QueryRejected, r"is a path missing in sources\.prometheus\.url"),
        (FakeAnswer(422, b'{"status":"error","error":"boom"}'), QueryRejected, "boom"),
        (FakeAnswer(429, b"slow down"), SourceUnreachable, "429: slow down"),
        (FakeAnswer(503, b'{"status":"error","error":"query timed out"}'), SourceUnreachable, "503: query timed out"),
        (FakeAnswer(500), SourceUnreachable, "500: Internal Server Error"),
        (FakeAnswer(200, b"<html>please log in</html>"), QueryRejected, "not as Prometheus"),
        (FakeAnswer(200, b'{"hello": 1}'), QueryRejected, "not as Prometheus"),
        (FakeAnswer(302, b"", {"Location": "http://127.0.0.1:1/login"}), QueryRejected, "redirects"),
    ],
)
async def test_refusals_are_told_apart(
    server: FakePrometheus, make: Make, answer: FakeAnswer, kind: type[SourceError], message: str
) -> None:
    server.answer = lambda query, headers: answer
    with pytest.raises(kind, match=message):
        await make().query("up[1000ms]", 0)


async def test_nobody_listening_is_unreachable(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(SourceUnreachable, match=rf"http://127\.0\.0\.1:{port} is unreachable \(.*refused"):
        await make(url=f"http://127.0.0.1:{port}").query("time()")


async def test_a_store_that_hangs_is_unreachable_in_time(server: FakePrometheus, make: Make) -> None:
    released = threading.Event()

    def hang(query: str, headers: Mapping[str, str]) -> None:
        released.wait(20)

    server.answer = hang
    try:
        with pytest.raises(SourceUnreachable, match=r"did not answer within 1 s"):
            await asyncio.wait_for(make(timeout=timedelta(seconds=1)).query("time()"), 15)
        # The server's thread may have been given no time yet.
        async with asyncio.timeout(30):
            while not server.queries:
                await asyncio.sleep(0.01)
    finally:
        released.set()
    assert len(server.queries) == 1, "a query that timed out is not asked again behind the caller's back"


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1/", "http://"])
async def test_an_address_that_is_none_is_refused(make: Make, url: str) -> None:
    with pytest.raises(QueryRejected, match=r"sources\.prometheus\.url"):
        await make(url=url).query("time()")


async def test_secrets_are_in_no_error(server: FakePrometheus, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROM_PASSWORD", SECRET)
    server.answer = lambda query, headers: FakeAnswer(
        400, json.dumps({"error": f"bad {headers.get('X-Key')} {headers.get('Authorization')} {SECRET}"}).encode()
    )
    hidden = server.url.replace("http://", f"http://bob:{SECRET}@")
    http = make(url=hidden, username="ana", password_env="PROM_PASSWORD", headers={"X-Key": "k3y-0f-tenant"})
    with pytest.raises(QueryRejected) as caught:
        await http.query("time()")
    encoded = base64.b64encode(f"ana:{SECRET}".encode()).decode()
    for secret in (SECRET, "k3y-0f-tenant", encoded):
        assert secret not in str(caught.value)


async def test_the_environments_proxies_and_netrc_are_not_used(
    server: FakePrometheus, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login eve password eve\n")
    seen: list[Mapping[str, str]] = []
    server.answer = lambda query, headers: seen.append(headers)
    assert (await make().query("time()", 0)).result
    assert "Authorization" not in seen[0]


async def test_a_named_proxy_is_used(server: FakePrometheus, make: Make) -> None:
    # The fake takes the whole address in the request line as a proxy does.
    http = make(url="http://prometheus.invalid", proxy=server.url)
    assert (await http.query("time()", 0)).result


# ------------------------------------------------------------------------------------------------------ TLS


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_server(authority: trustme.CA) -> Iterator[FakePrometheus]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with FakePrometheus(tls=context) as server:
        yield server


async def test_a_private_authority_is_trusted_by_ca_file(
    tls_server: FakePrometheus, authority: trustme.CA, make: Make, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    assert (await make(url=tls_server.url, ca_file=str(tmp_path / "ca.pem")).query("time()", 0)).result


async def test_an_unknown_authority_is_refused_with_the_mend(tls_server: FakePrometheus, make: Make) -> None:
    with pytest.raises(SourceUnreachable, match=r"TLS failed.*set ca_file"):
        await make(url=tls_server.url).query("time()")


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
async def test_verification_can_be_skipped_by_word(tls_server: FakePrometheus, make: Make) -> None:
    assert (await make(url=tls_server.url, insecure_skip_verify=True).query("time()", 0)).result


async def test_a_client_certificate_is_shown(authority: trustme.CA, make: Make, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    mine = authority.issue_cert("worker@example.org")
    mine.private_key_pem.write_to_path(tmp_path / "key.pem")
    mine.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    with FakePrometheus(tls=context) as server:
        files = {"ca_file": str(tmp_path / "ca.pem"), "cert_file": str(tmp_path / "cert.pem")}
        http = make(url=server.url, **files, key_file=str(tmp_path / "key.pem"))
        assert (await http.query("time()", 0)).result
        with pytest.raises(SourceUnreachable):
            await make(url=server.url, ca_file=files["ca_file"]).query("time()")
