"""``COALMINE_IDENTITY=github``: a job of GitHub Actions asks GitHub who it is, for this start alone.

Source: "About security hardening with OpenID Connect", requesting the token by the variables of the runner. Its
audience is that of one verb of one rollout (docs/identity.md), so the token can start nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from coalmine.errors import InputError, TemporalUnavailable

VARIABLE = "COALMINE_IDENTITY"
REQUEST_URL = "ACTIONS_ID_TOKEN_REQUEST_URL"
REQUEST_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
WITHIN = 10.0
"""Seconds."""
TRIES = 3
_LARGEST = 64 * 1024


def issued_token(audience: str, environ: Mapping[str, str] | None = None) -> str:
    """The token, empty when nobody asked for one; it is never printed.

    Args:
        audience: Whom it is for.
        environ: Of the job; this process's when None.

    Raises:
        InputError: the setting is unknown, the job may have no token, or GitHub refuses.
        TemporalUnavailable: GitHub does not answer; nothing was started.
    """
    environ = os.environ if environ is None else environ
    wanted = environ.get(VARIABLE, "").strip()
    if not wanted:
        return ""
    if wanted != "github":
        raise InputError(f"{VARIABLE}: {wanted!r} is not known: it is github; elsewhere set COALMINE_IDENTITY_TOKEN")
    url, token = environ.get(REQUEST_URL, ""), environ.get(REQUEST_TOKEN, "")
    if not url or not token:
        raise InputError(
            f"{VARIABLE}=github, and {REQUEST_URL if not url else REQUEST_TOKEN} is not set: give the job "
            "permissions: id-token: write"
        )
    if urlsplit(url).scheme not in ("http", "https"):
        raise InputError(f"{REQUEST_URL} is no http(s) URL")
    whole = f"{url}{'&' if '?' in url else '?'}audience={quote(audience, safe='')}"
    request = Request(whole, headers={"Authorization": f"Bearer {token}", "Accept": "application/json"})
    for left in reversed(range(TRIES)):
        try:
            with urlopen(request, timeout=WITHIN) as response:
                return _token_in(response.read(_LARGEST))
        except HTTPError as error:
            error.close()
            if error.code < 500 and error.code != 429:
                raise InputError(
                    f"GitHub gives no identity token (HTTP {error.code}): has the job permissions: id-token: write?"
                ) from None
            why = f"HTTP {error.code}"
        except (URLError, OSError) as error:
            why = str(getattr(error, "reason", None) or error)
        if not left:
            raise TemporalUnavailable(f"GitHub did not say who this job is ({why}); nothing was started")
    raise AssertionError("unreachable")


def _token_in(body: bytes) -> str:
    try:
        value = json.loads(body)["value"]
    except (ValueError, KeyError, TypeError, RecursionError):
        value = None
    if not isinstance(value, str) or not value:
        raise InputError("GitHub's answer holds no identity token")
    return value
