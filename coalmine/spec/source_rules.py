"""What one metric store must say: an address, times, and secrets by name only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

from coalmine.spec.faults import Fault, listed, shown
from coalmine.spec.secret_names import BY_NAME, is_by_name, name_problem
from coalmine.spec.sources import Source
from coalmine.spec.urls import url_problem

_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECRET_HEADER = re.compile(r"authorization|cookie|token|secret|password|api-?key", re.IGNORECASE)
PERIODS = (1, 5, 10, 20, 30)
"""Seconds below a minute that CloudWatch divides time into."""
_MEND = "use username with password_env, or token_env, or write ${COALMINE_SECRET_...} in its place"
_ADDRESS = re.compile(r"[^\s/@]+:[0-9]{1,5}")
_DATABASE = re.compile(
    r"duckdb://(?P<file>/[^?#]+)|postgresql://(?:(?P<user>[^/?#]*)@)?[^/?#@:]+(?::[0-9]{1,5})?/[^/?#]+"
)
_LOGIN = (
    *("username", "password_env", "token_env", "ca_file", "cert_file", "key_file"),
    *("insecure_skip_verify", "headers", "proxy"),
)
KEYS_OF_SOURCE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "prometheus": (("url",), ("scrape", *_LOGIN)),
    "cloudwatch": ((), ("url", "region", "scrape")),
    "http": (("url",), _LOGIN),
    "sql": (("url",), ("password_env", "ca_file")),
    "temporal": (("deployment",), ("namespace", "address", "profile", "bounds")),
}
"""What each kind of store must and may say, besides ``kind``, ``flush`` and ``timeout``."""
OWN_KEYS = tuple(dict.fromkeys(key for must, may in KEYS_OF_SOURCE.values() for key in (*must, *may)))
_DEFAULTS = {key: getattr(Source(), key) for key in OWN_KEYS}
_NEEDED = {
    "url": "the address of the store, such as http://127.0.0.1:9090",
    "deployment": "the name of the worker deployment whose builds are released",
}


def source_faults(name: str, source: Source) -> Iterator[Fault]:
    """Everything that contradicts itself within one source."""
    path = ("sources", name)
    ours = source.kind in KEYS_OF_SOURCE
    if ours:
        # What an adapter from elsewhere makes of its keys is its own to say.
        yield from _key_faults(path, source)
        yield from _credential_faults(path, source)
        yield from _tls_faults(path, source)
    if source.kind == "sql":
        yield from _database_faults(path, source)
    elif ours and source.url and (problem := url_problem(source.url, _MEND, parameters=False, named=True)):
        yield Fault((*path, "url"), problem)
    if source.proxy is not None and (problem := url_problem(source.proxy, BY_NAME, named=True)):
        yield Fault((*path, "proxy"), problem)
    for key, duration in (("scrape", source.scrape), ("timeout", source.timeout)):
        if duration <= timedelta(0):
            yield Fault((*path, key), "must be longer than zero")
    for header, value in source.headers.items():
        if not _HEADER_NAME.fullmatch(header):
            yield Fault((*path, "headers", header), f"{header!r} is not a header's name", on_key=True)
        elif problem := name_problem(value):
            yield Fault((*path, "headers", header), problem)
        elif _SECRET_HEADER.search(header) and not is_by_name(value.rpartition(" ")[2]):
            yield Fault((*path, "headers", header), f"a secret here ends up in records: {_MEND}", on_key=True)
        elif any(ord(char) < 32 or ord(char) == 127 for char in value):
            yield Fault((*path, "headers", header), "holds a control character, such as a line break")
        elif value != value.strip() or any(ord(char) > 255 for char in value):
            message = f"{shown(value)} cannot be sent: no space at either end, and no character beyond Latin-1"
            yield Fault((*path, "headers", header), message)


def _key_faults(path: tuple[str, str], source: Source) -> Iterator[Fault]:
    """Keys that are missing, or belong to another kind of store."""
    must, may = KEYS_OF_SOURCE[source.kind]
    for key in must:
        if not getattr(source, key):
            yield Fault((*path, key), f"is missing: {_NEEDED[key]}")
    for key in OWN_KEYS:
        # What equals its default, as a spec that travelled holds, says nothing.
        if key not in (*must, *may) and getattr(source, key) != _DEFAULTS[key]:
            owners = [kind for kind, keys in KEYS_OF_SOURCE.items() if key in (*keys[0], *keys[1])]
            yield Fault((*path, key), f"belongs to kind: {listed(owners)}; {source.kind} has none")
    if source.address is not None and not _ADDRESS.fullmatch(source.address):
        yield Fault((*path, "address"), f"{shown(source.address)} is no address: write host:port, without http://")
    if source.address is not None and source.profile is not None:
        yield Fault((*path, "profile"), "there is an address too: keep one (a profile has an address)")
    if any(later <= bound for bound, later in pairwise((timedelta(0), *source.bounds))):
        yield Fault((*path, "bounds"), "must be longer than zero and rise from one to the next")
    if source.kind == "cloudwatch":
        yield from _period_faults(path, source.scrape.total_seconds())


def _period_faults(path: tuple[str, str], period: float) -> Iterator[Fault]:
    if period not in PERIODS and (period < 60 or period % 60):
        periods = ", ".join(f"{one}s" for one in PERIODS)
        message = f"is no period of CloudWatch: write {periods} or whole minutes; most metrics of AWS have 1m"
        yield Fault((*path, "scrape"), message)


def _database_faults(path: tuple[str, str], source: Source) -> Iterator[Fault]:
    """A database's URL: which engine, and no password in it."""
    if not source.url:
        return
    found = _DATABASE.fullmatch(source.url)
    if found is None:
        form = "duckdb:///path/on/the/worker, or postgresql://user@host:port/database"
        yield Fault((*path, "url"), f"is no database that can be asked: write {form}, without parameters")
    elif found["user"] and ":" in found["user"]:
        yield Fault((*path, "url"), "holds a password, which ends up in records: name its variable in password_env")
    elif found["file"] and (source.password_env or source.ca_file):
        yield Fault((*path, "url"), "a DuckDB file needs neither password_env nor ca_file: leave them out")


def _credential_faults(path: tuple[str, str], source: Source) -> Iterator[Fault]:
    for key, value in (("password_env", source.password_env), ("token_env", source.token_env)):
        if value is not None and not _ENVIRONMENT_NAME.fullmatch(value):
            # The value may be the secret itself, so it is not shown.
            yield Fault((*path, key), "is not a variable's name: write the name of the variable that holds the secret")
    if source.password_env is not None and source.username is None and source.kind != "sql":
        yield Fault((*path, "password_env"), "a password needs username beside it")
    if source.username is not None and source.password_env is None:
        yield Fault((*path, "username"), f"{shown(source.username)} needs password_env beside it")
    if source.token_env is not None and (source.username is not None or source.password_env is not None):
        yield Fault((*path, "token_env"), "there is a username or password_env too: choose one way to log in")


def _tls_faults(path: tuple[str, str], source: Source) -> Iterator[Fault]:
    if source.cert_file is not None and source.key_file is None:
        yield Fault((*path, "cert_file"), "a client certificate needs key_file beside it")
    if source.key_file is not None and source.cert_file is None:
        yield Fault((*path, "key_file"), "a key needs cert_file beside it")
    if source.insecure_skip_verify and source.ca_file is not None:
        yield Fault((*path, "insecure_skip_verify"), "any certificate is trusted, so ca_file means nothing: choose one")
