"""The objects of one bucket, with errors as a ledger tells them; writes are conditional, reads in parallel.

Credentials, endpoint and the rest are found as boto3 finds them everywhere (environment, profile, role).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from coalmine.errors import LedgerError, MissingExtra

if TYPE_CHECKING:
    from coalmine.spec.ledger import Ledger

AT_ONCE = 8
"""Objects read at the same time."""
CONNECT_WITHIN, ANSWER_WITHIN = 2, 4
"""Seconds of one try: with its one retry, an append ends within an activity's attempt."""
_TAKEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_ABSENT = frozenset({"NoSuchKey", "404"})
_MENDS = {
    "NoSuchBucket": "create it, or name another in ledger.bucket",
    "AccessDenied": "let the worker list, get and put objects there (docs/ledger.md)",
    "InvalidBucketState": "ledger.lock needs a bucket that was made with Object Lock",
    "InvalidRequest": "ledger.lock needs a bucket that was made with Object Lock",
}


@dataclass(frozen=True)
class Found:
    """One object in a list."""

    key: str
    at: datetime


@dataclass(frozen=True)
class Lock:
    """Keep what is written from being replaced or deleted, also by whoever may do both."""

    mode: Literal["governance", "compliance"]
    length: timedelta


class Objects:
    """One bucket, below one prefix; keys are without it. Blocks; safe for several threads."""

    def __init__(self, ledger: Ledger) -> None:
        """``ledger`` is of kind s3.

        Raises:
            MissingExtra: boto3 is not installed.
        """
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise MissingExtra("aws", "ledger.kind: s3") from None
        self._bucket = ledger.bucket or ""
        prefix = (ledger.prefix or "").strip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._lock = Lock(ledger.lock.mode, ledger.lock.for_) if ledger.lock else None
        self.place = f"s3://{self._bucket}/{self._prefix}"
        config = Config(
            connect_timeout=CONNECT_WITHIN,
            read_timeout=ANSWER_WITHIN,
            retries={"total_max_attempts": 2, "mode": "standard"},
            max_pool_connections=2 * AT_ONCE,
        )
        with self._telling("be opened"):
            # A session of its own: the default one of boto3 may not be made by several threads.
            self._s3: Any = boto3.session.Session().client("s3", region_name=ledger.region, config=config)

    def put_new(self, key: str, body: bytes) -> bool:
        """Write an object that is not there yet.

        Returns:
            Whether it was ours to write; False when somebody has written it before.

        Raises:
            LedgerError: it may or may not be there.
        """
        return self._put(key, body, lock=self._lock, IfNoneMatch="*")

    def put_over(self, key: str, body: bytes, etag: str | None) -> bool:
        """Write an object that is as it was read (``etag``; None: not there), which nobody locks.

        Returns:
            Whether it still was.

        Raises:
            LedgerError: it may or may not have been written.
        """
        return self._put(key, body, lock=None, **({"IfMatch": etag} if etag else {"IfNoneMatch": "*"}))

    def get(self, key: str) -> bytes | None:
        """The content of an object; None when it is not there.

        Raises:
            LedgerError: it could not be read.
        """
        return self.get_tagged(key)[0]

    def get_tagged(self, key: str) -> tuple[bytes | None, str | None]:
        """The content of an object and its tag for ``put_over``.

        Raises:
            LedgerError: it could not be read.
        """
        from botocore.exceptions import ClientError

        with self._telling("be read"):
            try:
                answer = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + key)
                return answer["Body"].read(), answer["ETag"]
            except ClientError as error:
                if _code(error) in _ABSENT:
                    return None, None
                raise

    def get_all(self, keys: Iterable[str]) -> Iterator[bytes]:
        """The contents of objects, in order of ``keys``.

        Raises:
            LedgerError: one could not be read, or was removed meanwhile.
        """
        wanted = list(keys)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="ledger-s3") as pool:
            for first in range(0, len(wanted), 16 * AT_ONCE):
                yield from pool.map(self._get_listed, wanted[first : first + 16 * AT_ONCE])

    def _get_listed(self, key: str) -> bytes:
        content = self.get(key)
        if content is None:
            raise LedgerError(f"ledger {self.place}{key} was removed while it was read: read again")
        return content

    def listed(self, prefix: str, after: str = "") -> Iterator[Found]:
        """The objects below a prefix, sorted by key; without those that consoles and tools make to show a folder.

        Raises:
            LedgerError: they could not be listed.
        """
        for page in self._pages(prefix, after=after):
            for found in page.get("Contents", ()):
                if not found["Key"].endswith("/"):
                    yield Found(found["Key"].removeprefix(self._prefix), found["LastModified"])

    def folders(self, prefix: str) -> list[str]:
        """The next parts of the keys below a prefix that ends in a slash.

        Raises:
            LedgerError: they could not be listed.
        """
        found: list[str] = []
        for page in self._pages(prefix, Delimiter="/"):
            found += [one["Prefix"][len(self._prefix) + len(prefix) : -1] for one in page.get("CommonPrefixes", ())]
        return found

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects.

        Raises:
            LedgerError: one could not be removed; a lock may hold it.
        """
        for key in keys:
            with self._telling("be pruned"):
                self._s3.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def _put(self, key: str, body: bytes, lock: Lock | None, **condition: str) -> bool:
        from botocore.exceptions import ClientError

        options: dict[str, Any] = dict(condition)
        if lock is not None:
            options["ObjectLockMode"] = lock.mode.upper()
            options["ObjectLockRetainUntilDate"] = datetime.now(UTC) + lock.length
        with self._telling("be written"):
            try:
                self._s3.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=body, **options)
            except ClientError as error:
                if _code(error) in _TAKEN:
                    return False
                # A tag that must match an object which is gone since.
                if _code(error) in _ABSENT and "IfMatch" in condition:
                    return False
                raise
        return True

    def _pages(self, prefix: str, after: str = "", **options: str) -> Iterator[dict[str, Any]]:
        if after:
            options["StartAfter"] = self._prefix + after
        pages = iter(
            self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix, **options
            )
        )
        while True:
            with self._telling("be listed"):
                page = next(pages, None)
            if page is None:
                return
            yield page

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            mend = _MENDS.get(_code(error), "")
            message = error.response.get("Error", {}).get("Message", "")
            reason = f"{_code(error)}: {message}" if message else _code(error)
            raise LedgerError(f"ledger {self.place} cannot {what}: {reason}{f'; {mend}' if mend else ''}") from error
        except (BotoCoreError, ValueError) as error:
            raise LedgerError(f"ledger {self.place} cannot {what}: {error}") from error


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
