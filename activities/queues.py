"""Which activities each task queue of a worker serves, over every adapter that is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from temporalio.client import Client

from activities.archive import ArchiveActivities
from activities.brake import BrakeActivities
from activities.diagnosis import DiagnosisActivities
from activities.evaluation import evaluate
from activities.fleet import FleetActivities
from activities.flight import FlightActivities
from activities.guard import GuardActivities
from activities.guard_archive import GuardArchiveActivities
from activities.hooks import run_hook
from activities.ledger import LedgerActivities
from activities.load import generate_load
from activities.metrics import MetricsActivities
from activities.notification import NotificationActivities
from activities.notifiers.registry import make_notifier, notifier_kinds
from activities.recall import RecallActivities
from activities.routers.registry import Routers
from activities.sources.registry import make_source, source_kinds
from activities.traffic import TrafficActivities
from activities.verification import VerificationActivities

Activity = Callable[..., Any]


def main_activities(client: Client) -> list[Activity]:
    """What serves routes and looks."""
    routers = Routers()
    traffic, guard = TrafficActivities(routers), GuardActivities(client, routers)
    metrics = MetricsActivities({kind: make_source(kind) for kind in source_kinds()}, routers)
    ledger, fleet = LedgerActivities(), FleetActivities(client)
    return [
        traffic.read_route,
        traffic.check_route,
        traffic.shift,
        metrics.collect,
        evaluate,
        ledger.write_ledger,
        ledger.read_history,
        fleet.ask_fleet,
        guard.survey_routes,
        guard.guard_restore,
        FlightActivities(client).check_flight,
        BrakeActivities(client).brake,
        RecallActivities(client).recall_route,
        VerificationActivities().verify_decision,
    ]


def side_activities(client: Client) -> list[Activity]:
    """What may hang without delaying a rollback."""
    channels = {kind: make_notifier(kind) for kind in notifier_kinds()}
    sources = {kind: make_source(kind) for kind in source_kinds()}
    return [
        NotificationActivities(channels).notify,
        DiagnosisActivities(sources).diagnose,
        ArchiveActivities(client).archive_history,
        GuardArchiveActivities(client).archive_closed,
    ]


def hook_activities() -> list[Activity]:
    """What calls users' own services, for as long as those like."""
    return [run_hook, generate_load]
