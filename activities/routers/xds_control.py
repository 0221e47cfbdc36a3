"""Asking a control plane (``coalmine xds``) for a route, and telling it weights: over HTTP, on its admin address."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import Any
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, ValidationError
from yarl import URL

from activities.routers.xds_answers import Asking, Refused, RouteAnswer, Wanted
from activities.secrets import filled
from coalmine.errors import (
    RouteRejected,
    RouterError,
    RouterUnreachable,
    RouteUnconfirmed,
    SecretMissing,
    StaleGeneration,
)
from coalmine.redaction import redactor

WITHIN = aiohttp.ClientTimeout(total=6.0, connect=1.0)
"""For a whole answer: a write is answered when every proxy has taken it or refused it, or after a second; and a
refused one when the way back has been taken, or a second later."""
_STRANGE = "is no control plane: route.control is the address that coalmine xds --admin listens on"
_KINDS: dict[str, type[RouterError]] = {
    kind.__name__: kind for kind in (StaleGeneration, RouteRejected, RouteUnconfirmed, RouterUnreachable)
}


class Control:
    """``async with Control(address, token) as control``; the connection ends with it."""

    def __init__(self, address: str, token: str | None) -> None:
        """Address and token as the spec has them: secrets in them are filled in when they are sent."""
        self._address, self._token = address, token

    async def __aenter__(self) -> Control:
        # Proxies of the environment are not used: what is asked is near.
        self._session = aiohttp.ClientSession(timeout=WITHIN, trust_env=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def read(self, name: str) -> RouteAnswer:
        """The route as it is now.

        Raises:
            RouteRejected: there is no such route, or it cannot be understood.
            RouterUnreachable: no answer, or not one of a control plane that lets us in.
        """
        return self._route(await self._asked("GET", name))

    async def write(self, name: str, wanted: Wanted) -> RouteAnswer:
        """Write, and hear when every proxy has taken it or a second is over.

        Raises:
            StaleGeneration: a newer generation is there, or this one with other weights.
            RouteRejected: the route or an Envoy refused it; what was there before is, under this generation.
            RouterUnreachable: no answer: it may have been written.
        """
        return self._route(await self._asked("PUT", name, wanted))

    async def rehearse(self, name: str, wanted: Wanted) -> None:
        """Everything a write does but the write.

        Raises:
            RouteRejected: it would fail; says why.
            RouterUnreachable: no answer.
        """
        await self._asked("POST", f"{quote(name, safe='')}/rehearsal", wanted, quoted=True)

    async def _asked(self, method: str, name: str, body: Asking | None = None, quoted: bool = False) -> Any:
        path = f"/routes/{name if quoted else quote(name, safe='')}"
        try:
            url = URL(f"{filled(self._address).rstrip('/')}{path}", encoded=True)
            headers = {"Authorization": f"Bearer {filled(self._token)}"} if self._token else {}
            content = body.model_dump(mode="json", exclude_none=True) if body is not None else None
            async with self._session.request(method, url, json=content, headers=headers) as answer:
                told = await answer.json(content_type=None)
                if answer.status == 200 and isinstance(told, dict):
                    return told
                raise self._refusal(answer.status, told)
        except TimeoutError as error:
            raise RouterUnreachable(f"{self._address}: no answer within {WITHIN.total:g} s") from error
        except SecretMissing as error:
            raise RouterUnreachable(f"{self._address}: {error}") from error
        except (aiohttp.ClientError, ValueError) as error:
            why = redactor.text(str(error)) or type(error).__name__
            raise RouterUnreachable(f"{self._address}: no answer of a control plane ({why})") from error

    def _route(self, told: Any) -> RouteAnswer:
        try:
            answer = RouteAnswer.model_validate(told)
        except ValidationError as error:
            raise RouterUnreachable(f"{self._address}: {_STRANGE}") from error
        # Where the file lies is the control plane's matter: people are told whom we asked.
        return answer.model_copy(update={"route": replace(answer.route, path=self._address)})

    def _refusal(self, status: int, told: Any) -> RouterError:
        if status == 401:
            mend = "route.token names the secret that is its COALMINE_XDS_TOKEN"
            return RouterUnreachable(f"{self._address}: does not take our token: {mend}")
        try:
            refused = Refused.model_validate(told)
            return _KINDS[refused.error](f"{self._address}: {refused.reason}")
        except (ValidationError, KeyError):
            return RouterUnreachable(f"{self._address}: {_STRANGE} (status {status})")


def users_of(options: BaseModel) -> dict[str, Any]:
    """What a route's keys ask for besides weights, for ``Wanted``."""
    return {key: getattr(options, key) for key in Asking.model_fields}
