"""One Prometheus API over prometheus-api-client: warnings kept, errors told apart, secrets kept out of them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

import requests
from prometheus_api_client.exceptions import PrometheusApiClientException
from prometheus_api_client.prometheus_connect import PrometheusConnect
from urllib3.util.retry import Retry

from activities.sources.login import Login
from activities.sources.prometheus_answer import Answer, well_formed
from coalmine.errors import QueryRejected, SourceUnreachable
from coalmine.spec.sources import Source

CONNECT_TIMEOUT = 2.0
"""Seconds: a metric store that does not take a connection by then is down for this look."""
_ANNOTATIONS = ("PromQL info:", "PromQL warning:")
_THREADS = 8
P = ParamSpec("P")
T = TypeVar("T")


class TooManySamples(QueryRejected):
    """Raised when the store's own limit on samples was hit: ask in smaller pieces."""


class PrometheusHttp:
    """One configured connection pool. Its threads are its own, so that a hung store holds up nobody else's files."""

    def __init__(self, name: str, source: Source) -> None:
        """Read the secrets and set up the session.

        Raises:
            QueryRejected: the source cannot work as written; names the key and the mend.
        """
        self.login = login = Login(name, source)
        self.name = name
        self.source = source
        self.timeout = source.timeout.total_seconds()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"prometheus-{name}")
        self._seen = threading.local()
        session = requests.Session()
        # The environment's proxies, .netrc and CA bundles would change who is asked, and as whom, without a word.
        session.trust_env = False
        session.max_redirects = 0
        session.verify = False if source.insecure_skip_verify else (source.ca_file or True)
        if source.cert_file is not None:
            session.cert = (source.cert_file, source.key_file) if source.key_file else source.cert_file
        if login.proxy is not None:
            session.proxies = {"http": login.proxy, "https": login.proxy}
        session.hooks["response"].append(self._keep)
        retry = Retry(
            total=1, connect=1, read=False, redirect=None, status=0, backoff_factor=0.1, raise_on_status=False
        )
        self._session = session
        self._connect = PrometheusConnect(
            url=login.url,
            headers=login.headers,
            auth=login.auth,  # type: ignore[arg-type]
            session=session,
            retry=retry,
            timeout=(CONNECT_TIMEOUT, self.timeout),  # type: ignore[arg-type]
        )

    async def query(self, text: str, at: int | None = None) -> Answer:
        """Ask an instant query at a moment (milliseconds; None = the store's own now).

        Raises:
            SourceUnreachable: no answer in time, or a 5xx.
            QueryRejected: the store refused; says how to mend it.
        """
        try:
            return await asyncio.wait_for(self.run(self._query, text, at), self.timeout + CONNECT_TIMEOUT + 0.5)
        except TimeoutError:
            raise self.login.late() from None

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do work on answers in one of this store's threads: a catch-up may bring a million samples."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *args, **kwargs))

    async def exemplars(self, text: str, start: int, end: int) -> Sequence[Any]:
        """Exemplars of the series a selector names, from ``start`` to ``end`` (milliseconds), as the store lists them.

        Raises:
            SourceUnreachable: no answer in time, or a 5xx.
            QueryRejected: the store refused, or does not keep exemplars.
        """
        params = {"query": text, "start": f"{start / 1000:.3f}", "end": f"{end / 1000:.3f}"}
        call = partial(self._list, "/api/v1/query_exemplars", params)
        try:
            answer = await asyncio.wait_for(
                self.run(self._asked, text, call, _is_list), self.timeout + CONNECT_TIMEOUT + 0.5
            )
        except TimeoutError:
            raise self.login.late() from None
        return answer.result

    async def label_values(self, label: str, selector: str, since: int) -> Sequence[str]:
        """The values a label has on the series a selector names, from ``since`` (milliseconds) until now, sorted.

        Raises:
            SourceUnreachable: no answer in time, or a 5xx.
            QueryRejected: the store refused.
        """
        call = partial(
            self._list, f"/api/v1/label/{label}/values", {"match[]": selector, "start": f"{since / 1000:.3f}"}
        )
        try:
            answer = await asyncio.wait_for(
                self.run(self._asked, selector, call, _is_list), self.timeout + CONNECT_TIMEOUT + 0.5
            )
        except TimeoutError:
            raise self.login.late() from None
        return sorted(str(value) for value in answer.result)

    def close(self) -> None:
        """Close connections and threads; a query that is under way ends by its own time-out."""
        self._connect.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _query(self, text: str, at: int | None) -> Answer:
        params = {"timeout": f"{max(1, round(self.timeout * 1000))}ms"}
        if at is not None:
            params["time"] = f"{at // 1000}.{at % 1000:03d}"
        return self._asked(text, partial(self._connect.custom_query, text, params=params))

    def _list(self, path: str, params: Mapping[str, str]) -> Sequence[Any]:
        response = self._session.get(
            self.login.url + path,
            params=params,
            headers=self._connect.headers,
            auth=self._connect.auth,
            timeout=(CONNECT_TIMEOUT, self.timeout),
        )
        if response.status_code != 200:
            raise PrometheusApiClientException(f"HTTP Status Code {response.status_code}")
        listed: Sequence[Any] = response.json()["data"]
        return listed

    def _asked(self, text: str, call: Callable[[], Any], known: Callable[[Any], bool] = well_formed) -> Answer:
        self._seen.response = None
        sent = time.time()
        try:
            result = call()
        except PrometheusApiClientException:
            raise self._refused(text, self._seen.response) from None
        except requests.exceptions.SSLError as error:
            raise self.login.untrusted(error) from None
        except requests.exceptions.TooManyRedirects:
            raise self.login.redirected() from None
        except requests.exceptions.Timeout:
            raise self.login.late() from None
        except (
            requests.exceptions.InvalidURL,
            requests.exceptions.InvalidSchema,
            requests.exceptions.MissingSchema,
            requests.exceptions.InvalidHeader,
        ) as error:
            raise QueryRejected(
                f"{self.login.key('url')}/headers cannot be used: {self.login.clean(str(error))}"
            ) from None
        except requests.exceptions.JSONDecodeError:
            raise QueryRejected(self._otherwise()) from None
        except requests.exceptions.RequestException as error:
            raise SourceUnreachable(f"{self.login.where} is unreachable ({self.login.clean(_cause(error))})") from None
        except (KeyError, TypeError, RecursionError):
            raise QueryRejected(self._otherwise()) from None
        if not known(result):
            raise QueryRejected(self._otherwise())
        return Answer(result, self._warnings(), sent, time.time(), self._otherwise())

    def _otherwise(self) -> str:
        return f"{self.login.where} answered, but not as Prometheus: write the API's address in {self.login.key('url')}"

    def _keep(self, response: requests.Response, **_: object) -> None:
        self._seen.response = response

    def _warnings(self) -> tuple[str, ...]:
        response: requests.Response | None = self._seen.response
        if response is None or not any(mark in response.content for mark in (b'"warnings"', b'"isPartial"')):
            return ()
        body = response.json()
        told = body.get("warnings") or []
        warnings = [
            self.login.clean(str(text))
            for text in (told if isinstance(told, list) else [told])
            if not str(text).startswith(_ANNOTATIONS)
        ]
        if body.get("isPartial"):
            warnings.append("the answer is partial: not all storage nodes answered")
        return tuple(warnings)

    def _refused(self, text: str, response: requests.Response | None) -> QueryRejected | SourceUnreachable:
        if response is None:
            return SourceUnreachable(f"{self.login.where} gave no answer")
        status = response.status_code
        said = self._said(response)
        if refused := self.login.refused(status, said):
            return refused
        if status == 404:
            return QueryRejected(
                f"{self.login.where} has no Prometheus API (404): is a path missing in {self.login.key('url')}?"
            )
        if status == 422 and ("too many samples" in said or "exceed" in said):
            return TooManySamples(f"{self.login.where} refused {text}: {said}")
        if status in (408, 429) or status >= 500:
            return SourceUnreachable(f"{self.login.where} answered {status}: {said}")
        return QueryRejected(f"{self.login.where} refused {text} ({status}): {said}")

    def _said(self, response: requests.Response) -> str:
        try:
            said = str(response.json()["error"])
        except (ValueError, KeyError, TypeError):
            said = response.text.strip().partition("\n")[0] or response.reason or "no reason given"
        return self.login.clean(said)


def _cause(error: BaseException) -> str:
    # The outermost text repeats pool, URL and query; the innermost says what happened.
    inner: BaseException = error
    while inner.args and isinstance(inner.args[0], BaseException):
        inner = inner.args[0]
    reason = getattr(inner, "reason", None)
    text = str(reason if isinstance(reason, BaseException) else inner)
    return text.rpartition(": ")[2] if "NewConnectionError" in text or "object at 0x" in text else text


def _is_list(result: Any) -> bool:
    return isinstance(result, list)
