"""The worker's own settings: each from one variable, each refused with its name."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.common import WorkerDeploymentVersion

from coalmine.errors import InputError
from coalmine.worker_settings import WorkerSettings


def test_nothing_set_is_fine() -> None:
    settings = WorkerSettings.of({})
    assert settings.metrics_address is None
    assert settings.drain == timedelta(seconds=5)
    assert settings.deployment is None


def test_everything_set() -> None:
    settings = WorkerSettings.of(
        {
            "COALMINE_METRICS_ADDRESS": "[::1]:9464",
            "COALMINE_DRAIN": "1m",
            "COALMINE_LOG_LEVEL": "DEBUG",
            "COALMINE_LOG_FORMAT": "text",
            "TEMPORAL_DEPLOYMENT_NAME": "coalmine",
            "TEMPORAL_WORKER_BUILD_ID": "7",
        }
    )
    assert settings == WorkerSettings(
        "[::1]:9464", timedelta(minutes=1), "debug", "text", WorkerDeploymentVersion("coalmine", "7")
    )


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"COALMINE_METRICS_ADDRESS": "9464"}, "COALMINE_METRICS_ADDRESS: '9464' is not host:port"),
        ({"COALMINE_METRICS_ADDRESS": "a b:1"}, "COALMINE_METRICS_ADDRESS: 'a b:1'"),
        ({"COALMINE_DRAIN": "5"}, "COALMINE_DRAIN: "),
        ({"COALMINE_LOG_LEVEL": "loud"}, "COALMINE_LOG_LEVEL: 'loud' is not known; known are debug, info"),
        ({"COALMINE_LOG_FORMAT": "xml"}, "COALMINE_LOG_FORMAT: 'xml' is not known; known are json, text"),
        ({"TEMPORAL_DEPLOYMENT_NAME": "coalmine"}, "TEMPORAL_WORKER_BUILD_ID: not set"),
        ({"TEMPORAL_WORKER_BUILD_ID": "7"}, "TEMPORAL_DEPLOYMENT_NAME: not set"),
    ],
)
def test_what_is_wrong_is_named(variables: dict[str, str], words: str) -> None:
    with pytest.raises(InputError) as caught:
        WorkerSettings.of(variables)
    assert words in str(caught.value)
