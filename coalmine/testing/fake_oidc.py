"""A small OpenID Connect provider on loopback: discovery, login without a password, tokens, keys. PKCE is checked.

``async with FakeOidc("ana@example.org", groups=["sre"]) as provider:`` and give ``provider.issuer`` to what is tested.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlencode

from aiohttp import web

from coalmine.identity.keys import jwt_module
from coalmine.identity.service import new_service_key

CLIENT = "coalmine"


class FakeOidc:
    """Everyone who comes is ``person``; claims and answers can be spoilt."""

    def __init__(self, person: str, groups: list[str] | None = None, client_secret: str = "") -> None:
        self.person = person
        self.groups = groups or []
        self.client_secret = client_secret
        self.issuer = ""
        self.refuse = ""
        """An error to send people back with."""
        self.spoil: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
        """Changes the claims of the next ID tokens."""
        self.announces: dict[str, Any] = {}
        """Replaces keys of the discovery document."""
        self.key = new_service_key("provider-1")
        """The key that is published."""
        self.signs_with = self.key
        self.redirects: list[str] = []
        """Where people were sent back to."""
        self._codes: dict[str, dict[str, str]] = {}
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        app.router.add_get("/keys", self._keys)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.issuer = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def bearer(self, audience: str, **changes: Any) -> str:
        """A token for an API, as CI systems issue them."""
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": self.person, "aud": audience, "iat": now, "exp": now + 300}
        return self._signed({**claims, "jti": secrets.token_hex(8), "email": self.person, **changes})

    async def _discovery(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "none"],
                **self.announces,
            }
        )

    async def _authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        wanted = {"response_type": "code", "client_id": CLIENT, "code_challenge_method": "S256"}
        wrong = [name for name, value in wanted.items() if asked.get(name) != value]
        if wrong or "openid" not in asked.get("scope", "").split() or not asked.get("redirect_uri"):
            return web.json_response({"error": "invalid_request", "error_description": f"{wrong}"}, status=400)
        answer = {"state": asked.get("state", "")}
        if self.refuse:
            answer |= {"error": self.refuse}
        else:
            code = secrets.token_urlsafe(16)
            self._codes[code] = asked
            answer |= {"code": code}
        where = f"{asked['redirect_uri']}?{urlencode(answer)}"
        self.redirects.append(where)
        raise web.HTTPFound(where)

    async def _token(self, request: web.Request) -> web.Response:
        form = dict(await request.post())
        asked = self._codes.pop(str(form.get("code", "")), None)
        if asked is None:
            return web.json_response({"error": "invalid_grant", "error_description": "no such code"}, status=400)
        digest = hashlib.sha256(str(form.get("code_verifier", "")).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        pair = base64.b64encode(f"{CLIENT}:{self.client_secret}".encode()).decode()
        known = not self.client_secret or request.headers.get("Authorization") == f"Basic {pair}"
        if challenge != asked["code_challenge"] or form.get("redirect_uri") != asked["redirect_uri"] or not known:
            return web.json_response({"error": "invalid_grant", "error_description": "not your code"}, status=400)
        now = int(time.time())
        claims = self.spoil(
            {
                "iss": self.issuer,
                "sub": f"id-of-{self.person}",
                "aud": CLIENT,
                "iat": now,
                "exp": now + 300,
                "nonce": asked.get("nonce", ""),
                "email": self.person,
                "email_verified": True,
                "groups": self.groups,
            }
        )
        return web.json_response({"access_token": "unused", "token_type": "Bearer", "id_token": self._signed(claims)})

    async def _keys(self, request: web.Request) -> web.Response:
        public = {name: value for name, value in self.key.items() if name in ("kty", "crv", "kid", "alg", "x")}
        return web.Response(text=json.dumps({"keys": [public]}), content_type="application/json")

    def _signed(self, claims: dict[str, Any]) -> str:
        jwt = jwt_module()
        private = jwt.PyJWK(self.signs_with, algorithm="EdDSA").key
        return str(jwt.encode(claims, private, algorithm="EdDSA", headers={"kid": self.key["kid"]}))
