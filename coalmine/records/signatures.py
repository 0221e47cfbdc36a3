"""Activities by name and type: how workflows call what they never import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from coalmine.records.base import HOOK_TASK_QUEUE, SIDE_TASK_QUEUE, TASK_QUEUE, Record
from coalmine.records.diagnosis import Diagnosis, DiagnosisRequest
from coalmine.records.evaluation import EvaluateRequest, Evaluation, HistoryRequest, ServiceHistory
from coalmine.records.fleet import Braked, BrakeRequest, FleetRequest, FlightCheck, FlightFound
from coalmine.records.guard import (
    ArchiveClosedRequest,
    ArchivedClosed,
    GuardRestored,
    GuardRestoreRequest,
    Recalled,
    RecallRequest,
    Survey,
    SurveyRequest,
)
from coalmine.records.identity import Identity, VerifyRequest
from coalmine.records.load import LoadReport, LoadRequest
from coalmine.records.metrics import Collected, CollectRequest
from coalmine.records.record import Archived, ArchiveRequest, Done, HookRequest, LedgerWrite, NotifyRequest, Written
from coalmine.records.traffic import RouteCheckRequest, RouteChecks, RouteRequest, RouteState, ShiftRequest

In = TypeVar("In", bound=Record)
Out = TypeVar("Out", bound=Record)


@dataclass(frozen=True)
class ActivitySignature(Generic[In, Out]):
    """An activity as workflows see it: its name and its two models."""

    name: str
    input: type[In]
    output: type[Out]
    task_queue: str = TASK_QUEUE


READ_ROUTE = ActivitySignature("read_route", RouteRequest, RouteState)
CHECK_ROUTE = ActivitySignature("check_route", RouteCheckRequest, RouteChecks)
SHIFT = ActivitySignature("shift", ShiftRequest, RouteState)
COLLECT = ActivitySignature("collect", CollectRequest, Collected)
EVALUATE = ActivitySignature("evaluate", EvaluateRequest, Evaluation)
READ_HISTORY = ActivitySignature("read_history", HistoryRequest, ServiceHistory)
WRITE_LEDGER = ActivitySignature("write_ledger", LedgerWrite, Written)
ASK_FLEET = ActivitySignature("ask_fleet", FleetRequest, Done)
ARCHIVE_HISTORY = ActivitySignature("archive_history", ArchiveRequest, Archived, SIDE_TASK_QUEUE)
NOTIFY = ActivitySignature("notify", NotifyRequest, Done, SIDE_TASK_QUEUE)
RUN_HOOK = ActivitySignature("run_hook", HookRequest, Done, HOOK_TASK_QUEUE)
DIAGNOSE = ActivitySignature("diagnose", DiagnosisRequest, Diagnosis, SIDE_TASK_QUEUE)
GENERATE_LOAD = ActivitySignature("generate_load", LoadRequest, LoadReport, HOOK_TASK_QUEUE)
SURVEY_ROUTES = ActivitySignature("survey_routes", SurveyRequest, Survey)
ARCHIVE_CLOSED = ActivitySignature("archive_closed", ArchiveClosedRequest, ArchivedClosed, SIDE_TASK_QUEUE)
GUARD_RESTORE = ActivitySignature("guard_restore", GuardRestoreRequest, GuardRestored)
RECALL_ROUTE = ActivitySignature("recall_route", RecallRequest, Recalled)
CHECK_FLIGHT = ActivitySignature("check_flight", FlightCheck, FlightFound)
VERIFY_DECISION = ActivitySignature("verify_decision", VerifyRequest, Identity)
BRAKE = ActivitySignature("brake", BrakeRequest, Braked)
