"""Where flag definitions are kept: files under a lock, objects of S3 under their ETag. All of this blocks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from activities.routers.locked_files import locked, replace
from activities.routers.route_text import mend_of, unwritable
from coalmine.errors import MissingExtra, RouteRejected, RouterUnreachable

Change = Callable[[str], str | None]
"""Given the text that is there, the text to be there instead; None leaves it."""
ATTEMPTS = 25
"""Times an object is read anew because somebody else has written it meanwhile."""
AT_ONCE = 32
"""Connections that are kept: as many as asyncio has threads."""
MISSING = "is not there: route.places names where the apps' flags are defined"
_making = Lock()


class FlagPlace(Protocol):
    """One place."""

    def read(self) -> str:
        """Its text.

        Raises:
            RouteRejected: it is not there.
            RouterUnreachable: it could not be read.
        """
        ...

    def unwritable(self) -> str | None:
        """Why it could not be changed, empty when it could; None where nobody knows that without a write."""
        ...

    def change(self, change: Change) -> None:
        """Change it whole, or not at all, with nobody else's write between ``change`` and ours; raises as ``read``."""
        ...


class FlagFile:
    """A file that apps on this host read, or that a sidecar or a volume carries to them."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def read(self) -> str:
        """Raises as ``FlagPlace.read``."""
        try:
            return self._path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise RouteRejected(f"{self._path}: {MISSING}") from error
        except UnicodeDecodeError as error:
            raise RouteRejected(f"{self._path}: is not UTF-8") from error
        except OSError as error:
            raise RouterUnreachable(f"{self._path}: could not be read ({error.strerror})") from error

    def unwritable(self) -> str:
        """Whether its folder takes what would replace it."""
        return unwritable(str(self._path))

    def change(self, change: Change) -> None:
        """Under a lock of this host."""
        with locked([self._path]):
            text = change(self.read())
            if text is None:
                return
            try:
                replace(self._path, text)
            except OSError as error:
                raise RouterUnreachable(
                    f"{self._path}: could not be written ({error.strerror}){mend_of(error)}"
                ) from error


class FlagObject:
    """An object of S3, or of a store that speaks its protocol and its conditional writes (``If-Match``)."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._bucket, _, self._key = place.removeprefix("s3://").partition("/")

    def read(self) -> str:
        """Raises as ``FlagPlace.read``."""
        return self._get(kept_client())[0]

    def unwritable(self) -> None:
        """S3 has no dry run, and who may read an object need not be who may write it."""

    def change(self, change: Change) -> None:
        """Under the ETag it had when it was read."""
        client = kept_client()
        for _ in range(ATTEMPTS):
            there, etag = self._get(client)
            text = change(there)
            if text is None or self._put(client, text, etag):
                return
        raise RouterUnreachable(f"{self._place}: others changed it {ATTEMPTS} times while we wrote")

    def _get(self, client: Any) -> tuple[str, str]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            found = client.get_object(Bucket=self._bucket, Key=self._key)
            return found["Body"].read().decode("utf-8"), found["ETag"]
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchBucket"):
                raise RouteRejected(f"{self._place}: {MISSING}") from error
            raise RouterUnreachable(f"{self._place}: {error} (the worker needs s3:GetObject)") from error
        except BotoCoreError as error:
            raise RouterUnreachable(f"{self._place}: {error}") from error
        except UnicodeDecodeError as error:
            raise RouteRejected(f"{self._place}: is not UTF-8") from error

    def _put(self, client: Any, text: str, etag: str) -> bool:
        """False when somebody was faster."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            client.put_object(
                Bucket=self._bucket, Key=self._key, Body=text.encode(), IfMatch=etag, ContentType="application/json"
            )
            return True
        except ClientError as error:
            if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"):
                return False
            raise RouterUnreachable(f"{self._place}: {error} (the worker needs s3:PutObject)") from error
        except BotoCoreError as error:
            raise RouterUnreachable(f"{self._place}: {error}") from error


def place_of(place: str) -> FlagPlace:
    """The place a spec names."""
    return FlagObject(place) if place.startswith("s3://") else FlagFile(place)


def kept_client() -> Any:
    """The client of S3 of this process, which takes long to make and serves all threads.

    Raises:
        MissingExtra: boto3 is not installed.
    """
    with _making:
        return _made()


def forget_client() -> None:
    """Close it; the next call makes one anew, for what the environment says then."""
    with _making:
        if _made.cache_info().currsize:
            _made().close()
            _made.cache_clear()


@cache
def _made() -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise MissingExtra("aws", "flags in S3") from None
    # A session of its own: the default one of boto3 may not be made by several threads.
    config = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 2}, max_pool_connections=AT_ONCE)
    return boto3.session.Session().client("s3", config=config)
