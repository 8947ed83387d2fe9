"""What dashboards are put together from: expressions, panels and boards, all alike.

An expression takes in the workers that the reader has chosen by `CHOSEN`. Widths are in Grafana's 24 columns.
"""

import itertools
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, heatmap, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as dash
from grafana_foundation_sdk.cog import builder as cog
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Link = cog.Builder[model.DashboardLink]
Builder = timeseries.Panel | stat.Panel | table.Panel | heatmap.Panel | statetimeline.Panel

CHOSEN = 'job=~"$job",instance=~"$instance"'
OF_JOB = 'job=~"$job"'
WINDOW = "$__rate_interval"
SOURCE = model.DataSourceRef(type_val="prometheus", uid="$datasource")
TAG = "interest-updater"

GREEN, YELLOW, RED = "green", "yellow", "red"
HEIGHT, NUMBER_HEIGHT = 8, 4


@dataclass(frozen=True)
class Query:
    """One expression; `legend` in Grafana's template language."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Bounds:
    """From where on a value is a warning, and bad; `falling`: the lower the worse."""

    warning: float
    bad: float
    falling: bool = False

    def steps(self) -> list[model.Threshold]:
        if self.falling:
            return [_step(None, RED), _step(self.bad, YELLOW), _step(self.warning, GREEN)]
        return [_step(None, GREEN), _step(self.warning, YELLOW), _step(self.bad, RED)]


@dataclass(frozen=True)
class Row:
    """Panels under a heading, from left to right."""

    title: str
    panels: Sequence[Builder]


# -- expressions


def rate(metric: str, by: str = "", chosen: str = CHOSEN, where: str = "") -> str:
    """How much a counter grows in a second, summed over all labels but `by`."""
    return f"{_sum(by)}(rate({metric}{{{_labels(chosen, where)}}}[{WINDOW}]))"


def total(gauge: str, by: str = "", chosen: str = CHOSEN) -> str:
    """A gauge, summed over all labels but `by`."""
    return f"{_sum(by)}({gauge}{{{chosen}}})"


def quantile(share: float, histogram: str, by: str = "", chosen: str = CHOSEN) -> str:
    """A quantile of what was observed in the window."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}_bucket{{{chosen}}}[{WINDOW}])))"


def quantiles(histogram: str, chosen: str = CHOSEN) -> list[Query]:
    """The three that latencies are told by."""
    return [Query(quantile(share, histogram, chosen=chosen), name) for share, name in _QUANTILES]


def increase(metric: str, window: str, by: str = "", chosen: str = CHOSEN, where: str = "") -> str:
    """How much a counter has grown in a window, restarts taken into account."""
    return f"{_sum(by)}(increase({metric}{{{_labels(chosen, where)}}}[{window}]))"


_QUANTILES = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))


def _sum(by: str) -> str:
    return f"sum by ({by}) " if by else "sum"


def _labels(chosen: str, where: str) -> str:
    return ",".join(filter(None, (chosen, where)))


# -- panels


def series(
    title: str,
    meaning: str,
    queries: Sequence[Query] | Query,
    unit: str = "short",
    width: int = 8,
    bounds: Bounds | None = None,
    stacked: bool = False,
    logarithmic: bool = False,
    alerts: Sequence[str] = (),
) -> timeseries.Panel:
    """Lines over time. `meaning` says what it is and what good looks like; `alerts`: which go off over it. A minute's
    outage would flatten the milliseconds on an axis that is not `logarithmic`."""
    panel = (
        timeseries.Panel()
        .unit(unit)
        .fill_opacity(30 if stacked else 8)
        .line_width(1 if stacked else 2)
        .show_points(common_model.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(common_model.LegendDisplayMode.LIST)
            .placement(common_model.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull"])
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_model.TooltipDisplayMode.MULTI)
            .sort(common_model.SortOrder.DESCENDING)
        )
    )
    if logarithmic:
        panel.scale_distribution(common.ScaleDistributionConfig().type(common_model.ScaleDistribution.LOG).log(10))
    else:
        panel.axis_soft_min(0)
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_model.StackingMode.NORMAL))
    if bounds:
        panel.thresholds(_thresholds(bounds)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(common_model.GraphTresholdsStyleMode.DASHED)
        )
    for place, query in enumerate([queries] if isinstance(queries, Query) else queries):
        panel.with_target(_target(query, place))
    panel.title(title).description(meaning).span(width).height(HEIGHT).links(_to_runbook(alerts))
    return panel


def number(
    title: str,
    meaning: str,
    query: Query,
    unit: str = "short",
    bounds: Bounds | None = None,
    width: int = 4,
    alerts: Sequence[str] = (),
    decimals: int | None = None,
) -> stat.Panel:
    """The value now, with the last hours behind it."""
    panel = (
        stat.Panel()
        .unit(unit)
        .color_mode(common_model.BigValueColorMode.VALUE)
        .graph_mode(common_model.BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("no data")
        .thresholds(_thresholds(bounds) if bounds else dash.ThresholdsConfig().steps([_step(None, GREEN)]))
        .with_target(_target(query))
    )
    if decimals is not None:
        panel.decimals(decimals)
    panel.title(title).description(meaning).span(width).height(NUMBER_HEIGHT).links(_to_runbook(alerts))
    return panel


def listing(title: str, meaning: str, query: Query, width: int = 8, no_rows: str = "none") -> table.Panel:
    """A row for each series, with its labels, as it is now."""
    target = _target(query).instant().format(PromQueryFormat.TABLE)
    hidden = model.DataTransformerConfig(
        id_val="organize", options={"excludeByName": {"Time": True, "Value": True, "__name__": True}}
    )
    panel = table.Panel().show_header(True).with_target(target).no_value(no_rows).with_transformation(hidden)
    panel.title(title).description(meaning).span(width).height(HEIGHT)
    return panel


def heat(title: str, meaning: str, expr: str, unit: str, width: int = 12) -> heatmap.Panel:
    """A histogram's buckets over time."""
    target = _target(Query(expr, "{{le}}")).format(PromQueryFormat.HEATMAP)
    panel = (
        heatmap.Panel()
        .with_target(target)
        .calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Spectral").steps(64))
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .show_tooltip()
    )
    panel.title(title).description(meaning).span(width).height(HEIGHT)
    return panel


def states(title: str, meaning: str, query: Query, names: Sequence[tuple[str, str]], width: int = 8) -> Builder:
    """Values 0, 1, ... as coloured stretches of time; `names`: of each value its name and colour."""
    mapped: dict[str, model.ValueMappingResult] = {
        str(value): model.ValueMappingResult(text=text, color=color, index=value)
        for value, (text, color) in enumerate(names)
    }
    panel = (
        statetimeline.Panel()
        .with_target(_target(query))
        .mappings([model.ValueMap(options=mapped)])
        .show_value(common_model.VisibilityMode.NEVER)
        .merge_values(True)
        .fill_opacity(70)
    )
    panel.title(title).description(meaning).span(width).height(HEIGHT)
    return panel


# -- boards


def board(uid: str, title: str, description: str, rows: Iterable[Row], of: str) -> dash.Dashboard:
    """A dashboard. `of`: a metric of the service that readers choose jobs and instances of."""
    built = (
        dash.Dashboard(title)
        .uid(f"interest-{uid}")
        .description(description)
        .tags([TAG])
        .time("now-1h", "now")
        .refresh("30s")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(
            dash.DashboardLink("Other dashboards")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
        .link(dash.DashboardLink("Runbook").type(model.DashboardLinkType.LINK).url("$runbook").target_blank(True))
    )
    for variable in _variables(of):
        built.with_variable(variable)
    built.annotation(_marks("Model swapped", "blue", "sum(increase(interest_model_swaps_total[1m])) > 0"))
    built.annotation(_marks("Process restarted", "orange", f"changes(process_start_time_seconds{{{CHOSEN}}}[1m]) > 0"))
    numbers = itertools.count(1)
    for row in rows:
        built.with_row(dash.Row(row.title).id(next(numbers)))
        for panel in row.panels:
            built.with_panel(panel.id(next(numbers)).datasource(SOURCE))
    return built


def _variables(of: str) -> list[dash.QueryVariable | dash.DatasourceVariable | dash.TextBoxVariable]:
    return [
        dash.DatasourceVariable("datasource").label("Prometheus").type("prometheus"),
        _choice("job", "Job", f"label_values({of}, job)"),
        _choice("instance", "Instance", f'label_values({of}{{job=~"$job"}}, instance)'),
        dash.TextBoxVariable("runbook").label("Runbook").default_value(RUNBOOK),
    ]


RUNBOOK = "/public/runbook.md"
"""Where a browser finds the runbook: the compose file puts it among what Grafana serves."""


def _choice(name: str, label: str, query: str) -> dash.QueryVariable:
    return (
        dash.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .multi(True)
        .include_all(True)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .current(model.VariableOption(text="All", value="$__all", selected=True))
    )


def _marks(name: str, color: str, expr: str) -> dash.AnnotationQuery:
    return dash.AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(color).expr(expr)


def _target(query: Query, place: int = 0) -> prometheus.Dataquery:
    name = string.ascii_uppercase[place]
    return prometheus.Dataquery().expr(query.expr).legend_format(query.legend or "__auto").ref_id(name).range()


def _thresholds(bounds: Bounds) -> dash.ThresholdsConfig:
    return dash.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(bounds.steps())


def _step(value: float | None, color: str) -> model.Threshold:
    return model.Threshold(value=value, color=color)


def _to_runbook(alerts: Sequence[str]) -> list[Link]:
    return [
        dash.DashboardLink(alert).type(model.DashboardLinkType.LINK).url(f"$runbook#{alert.lower()}").target_blank(True)
        for alert in alerts
    ]
