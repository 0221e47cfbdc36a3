"""Which rollout a line is about, and how lines look."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from temporalio import activity, workflow

from activities.log_lines import configure_logging, rollout_fields
from coalmine.records import LoadRequest, Notification, NotifyRequest, RolloutContext, RouteRequest
from coalmine.spec.canary import Route

ROUTE = Route(router="envoy", name="shop")
WHOLE = RolloutContext(
    rollout_id="production/checkout/eu/1.42.0/1",
    service="checkout",
    environment="production",
    region="eu",
    version="1.42.0",
    step=0,
    look=7,
)


def test_the_context_says_it_best() -> None:
    request = RouteRequest(route=ROUTE, context=WHOLE)
    assert rollout_fields(request, "canary/production/checkout/us") == WHOLE.model_dump()


def test_without_context_the_workflow_id_says_what_it_can() -> None:
    assert rollout_fields(RouteRequest(route=ROUTE), "canary/production/checkout") == {
        "rollout_id": None,
        "service": "checkout",
        "environment": "production",
        "version": None,
        "step": None,
        "look": None,
    }


def test_an_input_that_names_its_rollout_itself_is_asked() -> None:
    class Own:
        rollout_id, look, context = "production/checkout/1.42.0/1", 3, None

    fields = rollout_fields(Own(), "canary/production/checkout")
    assert (fields["rollout_id"], fields["look"], fields["service"]) == (Own.rollout_id, 3, "checkout")


def test_what_concerns_no_rollout_names_none() -> None:
    assert rollout_fields(LoadRequest.model_validate({"url": "http://x", "rate": 1, "duration": "1s"}), "load") == {}
    assert rollout_fields(NotifyRequest(notification=Notification(title="x"), channels=[])) == {}


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """The log of this test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    adapters = activity.logger.activity_info_on_message, workflow.logger.workflow_info_on_message
    opened = io.StringIO()
    configure_logging(stream=opened)
    yield opened
    structlog.reset_defaults()
    activity.logger.activity_info_on_message, workflow.logger.workflow_info_on_message = adapters
    root.handlers, root.level = handlers, level


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_lines_and_those_of_others_look_alike(stream: io.StringIO) -> None:
    structlog.stdlib.get_logger("coalmine.test").info("ours", step=1)
    logging.getLogger("theirs").warning("%s said", "they", extra={"step": 1, "odd": object})
    ours, theirs = lines(stream)
    assert (ours["event"], ours["level"], ours["logger"], ours["step"]) == ("ours", "info", "coalmine.test", 1)
    assert (theirs["event"], theirs["level"], theirs["step"]) == ("they said", "warning", 1)
    assert ours["timestamp"].endswith("Z")


def test_a_traceback_stays_in_its_line(stream: io.StringIO) -> None:
    try:
        raise ValueError("inner")
    except ValueError:
        logging.getLogger("theirs").exception("outer")
    (line,) = lines(stream)
    assert "ValueError: inner" in line["exception"]


def test_what_the_sdk_knows_is_spread_over_the_line(stream: io.StringIO) -> None:
    details = {"workflow_id": "canary/production/checkout/eu", "run_id": "r", "workflow_type": "Canary", "attempt": 1}
    logging.getLogger("temporalio.worker").warning("failed", extra={"temporal_workflow": details})
    (line,) = lines(stream)
    assert (line["service"], line["environment"], line["region"]) == ("checkout", "production", "eu")
    assert (line["workflow_id"], line["run_id"]) == ("canary/production/checkout/eu", "r")
    assert "temporal_workflow" not in line


def test_debug_is_left_out_unless_asked_for(stream: io.StringIO) -> None:
    structlog.stdlib.get_logger("coalmine.test").debug("quiet")
    logging.getLogger("theirs").debug("quiet")
    assert lines(stream) == []


def test_text_for_a_terminal(stream: io.StringIO) -> None:
    configure_logging(form="text", stream=stream)
    structlog.stdlib.get_logger("coalmine.test").info("ours", step=1)
    assert "ours" in stream.getvalue()
    assert "step=1" in stream.getvalue()
