"""The dashboard of the fleet and its workers, from the workers' own metrics (docs/observability.md)."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from infra.grafana.drawing import Query, Row, bars, begun, choice, drawn, lines, number

HERE = 'environment=~"$environment",service=~"$service"'
RATE = "$__rate_interval"
"""Grafana's own: long enough for the scrape interval of the data source."""


def worker_dashboard() -> dashboard.Dashboard:
    """Every rollout that is open, what workers did, and how they are."""
    board = begun("coalmine-worker", "Coalmine: fleet and workers", "Open rollouts, what workers did, how they are.")
    board = board.with_variable(
        choice("environment", "Environment", "label_values(coalmine_decisions_total, environment)")
    ).with_variable(
        choice("service", "Service", 'label_values(coalmine_decisions_total{environment=~"$environment"}, service)')
    )
    return drawn(board, [_now(), _outcomes(), _routes(), _record(), _temporal()])


def _open(phases: str) -> str:
    """Open rollouts in some phases; every worker counts all of them, so the highest count is the count."""
    return (
        "sum(max by (environment, service, region, phase) "
        f'(coalmine_rollouts_open{{{HERE},phase=~"{phases}"}})) or vector(0)'
    )


def _now() -> Row:
    per_place = "max by (environment, service, region)"
    return Row(
        "Now",
        [
            number("Open rollouts", "short", Query(_open(".+"), "open", instant=True)),
            number("Rolling back", "short", Query(_open("rolling_back"), "rolling back", instant=True), bad_from=1),
            number("Waiting for people", "short", Query(_open("held|gated"), "held or gated", instant=True)),
            number("Workers", "short", Query('sum(up{job="coalmine-worker"})', "up", instant=True)),
            number(
                "Failing workflow tasks",
                "short",
                Query(
                    "sum(increase(temporal_workflow_task_execution_failed_total[5m])) or vector(0)", "in 5 min", True
                ),
                about="A rollout whose tasks fail stands still, its traffic where it is.",
                bad_from=1,
            ),
            number(
                "Without data",
                "percentunit",
                Query(
                    f'(sum(rate(coalmine_metric_windows_total{{{HERE},status!="ok"}}[5m])) or vector(0)) '
                    f"/ sum(rate(coalmine_metric_windows_total{{{HERE}}}[5m]))",
                    "of all windows",
                    True,
                ),
                bad_from=0.05,
            ),
            lines(
                "Open rollouts by phase",
                "short",
                Query(
                    "sum by (phase) (max by (environment, service, region, phase) "
                    f"(coalmine_rollouts_open{{{HERE}}})) > 0",
                    "{{phase}}",
                ),
                stacked=True,
            ),
            lines(
                "Traffic of the canaries",
                "percent",
                Query(
                    f"{per_place} (coalmine_canary_weight{{{HERE}}})",
                    "{{environment}} {{service}} {{region}}",
                ),
            ),
        ],
    )


def _outcomes() -> Row:
    return Row(
        "Outcomes",
        [
            bars(
                "Rollouts that ended, in the time shown",
                "short",
                Query(
                    f"sum by (outcome, cause) (increase(coalmine_rollouts_closed_total{{{HERE}}}[$__range])) > 0",
                    "{{outcome}} {{cause}}",
                    instant=True,
                ),
                width=8,
            ),
            lines(
                "Restoring the route, since the workers started",
                "s",
                *_quantiles(f"coalmine_restore_seconds_bucket{{{HERE}}}"),
                about="From the decision to roll back until the route reads back right on every proxy. "
                "Rollbacks are too few for rates: these are quantiles of all of them.",
                width=8,
            ),
            lines(
                "Looks by finding",
                "ops",
                Query(f"sum by (finding) (rate(coalmine_looks_total{{{HERE}}}[{RATE}])) > 0", "{{finding}}"),
                width=8,
                stacked=True,
            ),
            lines(
                "Decisions",
                "short",
                Query(
                    f'sum by (kind) (increase(coalmine_decisions_total{{{HERE},kind!="refused"}}[{RATE}])) > 0',
                    "{{kind}}",
                ),
            ),
            lines(
                "Metrics without data",
                "ops",
                Query(
                    "sum by (service, metric) "
                    f'(rate(coalmine_metric_windows_total{{{HERE},status!="ok"}}[{RATE}])) > 0',
                    "{{service}} {{metric}}",
                ),
            ),
        ],
    )


def _routes() -> Row:
    return Row(
        "Routes",
        [
            lines(
                "Writes by how they ended",
                "short",
                Query(
                    f"sum by (router, result) (increase(coalmine_route_writes_total{{{HERE}}}[{RATE}])) > 0",
                    "{{router}} {{result}}",
                ),
                about="done: every proxy shows it. StaleGeneration: a newer write was there, and was read first.",
            ),
            lines(
                "From asking until every proxy shows it, since the workers started",
                "s",
                *_quantiles(f"coalmine_route_write_seconds_bucket{{{HERE}}}", by="router"),
            ),
        ],
    )


def _record() -> Row:
    return Row(
        "Record and people",
        [
            lines(
                "Ledger writes by how they ended",
                "ops",
                Query(f"sum by (result) (rate(coalmine_ledger_writes_total{{{HERE}}}[{RATE}]))", "{{result}}"),
                width=8,
            ),
            lines(
                "Age of the oldest entry of a ledger write",
                "s",
                *_quantiles(f"rate(coalmine_ledger_lag_seconds_bucket{{{HERE}}}[5m])"),
                width=8,
            ),
            lines(
                "Messages and hooks that failed",
                "ops",
                Query(
                    f'sum by (result) (rate(coalmine_messages_total{{{HERE},result!="done"}}[{RATE}]))',
                    "message: {{result}}",
                ),
                Query(
                    f'sum by (hook, result) (rate(coalmine_hooks_total{{{HERE},result!="done"}}[{RATE}]))',
                    "hook {{hook}}: {{result}}",
                ),
                width=8,
            ),
        ],
    )


def _temporal() -> Row:
    return Row(
        "Temporal, as its SDK sees it",
        [
            lines(
                "Waiting for a worker, 95 %",
                "s",
                Query(_sdk_quantile("temporal_workflow_task_schedule_to_start_latency_seconds"), "workflow tasks"),
                Query(_sdk_quantile("temporal_activity_schedule_to_start_latency_seconds"), "activities"),
                about="Over a second: too few workers.",
                width=8,
            ),
            lines(
                "Activities that failed",
                "ops",
                Query(
                    f"sum by (activity_type) (rate(temporal_activity_execution_failed_total[{RATE}]))",
                    "{{activity_type}}",
                ),
                width=8,
            ),
            lines(
                "Free places",
                "short",
                Query(
                    "sum by (task_queue, worker_type) (temporal_worker_task_slots_available)",
                    "{{task_queue}} {{worker_type}}",
                ),
                width=8,
            ),
            lines(
                "Activities, 95 % of their time",
                "s",
                Query(
                    "histogram_quantile(0.95, sum by (le, activity_type) "
                    f"(rate(temporal_activity_execution_latency_seconds_bucket[{RATE}])))",
                    "{{activity_type}}",
                ),
            ),
            lines(
                "Workflows in the cache, and pollers",
                "short",
                Query("sum by (instance) (temporal_sticky_cache_size)", "cached on {{instance}}"),
                Query("sum by (task_queue, poller_type) (temporal_num_pollers)", "{{task_queue}} {{poller_type}}"),
            ),
        ],
    )


def _quantiles(buckets: str, by: str = "") -> list[Query]:
    labels = f"le, {by}" if by else "le"
    name = f"{{{{{by}}}}} " if by else ""
    return [
        Query(f"histogram_quantile({share}, sum by ({labels}) ({buckets}))", f"{name}{percent}")
        for share, percent in ((0.5, "50 %"), (0.95, "95 %"))
    ]


def _sdk_quantile(name: str) -> str:
    return f"histogram_quantile(0.95, sum by (le) (rate({name}_bucket[{RATE}])))"
