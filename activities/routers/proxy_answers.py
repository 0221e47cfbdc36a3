"""Asking a proxy over HTTP: what is no answer of its kind is ``Silent``, and names the proxy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiohttp

from activities.routers.splits import Silent
from activities.secrets import filled
from coalmine.errors import SecretMissing
from coalmine.redaction import redactor

WITHIN = aiohttp.ClientTimeout(total=2.0, connect=1.0)
"""For a whole answer: a proxy is near."""


def proxy_session() -> aiohttp.ClientSession:
    """A session for one call. Proxies of the environment are not used: what is asked is near."""
    return aiohttp.ClientSession(timeout=WITHIN, trust_env=False)


@contextmanager
def answering(place: str) -> Iterator[None]:
    """Within it, what keeps an answer from coming is ``Silent``; ``place`` is the address as the spec has it."""
    try:
        yield
    except TimeoutError as error:
        raise Silent(f"{place}: no answer within {WITHIN.total:g} s") from error
    except SecretMissing as error:
        raise Silent(f"{place}: {error}") from error
    except aiohttp.ClientError as error:
        raise Silent(f"{place}: {redactor.text(str(error))}") from error


async def asked_object(
    session: aiohttp.ClientSession, place: str, path: str, mend: str, query: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The JSON object at ``path`` of a proxy's interface.

    Raises:
        Silent: no answer, or none of an interface of its kind; ``mend`` asks whether it is one.
    """
    with answering(place):
        async with session.get(f"{filled(place).rstrip('/')}{path}", params=query) as response:
            if response.status != 200:
                raise Silent(f"{place}: {path} answered {response.status}: {mend}")
            try:
                answer = await response.json(content_type=None)
            except ValueError as error:
                raise Silent(f"{place}: {path} is not JSON: {mend}") from error
    if not isinstance(answer, dict):
        raise Silent(f"{place}: {path} is not an object: {mend}")
    return answer
