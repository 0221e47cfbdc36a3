"""AWS by boto3: a client for each service, region and endpoint; calls in threads that end in time; errors with a mend.

Credentials are found as boto3 finds them everywhere (environment, profile, role), and so are region and endpoint where
a spec names none.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from coalmine.errors import CoalmineError, MissingExtra

CONNECT_WITHIN, ANSWER_WITHIN = 1, 3
"""Seconds of one try; there are two, so that a call ends within 8 s and a short pause."""
AT_ONCE = 16
IAM_PREFIX = {"elbv2": "elasticloadbalancing"}
"""What IAM calls a service where boto3 calls it otherwise."""
_CREDENTIALS = frozenset(
    {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException"}
)
_FORBIDDEN = ("AccessDenied", "Unauthorized", "AuthorizationError", "NotAuthorized")
TRANSIENT = ("Throttl", "Internal")
"""How codes of single entries begin that may be taken at another try."""
_BUSY = ("Throttl", "TooManyRequests", "RequestLimitExceeded", "LimitExceededException", "SlowDown")
_PASSING = frozenset(
    {
        *("ExpiredToken", "ExpiredTokenException", "RequestExpired", "RequestTimeout", "RequestTimeoutException"),
        *("PriorRequestNotComplete", "ProvisionedThroughputExceededException", "InternalFailure", "InternalError"),
        *("ResourceConflictException", "ServiceUnavailable"),
    }
)


class AwsRefused(Exception):
    """Raised when AWS says no, and would say so again; ``code`` is its own word for it."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class AwsSilent(Exception):
    """Raised when AWS did not answer, was too busy, or may answer otherwise soon."""


@dataclass(frozen=True)
class AwsPlace:
    """Where calls go: None = as the worker's environment says."""

    region: str | None = None
    endpoint: str | None = None


class AwsServices:
    """Clients, made when they are first needed and kept. Safe for several threads and workers."""

    def __init__(self) -> None:
        self._clients: dict[tuple[str, AwsPlace], Any] = {}
        self._making = threading.Lock()
        # Threads of their own: calls that hang must not keep other adapters from asyncio's few.
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="aws")

    async def ask(self, place: AwsPlace, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call ``operation`` (boto3's name, such as ``describe_rules``) of ``service`` and give its answer.

        Raises:
            AwsRefused: a definite no.
            AwsSilent: worth another try.
            MissingExtra: boto3 is not installed.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._call, place, service, operation, arguments)

    def _call(self, place: AwsPlace, service: str, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        client = self._client(place, service)
        with _translated(client, service, operation):
            answer: dict[str, Any] = getattr(client, operation)(**arguments)
            return answer

    def _client(self, place: AwsPlace, service: str) -> Any:
        with self._making:
            if (service, place) not in self._clients:
                self._clients[service, place] = new_client(place, service)
            return self._clients[service, place]


@cache
def shared_services() -> AwsServices:
    """Those of this process: routers, sources and channels share clients, which take long to make."""
    return AwsServices()


def place_of(arn: str) -> AwsPlace:
    """Where an ARN says its thing is; of a mere name, where the worker's environment says."""
    return AwsPlace(arn.split(":")[3]) if arn.startswith("arn:") else AwsPlace()


def new_client(place: AwsPlace, service: str) -> Any:
    """A client of boto3 whose tries are few and short.

    Raises:
        AwsRefused: no region, or a profile that is not there.
        MissingExtra: boto3 is not installed.
    """
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise MissingExtra("aws", f"AWS ({service})") from None
    config = Config(
        connect_timeout=CONNECT_WITHIN,
        read_timeout=ANSWER_WITHIN,
        retries={"total_max_attempts": 2, "mode": "standard"},
        max_pool_connections=AT_ONCE,
    )
    try:
        # A session of its own: the default one of boto3 may not be made by several threads.
        session = boto3.session.Session()
        return session.client(service, region_name=place.region, endpoint_url=place.endpoint, config=config)
    except (BotoCoreError, ValueError) as error:
        mend = ": write region, or set AWS_REGION on the worker" if type(error).__name__ == "NoRegionError" else ""
        raise AwsRefused(type(error).__name__, f"{service}: {error}{mend}") from None


@contextmanager
def telling(refused: type[CoalmineError], silent: type[CoalmineError], what: str = "") -> Iterator[None]:
    """Raise what AWS answers as errors of ours; ``what`` is put before their text.

    Raises:
        CoalmineError: ``refused`` for ``AwsRefused``, ``silent`` for ``AwsSilent``.
    """
    about = f"{what}: " if what else ""
    try:
        yield
    except AwsRefused as error:
        raise refused(f"{about}{error}") from error
    except AwsSilent as error:
        raise silent(f"{about}{error}") from error


def iam_action(client: Any, service: str, operation: str) -> str:
    """What IAM calls an operation, such as ``elasticloadbalancing:ModifyRule``."""
    return f"{IAM_PREFIX.get(service, service)}:{client.meta.method_to_api_mapping.get(operation, operation)}"


@contextmanager
def _translated(client: Any, service: str, operation: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

    action = iam_action(client, service, operation)
    try:
        yield
    except ClientError as error:
        told = error.response.get("Error", {})
        code = str(told.get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        text = f"{action}: {code}: {told.get('Message', '')}".rstrip(": ")
        if code.startswith(_BUSY) or status == 429:
            raise AwsSilent(f"{text}; AWS is asked too often: raise the account's quota, or ask less") from None
        if code in _PASSING or status >= 500:
            raise AwsSilent(text) from None
        if code.startswith(_FORBIDDEN):
            raise AwsRefused(code, f"{text}; let the worker's role do {action} (infra/terraform)") from None
        mend = "; renew the worker's AWS credentials" if code in _CREDENTIALS else ""
        raise AwsRefused(code, f"{text}{mend}") from None
    except NoCredentialsError as error:
        mend = "give the worker a role, a profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        raise AwsRefused("NoCredentials", f"{action}: {error}: {mend}") from None
    except ParamValidationError as error:
        raise AwsRefused("ParamValidation", f"{action}: {' '.join(str(error).split())}") from None
    except BotoCoreError as error:
        raise AwsSilent(f"{action}: {error}") from None
