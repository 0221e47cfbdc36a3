"""Where Temporal is: environment, profile, local stack."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.service import RPCError, RPCStatusCode

from coalmine.connection import connect_client, meaning, settings
from coalmine.errors import CoalmineError, InputError, RolloutNotFound, TemporalUnavailable

STACK = {"temporal": {"address": "127.0.0.1:7001", "namespace": "coalmine", "ui": "http://127.0.0.1:8001"}}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "stack.json").write_text(json.dumps(STACK))
    return tmp_path


def test_the_environment_comes_first(home: Path) -> None:
    found = settings(environ={"TEMPORAL_ADDRESS": "temporal.example:7233", "COALMINE_HOME": str(home)})
    assert (found.address, found.namespace, found.origin) == ("temporal.example:7233", "default", "TEMPORAL_ADDRESS")
    assert found.ui is None


def test_a_profile(tmp_path: Path) -> None:
    file = tmp_path / "temporal.toml"
    file.write_text('[profile.prod]\naddress = "prod.example:7233"\nnamespace = "shop"\napi_key = "secret"\n')
    environ = {"TEMPORAL_CONFIG_FILE": str(file), "COALMINE_UI_URL": "https://ui.example"}
    found = settings("prod", environ)
    assert (found.address, found.namespace, found.origin) == ("prod.example:7233", "shop", "profile 'prod'")
    assert found.options["api_key"] == "secret"
    assert found.options["tls"]
    assert found.ui == "https://ui.example"


def test_a_wrong_profile_says_where(tmp_path: Path) -> None:
    file = tmp_path / "temporal.toml"
    file.write_text("[profile.prod]\naddress = 'a:1'\n")
    with pytest.raises(InputError, match=r"profile 'prd'.*temporal\.toml"):
        settings("prd", {"TEMPORAL_CONFIG_FILE": str(file)})


def test_the_local_stack(home: Path) -> None:
    found = settings(environ={"COALMINE_HOME": str(home)})
    assert (found.address, found.namespace, found.ui) == ("127.0.0.1:7001", "coalmine", "http://127.0.0.1:8001")
    assert "the local stack" in found.origin
    other = settings(environ={"COALMINE_HOME": str(home), "TEMPORAL_NAMESPACE": "mine"})
    assert (other.address, other.namespace) == ("127.0.0.1:7001", "mine")


def test_the_stacks_ui_belongs_to_its_address(home: Path) -> None:
    environ = {"TEMPORAL_ADDRESS": "127.0.0.1:7001", "COALMINE_HOME": str(home)}
    assert settings(environ=environ).ui == "http://127.0.0.1:8001"


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"temporal": {"address": 7}}'])
def test_a_damaged_stack_file_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "stack.json").write_text(text)
    with pytest.raises(InputError, match="coalmine down"):
        settings(environ={"COALMINE_HOME": str(tmp_path)})


def test_nothing_set(tmp_path: Path) -> None:
    with pytest.raises(TemporalUnavailable, match="set TEMPORAL_ADDRESS"):
        settings(environ={"COALMINE_HOME": str(tmp_path)})


async def test_nobody_there_is_said_with_the_origin(tmp_path: Path) -> None:
    found = settings(environ={"TEMPORAL_ADDRESS": "127.0.0.1:9", "COALMINE_HOME": str(tmp_path)})
    with pytest.raises(TemporalUnavailable, match=r"127\.0\.0\.1:9 \(from TEMPORAL_ADDRESS\)"):
        await connect_client(found)


@pytest.mark.parametrize(
    ("status", "text", "kind", "said"),
    [
        (RPCStatusCode.NOT_FOUND, "workflow not found", RolloutNotFound, "there is no workflow x"),
        (RPCStatusCode.NOT_FOUND, "Namespace n is not found.", TemporalUnavailable, "namespace create --namespace n"),
        (RPCStatusCode.DEADLINE_EXCEEDED, "late", TemporalUnavailable, "no answer within 3 s"),
        (RPCStatusCode.FAILED_PRECONDITION, "no poller seen for task queue", TemporalUnavailable, "no worker polls"),
        (
            RPCStatusCode.INVALID_ARGUMENT,
            "search attribute CoalmineService is not defined",
            TemporalUnavailable,
            "search-attribute create --namespace n --name CoalmineService --type Keyword",
        ),
        (RPCStatusCode.PERMISSION_DENIED, "no", TemporalUnavailable, "check the API key"),
        (RPCStatusCode.UNAVAILABLE, "connection reset", TemporalUnavailable, "connection reset"),
        (
            RPCStatusCode.FAILED_PRECONDITION,
            "Unable to query workflow due to Workflow Task in failed state.",
            TemporalUnavailable,
            "cannot carry them out",
        ),
        (
            RPCStatusCode.RESOURCE_EXHAUSTED,
            "consistent query buffer is full, cannot accept new consistent queries",
            TemporalUnavailable,
            "is a worker polling",
        ),
    ],
)
def test_what_a_refused_call_means(status: RPCStatusCode, text: str, kind: type[CoalmineError], said: str) -> None:
    error = meaning(RPCError(text, status, b""), "workflow x", "n", timedelta(seconds=3))
    assert type(error) is kind
    assert said in str(error)
