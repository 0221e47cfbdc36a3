"""How a worker reaches one metric store over HTTP, and as whom: secrets looked up, and kept out of every message."""

from __future__ import annotations

import base64
import os
from urllib.parse import urlsplit, urlunsplit

from activities.secrets import filled
from coalmine.errors import QueryRejected, SecretMissing, SourceUnreachable
from coalmine.redaction import redactor
from coalmine.spec.sources import Source

_LONGEST_ERROR = 300
_LONG_ENOUGH_TO_HIDE = 8


class Login:
    """The address, the headers and the certificates of a source, as they are on this worker now."""

    def __init__(self, name: str, source: Source) -> None:
        """Read the secrets, and look for the files.

        Raises:
            QueryRejected: the source cannot work as written; names the key and the mend.
        """
        self.name = name
        self.source = source
        self.shown_url = _without_userinfo(source.url)
        self.url = self._filled("url", source.url).rstrip("/")
        self._secrets: list[str] = []
        self.headers = {header: self._filled("headers", value) for header, value in source.headers.items()}
        self.auth: tuple[str, str] | None = None
        """User and password of basic authentication."""
        self.basic: str | None = None
        """The same as the value of the header ``Authorization``."""
        if source.token_env is not None:
            if source.username is not None:
                raise QueryRejected(f"{self.key('token_env')}: a token and a username are both given; keep one")
            self.headers["Authorization"] = f"Bearer {self._secret('token_env', source.token_env)}"
        elif source.username is not None:
            if source.password_env is None:
                raise QueryRejected(f"{self.key('password_env')} is missing: name the variable with the password")
            password = self._secret("password_env", source.password_env)
            self.auth = (source.username, password)
            both = base64.b64encode(f"{source.username}:{password}".encode()).decode()
            self.basic = f"Basic {both}"
            self._secrets.append(both)
        # Headers should hold no secret, but may; short values (a tenant "1") would only make errors unreadable.
        self._secrets += [value for value in self.headers.values() if len(value) >= _LONG_ENOUGH_TO_HIDE]
        for field, path in (
            ("ca_file", source.ca_file),
            ("cert_file", source.cert_file),
            ("key_file", source.key_file),
        ):
            if path is not None and not os.path.isfile(path):
                raise QueryRejected(f"{self.key(field)}: there is no file {path!r} where the worker runs")
        self.proxy = self._filled("proxy", source.proxy) if source.proxy is not None else None

    @property
    def where(self) -> str:
        """The store, for messages."""
        return f"{self.name} at {self.shown_url}"

    def key(self, field: str) -> str:
        """The place of one of the source's keys in the spec."""
        return f"sources.{self.name}.{field}"

    def clean(self, text: str) -> str:
        """What a store or a library said, without the secrets it may repeat, and not longer than a message."""
        for secret in self._secrets:
            if secret:
                text = text.replace(secret, "***")
        text = redactor.text(text.replace(self.url, self.shown_url))
        return text if len(text) <= _LONGEST_ERROR else text[:_LONGEST_ERROR] + "..."

    def refused(self, status: int, said: str) -> QueryRejected | None:
        """What 401 and 403 mean; None for any other status."""
        if status == 401:
            mend = f"set token_env, or username and password_env, in sources.{self.name}"
            return QueryRejected(f"{self.where} wants authentication (401): {mend}")
        if status == 403:
            return QueryRejected(f"{self.where} forbids the query (403): {said}; the credentials may not read this")
        return None

    def late(self) -> SourceUnreachable:
        """No answer within the source's ``timeout``."""
        return SourceUnreachable(f"{self.where} did not answer within {self.source.timeout.total_seconds():g} s")

    def untrusted(self, error: BaseException) -> SourceUnreachable:
        """TLS failed."""
        mend = "set ca_file to the authority that signed it"
        return SourceUnreachable(f"{self.where}: TLS failed ({self.clean(str(error))}); {mend}")

    def redirected(self) -> QueryRejected:
        """A redirect, which is not followed: credentials would go along."""
        mend = f"write the API's own address in {self.key('url')}"
        return QueryRejected(f"{self.where} redirects (to a login page?): {mend}")

    def _secret(self, field: str, variable: str) -> str:
        value = os.environ.get(variable, "")
        if not value:
            raise QueryRejected(f"{self.key(field)}: the environment variable {variable} is not set on the worker")
        self._secrets.append(value)
        redactor.register(value)
        return value

    def _filled(self, field: str, text: str) -> str:
        try:
            return filled(text)
        except SecretMissing as error:
            raise QueryRejected(f"{self.key(field)}: {error}") from None


def _without_userinfo(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
