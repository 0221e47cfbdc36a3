"""Where Temporal is, and what its refusals mean: the environment, a profile, or the local stack that runs here.

The settings are those of the ``temporal`` CLI (``TEMPORAL_ADDRESS``, ``TEMPORAL_NAMESPACE``, TLS, API key, profiles in
its TOML file). Where they name no address, a local stack that is up is used.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.service import RPCError, RPCStatusCode

from coalmine.encryption import KEYS_VARIABLE, data_converter
from coalmine.errors import CoalmineError, InputError, PayloadUnreadable, RolloutNotFound, TemporalUnavailable
from coalmine.executions import is_paused, is_task_lost, paused_sentence
from coalmine.records import TASK_QUEUE
from coalmine.search_attributes import SEARCH_ATTRIBUTES
from coalmine.telemetry.starting import interceptors

CONNECT_WITHIN = 10.0
"""Seconds until a server that does not answer is called unreachable."""
UNNAMED = "coalmine"
"""Instead of the host's name, as who it is that Temporal is told, of a process that encrypts and is no worker."""
UI_VARIABLE = "COALMINE_UI_URL"
"""Environment variable with the address of the Temporal UI, for links."""
HOME_VARIABLE = "COALMINE_HOME"
"""Environment variable with the folder of the local stack."""

_PASSING = (
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.CANCELLED,
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.RESOURCE_EXHAUSTED,
    RPCStatusCode.ABORTED,
    RPCStatusCode.INTERNAL,
    RPCStatusCode.UNKNOWN,
)


@dataclass(frozen=True)
class Settings:
    """How to reach Temporal. ``origin`` says in words where the address comes from."""

    address: str
    namespace: str
    origin: str
    ui: str | None
    options: Mapping[str, Any]
    """What else ``Client.connect`` takes: TLS, API key, headers."""
    keys: str | None = field(default_factory=lambda: os.environ.get(KEYS_VARIABLE))
    """The file with the keys payloads are encrypted with (``COALMINE_PAYLOAD_KEYS``); None: they are not."""


def settings(profile: str | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Find out where Temporal is, without asking it anything.

    Raises:
        InputError: the profile does not exist, or the file cannot be read.
        TemporalUnavailable: no address is set and no local stack is up; says what to set.
    """
    environ = dict(os.environ if environ is None else environ)
    try:
        options: dict[str, Any] = dict(
            ClientConfig.load_client_connect_config(profile=profile, override_env_vars=environ)
        )
    except (RuntimeError, ValueError, OSError) as error:
        where = environ.get("TEMPORAL_CONFIG_FILE", "the Temporal configuration file")
        raise InputError(f"profile {profile or 'default'!r}: {error} (in {where})") from None
    stack = local_stack(environ)
    address = options.pop("target_host", None)
    namespace = options.pop("namespace", None)
    ui, keys = environ.get(UI_VARIABLE), environ.get(KEYS_VARIABLE)
    if address:
        of_stack = stack is not None and stack.address == address
        ui = ui or (stack.ui if stack is not None and of_stack else None)
        return Settings(address, namespace or "default", _origin(profile, environ), ui, options, keys)
    if stack is None:
        raise TemporalUnavailable(
            "no Temporal server is set: set TEMPORAL_ADDRESS (and TEMPORAL_NAMESPACE), name a profile with --profile, "
            "or start the local stack with: coalmine up"
        )
    return Settings(stack.address, namespace or stack.namespace, stack.origin, ui or stack.ui, options, keys)


def _origin(profile: str | None, environ: Mapping[str, str]) -> str:
    if environ.get("TEMPORAL_ADDRESS"):
        return "TEMPORAL_ADDRESS"
    return f"profile '{profile or environ.get('TEMPORAL_PROFILE') or 'default'}'"


def stack_folder(environ: Mapping[str, str]) -> Path:
    """The folder of the local stack: ``COALMINE_HOME``, else ``.coalmine/local`` here."""
    return Path(environ.get(HOME_VARIABLE) or ".coalmine/local")


def local_stack(environ: Mapping[str, str]) -> Settings | None:
    """The local stack that is up, if there is one: its ``stack.json`` is removed when it goes down."""
    path = stack_folder(environ) / "stack.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error}): remove it, or run coalmine down and coalmine up") from None
    temporal = data.get("temporal") if isinstance(data, dict) else None
    if not isinstance(temporal, dict) or not isinstance(temporal.get("address"), str):
        raise InputError(f"{path} does not say where Temporal is: run coalmine down and coalmine up")
    namespace, ui = str(temporal.get("namespace") or "coalmine"), temporal.get("ui")
    return Settings(temporal["address"], namespace, f"the local stack ({path})", str(ui) if ui else None, {})


async def connect_client(found: Settings, *, serving: bool = False) -> Client:
    """Connect, or say within seconds why not; ``serving`` for a worker (``coalmine.encryption.EncryptionCodec``).

    Raises:
        InputError: the keys to encrypt with cannot be used.
        TemporalUnavailable: nobody answers there.
    """
    converter = data_converter(found.keys, serving=serving)
    # The SDK writes the host beside every signal, and a laptop is often called after whose it is.
    unnamed = {"identity": f"{os.getpid()}@{UNNAMED}"} if found.keys and not serving else {}
    try:
        async with asyncio.timeout(CONNECT_WITHIN):
            return await Client.connect(
                found.address,
                namespace=found.namespace,
                data_converter=converter,
                interceptors=interceptors(),
                **{**unnamed, **found.options},
            )
    except TimeoutError:
        raise TemporalUnavailable(
            f"Temporal at {found.address} (from {found.origin}) did not answer within {CONNECT_WITHIN:g} s"
        ) from None
    except (RuntimeError, OSError, ValueError) as error:
        raise TemporalUnavailable(
            f"no connection to Temporal at {found.address} (from {found.origin}): {_first_line(error)}"
        ) from None


@asynccontextmanager
async def asking(about: str, namespace: str, within: timedelta) -> AsyncIterator[None]:
    """Turn what Temporal answers instead of a result into an error a person can act on."""
    try:
        yield
    except RPCError as error:
        raise meaning(error, about, namespace, within) from error
    except KeyError as error:
        if "binary/encrypted" not in str(error):
            raise
        raise PayloadUnreadable(
            f"{about}: its payloads are encrypted: set {KEYS_VARIABLE} to the file with the keys (docs/privacy.md)"
        ) from None


def lacks_workflow(error: RPCError) -> bool:
    """Whether there is no such workflow; a namespace that is not found says nothing of that."""
    text = _first_line(error)
    # "Namespace x is not found" is the one; a server may name the namespace in which it looked for a workflow.
    return error.status is RPCStatusCode.NOT_FOUND and ("amespace" not in text or "Execution not found" in text)


def meaning(error: RPCError, about: str, namespace: str, within: timedelta) -> CoalmineError:
    """What a refused call means."""
    text = _first_line(error)
    if "no poller seen" in text:
        return TemporalUnavailable(no_worker(about))
    if is_paused(error):
        named = next((word for word in about.replace(":", "").split() if "/" in word), about)
        return TemporalUnavailable(paused_sentence(named, namespace))
    if "query buffer is full" in text:
        return TemporalUnavailable(f"{about}: others have asked too and wait for an answer; {no_worker('', 'if')}")
    if "Workflow Task in failed state" in text:
        return TemporalUnavailable(
            f"{about}: a worker takes its tasks but cannot carry them out: its log and coalmine history tell why"
        )
    if is_task_lost(error):
        return TemporalUnavailable(
            f"{about}: the task that carried it failed, each time: it was not taken, and coalmine history tells why"
        )
    if error.status is RPCStatusCode.NOT_FOUND:
        if not lacks_workflow(error):
            return TemporalUnavailable(
                f"{text}: create it with: temporal operator namespace create --namespace {namespace} --retention 720h"
            )
        return RolloutNotFound(f"there is no {about}")
    if error.status in (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED):
        return TemporalUnavailable(f"{about}: no answer within {within.total_seconds():g} s; {no_worker('', 'if')}")
    if error.status is RPCStatusCode.INVALID_ARGUMENT and "search attribute" in text.lower():
        return TemporalUnavailable(f"{text}: {create_attributes(namespace)}")
    if error.status in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED):
        return TemporalUnavailable(f"Temporal does not let us in ({text}): check the API key or the certificates")
    return TemporalUnavailable(f"Temporal refused {about}: {text}")


def may_pass(error: TemporalUnavailable) -> bool:
    """Whether the server was only slow or away, so that it may answer the same question when it is asked again."""
    cause = error.__cause__
    return isinstance(cause, RPCError) and cause.status in _PASSING


def no_worker(about: str, how: str = "") -> str:
    """The sentence for a task queue nobody polls."""
    if how == "if":
        return f"is a worker polling task queue '{TASK_QUEUE}'? (coalmine doctor tells, coalmine worker is one)"
    return f"{about}: no worker polls task queue '{TASK_QUEUE}': start one with: coalmine worker"


def create_attributes(namespace: str) -> str:
    """The command that registers search attributes."""
    pairs = " ".join(f"--name {name} --type {kind}" for name, kind in SEARCH_ATTRIBUTES.items())
    return f"register them with: temporal operator search-attribute create --namespace {namespace} {pairs}"


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
