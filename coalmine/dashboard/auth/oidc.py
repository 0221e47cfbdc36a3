"""``--auth oidc``: the authorization code flow with PKCE, at the provider an issuer's discovery document names."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from starlette.requests import Request

from activities.bodies import read_up_to
from activities.key_sets import LARGEST_SET, KeySets, url_problem
from coalmine.dashboard.people import Denied, Person
from coalmine.dashboard.session import Sessions
from coalmine.errors import CoalmineError, InputError
from coalmine.identity.claims import LONGEST_TOKEN
from coalmine.identity.issuers import read_issuer_keys
from coalmine.identity.keys import jwt_module
from coalmine.identity.names import LONGEST_NAME
from coalmine.identity.verification import kid_of

CALLBACK, LOGIN, LOGOUT = "/auth/callback", "/auth/login", "/auth/logout"
FETCH_WITHIN = 10.0
"""Seconds for one exchange with the provider."""
FRESH = 3600.0
"""Seconds a discovery document counts."""
LEEWAY = 30
"""Seconds the provider's clock may be off."""
_SAFE_METHODS = {"client_secret_basic", "client_secret_post", "none"}


class ProviderSilent(CoalmineError):
    """Raised when the identity provider does not answer as it has to."""

    retryable = True


@dataclass(frozen=True)
class OidcSettings:
    """One client at one provider."""

    issuer: str
    client_id: str
    redirect_uri: str
    client_secret: str = field(default="", repr=False)
    person_claim: str = "email"
    """Names the person; an ``email`` counts only when the provider says that it is verified."""
    groups_claim: str = "groups"
    scopes: str = "openid email profile"


@dataclass(frozen=True)
class _Provider:
    authorize: str
    token: str
    jwks: str
    methods: tuple[str, ...]


class ByOidc:
    """People prove who they are at a provider; a signed cookie remembers it for some hours."""

    mode = "oidc"
    anyone_reads = False

    def __init__(self, settings: OidcSettings, sessions: Sessions, key_sets: KeySets | None = None) -> None:
        """Nothing is asked before somebody logs in.

        Raises:
            InputError: the issuer's URL cannot be trusted; says why.
        """
        if problem := url_problem(settings.issuer):
            raise InputError(f"--oidc-issuer: {problem}")
        self._settings = settings
        self._sessions = sessions
        self._sets = key_sets or KeySets()
        self._provider: tuple[float, _Provider] | None = None
        self._discovering = asyncio.Lock()

    async def who(self, request: Request) -> Person | None:
        """Whom the session's cookie names."""
        session = self._sessions.of(request)
        return Person(session.person, session.groups, "oidc") if session is not None and session.person else None

    def login(self, back_to: str) -> str | None:
        """Our own page that leads to the provider."""
        return f"{LOGIN}?{urlencode({'next': local_path(back_to)})}"

    async def begin(self, back_to: str) -> tuple[str, dict[str, str]]:
        """Where to send the browser, and what has to be there when it comes back.

        Raises:
            ProviderSilent: the provider cannot be asked.
        """
        provider = await self._discovered()
        flow = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        challenge = base64.urlsafe_b64encode(hashlib.sha256(flow["verifier"].encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self._settings.redirect_uri,
            "scope": self._settings.scopes,
            "state": flow["state"],
            "nonce": flow["nonce"],
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        separator = "&" if "?" in provider.authorize else "?"
        return f"{provider.authorize}{separator}{urlencode(asked)}", {**flow, "next": local_path(back_to)}

    def check_begun(self, given: dict[str, str], flow: dict[str, str]) -> None:
        """Make sure that what came back belongs to the login that was begun in this browser; asks nobody.

        Raises:
            Denied: it does not.
        """
        if not flow or not hmac.compare_digest(given.get("state", "").encode(), flow.get("state", "-").encode()):
            raise Denied(400, "this login was not begun in this browser, or took too long: begin it again")

    async def finish(self, given: dict[str, str], flow: dict[str, str]) -> Person:
        """Who came back from the provider.

        Args:
            given: The callback's parameters.
            flow: What ``begin`` put down in this browser.

        Raises:
            Denied: it is not the login that was begun here, or the provider said no.
            ProviderSilent: the provider cannot be asked.
        """
        self.check_begun(given, flow)
        if "error" in given:
            raise Denied(403, f"the identity provider refused: {given.get('error_description') or given['error']:.200}")
        if not given.get("code"):
            raise Denied(400, "the identity provider sent no code: begin the login again")
        provider = await self._discovered()
        answer = await self._exchange(provider, given["code"], flow["verifier"])
        token = answer.get("id_token")
        if not isinstance(token, str) or len(token) > LONGEST_TOKEN or not token.isascii():
            raise Denied(502, "the identity provider sent no ID token: does the client have the scope openid?")
        return self._person(await self._claims(provider, token, flow["nonce"]))

    async def _claims(self, provider: _Provider, token: str, nonce: str) -> dict[str, Any]:
        jwt = jwt_module()
        kid = kid_of(token)
        keys = await self._sets.keys(provider.jwks, kid, read_issuer_keys, "--oidc-issuer")
        key = keys.get(kid) if kid is not None else None
        if key is None:
            raise Denied(502, f"the ID token is signed by key {kid!r:.80}, which is not among the provider's")
        try:
            claims: dict[str, Any] = await asyncio.to_thread(
                jwt.decode,
                token,
                key.key,
                # The key says which algorithm it is for; the header does not choose.
                algorithms=[key.algorithm],
                audience=self._settings.client_id,
                issuer=self._settings.issuer,
                leeway=LEEWAY,
                options={"require": ["iss", "sub", "aud", "exp", "iat"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise Denied(403, f"the ID token does not hold ({type(error).__name__}): begin the login again") from None
        if claims.get("azp", self._settings.client_id) != self._settings.client_id:
            raise Denied(403, "the ID token was made for another client (azp)")
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise Denied(403, "the ID token is of another login (nonce): begin it again")
        return claims

    def _person(self, claims: dict[str, Any]) -> Person:
        claim = self._settings.person_claim
        name = claims.get(claim)
        if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            raise Denied(403, f"the ID token's {claim!r} names nobody: another claim is chosen with --oidc-person")
        if claim == "email" and claims.get("email_verified") is not True:
            raise Denied(403, "the identity provider did not verify this email address")
        groups = claims.get(self._settings.groups_claim, [])
        if isinstance(groups, str):
            groups = [groups]
        if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
            raise Denied(403, f"the ID token's {self._settings.groups_claim!r} is no list of names")
        return Person(name.strip(), tuple(groups), "oidc")

    async def _discovered(self) -> _Provider:
        # One question for all who log in meanwhile.
        async with self._discovering:
            now = time.monotonic()
            if self._provider is None or now - self._provider[0] >= FRESH:
                self._provider = (now, await self._discover())
            return self._provider[1]

    async def _discover(self) -> _Provider:
        url = f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration"
        document = await _json("GET", url)
        if document.get("issuer") != self._settings.issuer:
            raise ProviderSilent(
                f"--oidc-issuer: {self._settings.issuer!r} names itself {document.get('issuer')!r:.200} in its document"
            )
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        for name in names:
            if not isinstance(document.get(name), str) or url_problem(document[name]):
                raise ProviderSilent(f"--oidc-issuer: its document's {name} is {document.get(name)!r:.200}")
        methods = document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        return _Provider(
            document["authorization_endpoint"],
            document["token_endpoint"],
            document["jwks_uri"],
            tuple(method for method in methods if method in _SAFE_METHODS),
        )

    async def _exchange(self, provider: _Provider, code: str, verifier: str) -> dict[str, Any]:
        settings = self._settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": settings.redirect_uri,
            "client_id": settings.client_id,
            "code_verifier": verifier,
        }
        auth = None
        if settings.client_secret and "client_secret_basic" in provider.methods:
            # RFC 6749, 2.3.1: both are encoded as in a form first.
            pair = f"{quote(settings.client_id, safe='')}:{quote(settings.client_secret, safe='')}"
            auth = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif settings.client_secret:
            form["client_secret"] = settings.client_secret
        return await _json("POST", provider.token, form, auth)


def local_path(text: str) -> str:
    """A path of ours; anything that could lead elsewhere becomes the first page."""
    if not text.startswith("/") or text.startswith(("//", "/\\", "/auth/")) or not text.isprintable() or "\\" in text:
        return "/"
    return text


async def _json(method: str, url: str, form: dict[str, str] | None = None, auth: str | None = None) -> dict[str, Any]:
    """The JSON object a provider answers with; redirects are not followed."""
    headers = {"Accept": "application/json", **({"Authorization": auth} if auth else {})}
    try:
        async with (
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=FETCH_WITHIN),
                trust_env=url.startswith("https:"),
                cookie_jar=aiohttp.DummyCookieJar(),
            ) as session,
            session.request(method, url, data=form, headers=headers, allow_redirects=False) as response,
        ):
            raw = await read_up_to(response.content, LARGEST_SET)
            status = response.status
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        raise ProviderSilent(f"the identity provider did not answer ({type(error).__name__})") from None
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        document = None
    if status >= 400 and isinstance(document, dict) and isinstance(document.get("error"), str):
        raise Denied(403, f"the identity provider refused: {document.get('error_description') or document['error']}")
    if status != 200 or not isinstance(document, dict):
        raise ProviderSilent(f"the identity provider answered HTTP {status} without a JSON object")
    return document
