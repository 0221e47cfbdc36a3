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
PERIODS = (1, 5, 10, 20, 30)
"""Seconds below a minute that CloudWatch divides time into."""
_NOT_OF_CLOUDWATCH = frozenset(
    {"username", "password_env", "token_env", "ca_file", "cert_file", "key_file", "insecure_skip_verify", "headers"}
    | {"proxy"}
)
_MEND = "use username with password_env, or token_env, or write ${COALMINE_SECRET_...} in its place"


def source_faults(name: str, source: Source) -> Iterator[Fault]:
    """Everything that contradicts itself within one source."""
    path = ("sources", name)
    if source.kind == "cloudwatch":
        yield from _cloudwatch_faults(path, source)
    elif not source.url:
        yield Fault((*path, "url"), "is missing: write the store's address, such as http://127.0.0.1:9090")
    if source.region is not None and source.kind != "cloudwatch":
        yield Fault((*path, "region"), f"belongs to kind: cloudwatch; {source.kind} has none")
    if source.url and (problem := url_problem(source.url, _MEND, parameters=False, named=True)):
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


def _cloudwatch_faults(path: tuple[str, str], source: Source) -> Iterator[Fault]:
    for key in sorted(source.model_fields_set.intersection(_NOT_OF_CLOUDWATCH)):
        if getattr(source, key) != Source.model_fields[key].get_default():
            mend = "AWS' own credentials are used, as boto3 finds them"
            yield Fault((*path, key), f"belongs to kind: prometheus; cloudwatch has none: {mend}", on_key=True)
    period = source.scrape.total_seconds()
    if period not in PERIODS and (period < 60 or period % 60):
        periods = ", ".join(f"{one}s" for one in PERIODS)
        message = f"is no period of CloudWatch: write {periods} or whole minutes; most metrics of AWS have 1m"
        yield Fault((*path, "scrape"), message)


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
