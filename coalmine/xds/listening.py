"""Where a control plane listens, and who is let in: addresses, certificates, the admin's token."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from coalmine.errors import InputError, MissingExtra

try:
    import grpc
    import grpc.aio
except ModuleNotFoundError as error:
    raise MissingExtra("xds", "a control plane") from error

_SETTINGS = (
    # Two control planes on one port must be an error, not a silent share.
    ("grpc.so_reuseport", 0),
    # A proxy whose host is gone is noticed after so many milliseconds, not after hours.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
)


@dataclass(frozen=True)
class Address:
    """``HOST:PORT``."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this host reaches it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@dataclass(frozen=True)
class Security:
    """Who is let in; without a certificate nothing is encrypted, without a token the admin lets everybody in."""

    certificate: Path | None = None
    key: Path | None = None
    client_authority: Path | None = None
    """Proxies must show a certificate of this authority."""
    token: str | None = None

    def add_port(self, server: Any, address: Address) -> int:
        """Listen for proxies; returns the port.

        Raises:
            InputError: a file cannot be read.
        """
        if self.certificate is None or self.key is None:
            return int(server.add_insecure_port(str(address)))
        authority = _content(self.client_authority, "--client-ca") if self.client_authority else None
        pair = (_content(self.key, "--key"), _content(self.certificate, "--cert"))
        credentials = grpc.ssl_server_credentials([pair], authority, require_client_auth=authority is not None)
        return int(server.add_secure_port(str(address), credentials))

    def admin_tls(self) -> ssl.SSLContext | None:
        """For the admin address: the same certificate.

        Raises:
            InputError: it cannot be used.
        """
        if self.certificate is None or self.key is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise InputError(f"--cert, --key: {self.certificate}, {self.key} cannot be used ({error})") from error
        return context


LOOPBACK = Address("127.0.0.1", 0)
"""Any free port."""
OPEN = Security()


def grpc_server() -> Any:
    """A server that does not listen yet."""
    return grpc.aio.server(options=_SETTINGS)


def _content(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{option}: {path} cannot be read ({error.strerror})") from error
