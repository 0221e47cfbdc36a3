"""What all dashboards are drawn with: panels over PromQL on a grid of 24 columns, variables, annotations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    GridPos,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
"""Whichever Prometheus the reader picks."""
COLUMNS = 24
TAG = "coalmine"

Panel = timeseries.Panel | stat.Panel | bargauge.Panel


@dataclass(frozen=True)
class Query:
    """One expression, and what its series are called in the legend."""

    expr: str
    legend: str
    instant: bool = False


def lines(title: str, unit: str, *queries: Query, about: str = "", width: int = 12, stacked: bool = False) -> Panel:
    """A chart of lines over time, or of stacked areas."""
    panel = (
        timeseries.Panel()
        .draw_style(GraphDrawStyle.LINE)
        .line_width(1)
        .fill_opacity(30 if stacked else 8)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    return _finished(panel, title, unit, queries, about, width, 8)


def number(title: str, unit: str, query: Query, *, about: str = "", bad_from: float | None = None) -> Panel:
    """One figure of now; red from ``bad_from`` on, green below."""
    steps = [Threshold(value=None, color="green")]
    if bad_from is not None:
        steps.append(Threshold(value=bad_from, color="red"))
    panel = (
        stat.Panel()
        .color_mode(BigValueColorMode.VALUE)
        .thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        .no_value("0")
    )
    return _finished(panel, title, unit, [query], about, 4, 4)


def bars(title: str, unit: str, query: Query, *, about: str = "", width: int = 12) -> Panel:
    """A bar for each series, of now."""
    panel = bargauge.Panel().display_mode(BarGaugeDisplayMode.GRADIENT).orientation(VizOrientation.HORIZONTAL)
    return _finished(panel, title, unit, [query], about, width, 8)


def _finished(
    panel: Panel, title: str, unit: str, queries: Sequence[Query], about: str, width: int, height: int
) -> Panel:
    for place, query in enumerate(queries):
        target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(chr(ord("A") + place))
        panel = panel.with_target(target.instant() if query.instant else target.range())
    panel = panel.title(title).unit(unit).datasource(SOURCE).grid_pos(GridPos(h=height, w=width, x=0, y=0))
    return panel.description(about) if about else panel


@dataclass(frozen=True)
class Row:
    """A row with its title, and its panels from left to right."""

    title: str
    panels: Sequence[Panel]


def drawn(board: dashboard.Dashboard, rows: Sequence[Row]) -> dashboard.Dashboard:
    """Put rows below each other; ids and places follow from their order."""
    number, top = 1, 0
    for row in rows:
        place = GridPos(h=1, w=COLUMNS, x=0, y=top)
        board = board.with_row(dashboard.Row(row.title).id(number).datasource(SOURCE).grid_pos(place))
        number, top = number + 1, top + 1
        left, height = 0, 0
        for panel in row.panels:
            size = panel.build().grid_pos
            assert size is not None
            if left + size.w > COLUMNS:
                left, top, height = 0, top + height, 0
            board = board.with_panel(panel.id(number).grid_pos(GridPos(h=size.h, w=size.w, x=left, y=top)))
            number, left, height = number + 1, left + size.w, max(height, size.h)
        top += height
    return board


def begun(uid: str, title: str, about: str) -> dashboard.Dashboard:
    """An empty dashboard with the choice of a Prometheus, and links to its siblings."""
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(about)
        .tags([TAG])
        .timezone("browser")
        .time("now-3h", "now")
        .refresh("30s")
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Coalmine")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )


def choice(name: str, label: str, query: str, *, several: bool = True) -> dashboard.QueryVariable:
    """A variable whose values Prometheus knows; ``several`` offers all of them too."""
    variable = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(several)
        .include_all(several)
    )
    return variable.all_value(".*") if several else variable


def marks(name: str, expr: str, color: str) -> dashboard.AnnotationQuery:
    """A line across all charts wherever the expression has a sample."""
    return (
        dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(True).hide(False).icon_color(color).expr(expr)
    )
