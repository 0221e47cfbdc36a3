"""Counts by JSON over HTTP: each selector is a path to ask and what to read of the answer (docs/http.md)."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NoReturn
from urllib.parse import quote

import aiohttp
from jmespath.exceptions import JMESPathError
from yarl import URL

from activities.bodies import read_up_to
from activities.sources.each_arm import NoCounts
from activities.sources.login import Login
from activities.sources.rows import Asked, Row, RowSource
from coalmine.errors import QueryRejected, SourceUnreachable
from coalmine.records import Window, stamped
from coalmine.redaction import redactor
from coalmine.spec.canary import Arm
from coalmine.spec.http_questions import PLACES, Question, filled_in, question_of
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source

CONNECT_WITHIN = 2.0
"""Seconds for name, connection and TLS."""
LARGEST = 1024 * 1024
"""Bytes of an answer: counts are few."""


class HttpSource(RowSource):
    """Any service that answers JSON: an orders API, a log store, a gateway in front of a warehouse."""

    async def ask(
        self, source: Source, metric: Metric, asked: Sequence[Asked], arm: Arm, window: Window
    ) -> list[list[Row]]:
        """See ``RowSource``; what several selectors ask alike is asked once, so that they read one answer."""
        login = Login(metric.source, source)
        try:
            questions = [question_of(text) for _, text in asked]
        except ValueError as error:
            raise QueryRejected(f"metrics.{metric.name}: {error}") from None
        values = _values(arm, window)
        paths = [filled_in(question, values) for question in questions]
        once = list(dict.fromkeys(paths))
        timeout = aiohttp.ClientTimeout(total=source.timeout.total_seconds(), connect=CONNECT_WITHIN)
        connector = aiohttp.TCPConnector(ssl=_tls(login))
        async with aiohttp.ClientSession(
            timeout=timeout, connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            bodies = await asyncio.gather(*(_body(session, login, path) for path in once), return_exceptions=True)
        for body in bodies:
            if isinstance(body, BaseException):
                raise body
        answers = dict(zip(once, bodies, strict=True))
        return [
            _rows(metric, part, text, question, answers[path])
            for (part, text), question, path in zip(asked, questions, paths, strict=True)
        ]


def _values(arm: Arm, window: Window) -> dict[str, str]:
    """What stands for each of ``PLACES``, encoded so that it can end neither its part of the path nor its parameter."""
    found = {"arm.version": arm.version, "arm.backend": arm.backend}
    for name, moment in (("start", window.start), ("end", window.end)):
        found[name] = stamped(moment)
        found[f"{name}.unix"] = _unix(moment)
    for name, value in found.items():
        if value in (".", ".."):
            raise QueryRejected(f"{name} is {value!r}, which means another path in a URL: give it another name")
    return {name: quote(found[name], safe="") for name in PLACES}


def _unix(moment: datetime) -> str:
    return f"{moment.timestamp():.6f}".rstrip("0").rstrip(".")


async def _body(session: aiohttp.ClientSession, login: Login, path: str) -> Any:
    """The JSON that one path answers.

    Raises:
        NoCounts: the store says that there is nothing.
        SourceUnreachable, QueryRejected: as ``RowSource.ask``.
    """
    headers = {"Accept": "application/json", **login.headers}
    if login.basic is not None:
        headers["Authorization"] = login.basic
    try:
        async with session.get(
            URL(login.url + path, encoded=True), headers=headers, proxy=login.proxy, allow_redirects=False
        ) as response:
            body = await read_up_to(response.content, LARGEST + 1)
    except TimeoutError:
        raise login.late() from None
    except (aiohttp.ClientSSLError, ssl.SSLError) as error:
        raise login.untrusted(error) from None
    except (aiohttp.InvalidURL, ValueError) as error:
        raise QueryRejected(f"{login.key('url')}/headers cannot be used: {login.clean(str(error))}") from None
    except (aiohttp.ClientError, OSError) as error:
        raise SourceUnreachable(f"{login.where} is unreachable ({login.clean(str(error))})") from None
    if response.status != 200:
        _raise_for(login, path, response.status, body)
    if len(body) > LARGEST:
        raise QueryRejected(f"{login.where} answered {path} with more than {LARGEST:,} bytes: ask for counts alone")
    try:
        return json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise QueryRejected(f"{login.where} answered {path}, but not with JSON: {login.clean(str(error))}") from None


def _raise_for(login: Login, path: str, status: int, body: bytes) -> NoReturn:
    said = login.clean(" ".join(body[:LARGEST].decode("utf-8", "replace").split())) or "no reason given"
    if status in (204, 404):
        raise NoCounts(f"empty: {login.where} answered {path} with {status}")
    if 300 <= status < 400:
        raise login.redirected()
    if refused := login.refused(status, said):
        raise refused
    if status in (408, 425, 429) or status >= 500:
        raise SourceUnreachable(f"{login.where} answered {status}: {said}")
    raise QueryRejected(f"{login.where} refused {path} ({status}): {said}")


def _rows(metric: Metric, part: str, text: str, question: Question, body: Any) -> list[Row]:
    """What the expression finds, as rows."""
    at = f"metrics.{metric.name}.{part}"
    try:
        found = question.expression.search(body)
    except (JMESPathError, RecursionError, ArithmeticError, TypeError, ValueError) as error:
        raise QueryRejected(f"{at}: {text} cannot be read of the answer: {redactor.text(str(error))[:200]}") from None
    if found is None:
        raise NoCounts(f"empty: {part} finds nothing, or null, in the answer of {text.split(maxsplit=1)[0]}")
    if part not in ("values", "buckets"):
        return [(found,)]
    if not isinstance(found, list) or (part == "buckets" and not all(isinstance(row, list) for row in found)):
        wanted = "a list of numbers" if part == "values" else "a list of [upper bound, count]"
        raise QueryRejected(f"{at} answered {redactor.text(str(found))[:200]!r}: it must be {wanted}")
    return [tuple(row) if part == "buckets" else (row,) for row in found]


def _tls(login: Login) -> ssl.SSLContext | bool:
    source = login.source
    if not (source.insecure_skip_verify or source.ca_file or source.cert_file):
        return True
    try:
        context = ssl.create_default_context(cafile=source.ca_file)
        if source.insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if source.cert_file:
            context.load_cert_chain(source.cert_file, source.key_file)
    except (ssl.SSLError, OSError) as error:
        raise QueryRejected(f"sources.{login.name}: a certificate cannot be used: {error}") from None
    return context


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")
