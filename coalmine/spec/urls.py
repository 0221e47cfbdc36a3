"""What counts as a URL in a spec: http or https, a host, and no secret in it."""

from __future__ import annotations

import ipaddress
import re

from coalmine.spec.faults import shown
from coalmine.spec.secret_names import is_by_name, name_problem, with_stand_ins

_URL = re.compile(
    r"https?://(?P<authority>(?P<user>[^/?#\s]*@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#\s:@\[\]]+)(?::(?P<port>[0-9]*))?)"
    r"(?:[/?#]\S*)?",
    re.IGNORECASE,
)
LONGEST_LABEL = 63
"""Characters between two dots of a host's name (RFC 1035)."""
SECRET_PARAMETER = re.compile(r"[?&](token|access_token|api_?key|password|secret|auth)=", re.IGNORECASE)


def _is_host(host: str) -> bool:
    """Whether an address in brackets is one of IPv6, and a name has labels that DNS could hold."""
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            return False
        return True
    return all(0 < len(label) <= LONGEST_LABEL for label in host.removesuffix(".").split("."))


def url_problem(
    url: str, mend: str, parameters: bool = True, secrets: bool | None = None, named: bool = False
) -> str | None:
    """Why this cannot be used as a URL, None when it can.

    Args:
        url: what was written.
        mend: where a user and password belong instead.
        parameters: whether a query or a fragment may follow; not where a path is put behind the URL.
        secrets: whether a secret may stand in the query; as ``parameters`` when None.
        named: whether ``${COALMINE_SECRET_...}`` may stand in it, or be all of it.
    """
    secrets = parameters if secrets is None else secrets
    by_name = False
    if named:
        if problem := name_problem(url):
            return problem
        by_name = is_by_name(url.partition("://")[2].partition("/")[0].rpartition("@")[0].rpartition(":")[2])
        url = with_stand_ins(url)
    match = _URL.fullmatch(url)
    if match is None or not url.isprintable():
        return f"{shown(url)} is not a URL: write http:// or https://, a host and a path"
    if not _is_host(match["host"]):
        return f"{shown(url)} has no host that can be: write a name, an IPv4 address, or an IPv6 address in brackets"
    if match["user"] and not by_name:
        return f"{shown(url)} has a user or password in it, which ends up in records: {mend}"
    if match["port"] is not None and not (match["port"] and len(match["port"]) < 6 and 0 < int(match["port"]) < 65536):
        return f"{shown(url)} has a wrong port: it is between 1 and 65535"
    if not secrets and SECRET_PARAMETER.search(url):
        bare = url.partition("?")[0]
        return f"{shown(bare)} has a secret in its query, which ends up in records: {mend}"
    if not parameters and ("?" in url or "#" in url):
        return f"{shown(url)} has a query or fragment, but a path is put behind it: leave out what begins at ? or #"
    return None
