"""The dashboard of one rollout: both arms as the judge's own templates read them, and what was decided meanwhile."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from coalmine.spec.canary import Arm
from coalmine.spec.selectors import Selector
from coalmine.spec.templates import TEMPLATES, Part
from infra.grafana.drawing import Panel, Query, Row, begun, choice, drawn, lines, marks
from infra.grafana.worker_dashboard import RATE

HERE = 'environment="$environment",service="$service"'
ARMS = ("baseline", "canary")


def rollout_dashboard() -> dashboard.Dashboard:
    """One service in one environment."""
    board = begun(
        "coalmine-rollout",
        "Coalmine: one rollout",
        "Both arms of one rollout, by Envoy's statistics or by the HTTP metrics of the service itself.",
    )
    known = (
        choice("environment", "Environment", "label_values(coalmine_decisions_total, environment)", several=False),
        choice(
            "service",
            "Service",
            'label_values(coalmine_decisions_total{environment="$environment"}, service)',
            several=False,
        ),
        *(
            choice(
                f"{arm}_backend",
                f"{arm.capitalize()}: Envoy cluster",
                "label_values(envoy_cluster_upstream_rq_completed, envoy_cluster_name)",
                several=False,
            )
            for arm in ARMS
        ),
        *(
            choice(
                f"{arm}_version",
                f"{arm.capitalize()}: version",
                "label_values(http_requests_total, version)",
                several=False,
            )
            for arm in ARMS
        ),
    )
    for variable in known:
        board = board.with_variable(variable)
    for name, kinds, color in (
        ("Advanced", "advance|promote|promoted", "green"),
        ("Held", "hold|gate|no_data", "orange"),
        ("Rolled back", "roll_back|restore_slow|restore_failed", "red"),
    ):
        told = f'sum by (kind) (increase(coalmine_decisions_total{{{HERE},kind=~"{kinds}"}}[1m])) > 0'
        board = board.annotation(marks(name, told, color))
    return drawn(board, [_course(), _arms("envoy", "By Envoy"), _arms("http", "By the service itself")])


def _course() -> Row:
    return Row(
        "Its course",
        [
            lines(
                "Traffic of the canary",
                "percent",
                Query(f"max by (region) (coalmine_canary_weight{{{HERE}}})", "canary {{region}}"),
                width=8,
            ),
            lines(
                "Phase",
                "short",
                Query(f"max by (region, phase) (coalmine_rollouts_open{{{HERE}}}) > 0", "{{phase}} {{region}}"),
                width=8,
                stacked=True,
            ),
            lines(
                "Looks by finding",
                "ops",
                Query(f"sum by (finding) (rate(coalmine_looks_total{{{HERE}}}[{RATE}])) > 0", "{{finding}}"),
                width=8,
                stacked=True,
            ),
        ],
    )


def _arms(template: str, title: str) -> Row:
    unit = TEMPLATES[template].unit
    return Row(
        f"{title} (template {template})",
        [
            _each("Requests", "reqps", {arm: f"sum(rate({_of(template, 'total', arm)}[{RATE}]))" for arm in ARMS}),
            _each(
                "Errors",
                "percentunit",
                {
                    arm: f"(sum(rate({_of(template, 'events', arm)}[{RATE}])) or vector(0)) "
                    f"/ sum(rate({_of(template, 'total', arm)}[{RATE}]))"
                    for arm in ARMS
                },
            ),
            *(
                _each(
                    f"Latency, {share * 100:g} %",
                    unit,
                    {
                        arm: f"histogram_quantile({share}, sum by (le) (rate({_of(template, 'buckets', arm)}[{RATE}])))"
                        for arm in ARMS
                    },
                )
                for share in (0.5, 0.99)
            ),
        ],
    )


def _each(title: str, unit: str, expressions: dict[str, str]) -> Panel:
    return lines(title, unit, *(Query(expr, arm) for arm, expr in expressions.items()), width=6)


def _of(template: str, part: Part, arm: str) -> Selector:
    """What the judge reads of an arm, with the dashboard's variables in place of the spec's names."""
    named = Arm.model_construct(version=f"${arm}_version", backend=f"${arm}_backend")
    return TEMPLATES[template].select(part, named)
