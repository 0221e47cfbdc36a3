"""What one metric store must say: an address, times, and secrets by name only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from coalmine.spec.canary import Source
from coalmine.spec.faults import Fault, shown
from coalmine.spec.secret_names import BY_NAME, is_by_name, name_problem
from coalmine.spec.urls import url_problem

_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECRET_HEADER = re.compile(r"authorization|cookie|token|secret|password|api-?key", re.IGNORECASE)
_MEND = "use username with password_env, or token_env, or write ${COALMINE_SECRET_...} in its place"


def source_faults(name: str, source: Source) -> Iterator[Fault]:
    """Everything that contradicts itself within one source."""
    path = ("sources", name)
    if problem := url_problem(source.url, _MEND, parameters=False, named=True):
        yield Fault((*path, "url"), problem)
    if source.proxy is not None and (problem := url_problem(source.proxy, BY_NAME, named=True)):
        yield Fault((*path, "proxy"), problem)
    for key, duration in (("scrape", source.scrape), ("timeout", source.timeout)):
        if duration <= timedelta(0):
            yield Fault((*path, key), "must be longer than zero")
    yield from _credential_faults(path, source)
    yield from _tls_faults(path, source)
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


def _credential_faults(path: tuple[str, str], source: Source) -> Iterator[Fault]:
    for key, value in (("password_env", source.password_env), ("token_env", source.token_env)):
        if value is not None and not _ENVIRONMENT_NAME.fullmatch(value):
            # The value may be the secret itself, so it is not shown.
            yield Fault((*path, key), "is not a variable's name: write the name of the variable that holds the secret")
    if source.password_env is not None and source.username is None:
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
