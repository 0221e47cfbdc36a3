"""What a history says is still to come: activities that have not ended, their next tries, timers."""

from __future__ import annotations

from datetime import UTC, datetime

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import ActivityTaskScheduledEventAttributes
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import WorkflowHistory


def open_activities(history: WorkflowHistory) -> list[ActivityTaskScheduledEventAttributes]:
    """Those that have not come to an end yet."""
    found = {
        event.event_id: event.activity_task_scheduled_event_attributes
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    }
    for event in history.events:
        for ended in (
            event.activity_task_completed_event_attributes,
            event.activity_task_failed_event_attributes,
            event.activity_task_timed_out_event_attributes,
            event.activity_task_canceled_event_attributes,
        ):
            found.pop(ended.scheduled_event_id, None)
    return list(found.values())


def next_try(activity: PendingActivityInfo, scheduled: ActivityTaskScheduledEventAttributes) -> datetime:
    """When the next try of one begins; long ago where one is under way."""
    ended = activity.last_attempt_complete_time.ToDatetime(UTC)
    if not activity.HasField("last_attempt_complete_time") or ended < activity.last_started_time.ToDatetime(UTC):
        return datetime.min.replace(tzinfo=UTC)
    # Between tries its number is that of the next.
    policy = scheduled.retry_policy
    pause = policy.initial_interval.ToTimedelta() * 2.0 ** min(activity.attempt - 2, 16)
    return ended + min(pause, policy.maximum_interval.ToTimedelta())


def next_timer(history: WorkflowHistory) -> datetime | None:
    """When the next of the timers fires that have neither fired nor been cancelled."""
    due: dict[int, datetime] = {}
    for event in history.events:
        if event.event_type == EventType.EVENT_TYPE_TIMER_STARTED:
            length = event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta()
            due[event.event_id] = event.event_time.ToDatetime(UTC) + length
        elif event.event_type == EventType.EVENT_TYPE_TIMER_FIRED:
            due.pop(event.timer_fired_event_attributes.started_event_id, None)
        elif event.event_type == EventType.EVENT_TYPE_TIMER_CANCELED:
            due.pop(event.timer_canceled_event_attributes.started_event_id, None)
    return min(due.values(), default=None)
