"""``--auth header``: the proxy's word counts, and nobody else's."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from coalmine.dashboard.auth.header import ByHeader, read_peers
from coalmine.dashboard.people import Denied
from coalmine.errors import InputError
from coalmine.records import Phase
from coalmine.testing.fake_rollouts import FakeRollouts
from coalmine.testing.sample_rollouts import a_status
from tests.dashboard.served import served

ACT = "/act/production/checkout/pause"


def access(*peers: str) -> ByHeader:
    return ByHeader("X-Forwarded-User", read_peers(peers), "X-Forwarded-Groups")


def request(peer: str, *headers: tuple[str, str]) -> Request:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    return Request({"type": "http", "client": (peer, 1), "headers": raw})


@pytest.mark.parametrize("peer", ["10.0.0.7", "::ffff:10.0.0.7", "fd00::1"])
async def test_who_a_trusted_peer_names_is_known(peer: str) -> None:
    asked = request(peer, ("X-Forwarded-User", " ana@example.org "), ("X-Forwarded-Groups", "sre, oncall"))
    person = await access("10.0.0.0/24", "fd00::/8").who(asked)
    assert person is not None
    assert (person.name, person.groups, person.proved_by) == ("ana@example.org", ("sre", "oncall"), "proxy")


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("José".encode(), "José"),
        ("José".encode("latin-1"), "José"),
        # In Latin-1 one of its bytes is a control character.
        ("Łucja Ąbć".encode(), "Łucja Ąbć"),
        ("李".encode() * 200, "李" * 200),
    ],
)
async def test_names_are_read_as_proxies_send_them(sent: bytes, name: str) -> None:
    headers = [(b"x-forwarded-user", sent), (b"x-forwarded-groups", "équipe,".encode() + b"sre")]
    person = await access("10.0.0.7").who(Request({"type": "http", "client": ("10.0.0.7", 1), "headers": headers}))
    assert person is not None
    assert (person.name, person.groups) == (name, ("équipe", "sre"))


@pytest.mark.parametrize("sent", ["a\u0085b".encode(), "a\u202eb".encode(), b"a\x85b", "李".encode() * 201])
async def test_names_in_any_writing_are_checked(sent: bytes) -> None:
    headers = [(b"x-forwarded-user", sent)]
    with pytest.raises(Denied, match="is no name"):
        await access("10.0.0.7").who(Request({"type": "http", "client": ("10.0.0.7", 1), "headers": headers}))


@pytest.mark.parametrize("peer", ["10.0.1.7", "127.0.0.1", "", "unix"])
async def test_nobody_else_is_answered(peer: str) -> None:
    with pytest.raises(Denied, match="come through the proxy"):
        await access("10.0.0.0/24").who(request(peer, ("X-Forwarded-User", "ana")))


@pytest.mark.parametrize(
    "headers",
    [
        (("X-Forwarded-User", "ana"), ("X-Forwarded-User", "bo")),
        # A proxy that adds its own beside the browser's would let anyone be of any group.
        (("X-Forwarded-User", "ana"), ("X-Forwarded-Groups", "sre"), ("X-Forwarded-Groups", "staff")),
        (("X-Forwarded-User", "x" * 201),),
        (("X-Forwarded-User", "a\x07b"),),
    ],
)
async def test_a_header_that_is_no_name_or_is_there_twice_is_refused(headers: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(Denied):
        await access("10.0.0.7").who(request("10.0.0.7", *headers))


@pytest.mark.parametrize("peers", [[], ["everyone"], ["10.0.0.0/33"]])
def test_peers_that_cannot_be_read_are_named(peers: list[str]) -> None:
    with pytest.raises(InputError, match="--trusted-peer"):
        read_peers(peers)


async def test_who_is_unknown_reads_nothing_and_who_is_known_acts_signed() -> None:
    fake = FakeRollouts()
    fake.put(a_status("checkout", phase=Phase.STEPPING))
    async with served(fake, lambda place, sessions: access("127.0.0.1")) as desk:
        for path in ("/", "/rollouts/production/checkout", "/events/fleet", "/trends", "/api/v1/rollouts"):
            assert (await desk.client.get(path)).status_code == 401
        desk.client.headers["X-Forwarded-User"] = "ana@example.org"
        form = await desk.form(ACT)
        assert (await desk.client.post(ACT, data=form)).status_code == 303
        # The token of ana's form is not bo's.
        desk.client.headers["X-Forwarded-User"] = "bo@example.org"
        assert (await desk.client.post(ACT, data=form)).status_code == 403
    [said] = fake.sent
    assert said.by == "ana@example.org"
    assert said.token is not None


async def test_without_a_key_people_only_read() -> None:
    fake = FakeRollouts()
    fake.put(a_status("checkout", phase=Phase.STEPPING))
    headers = {"X-Forwarded-User": "ana"}
    async with served(fake, lambda place, sessions: access("127.0.0.1"), key=None, headers=headers) as desk:
        assert "no key to sign decisions with" in await desk.page("/rollouts/production/checkout")
        assert (await desk.client.post(ACT, data={"csrf": "x"})).status_code == 403
    assert fake.sent == []
