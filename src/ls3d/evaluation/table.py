"""The paper's table in the terminal, with the measured row among the published ones."""

from __future__ import annotations

import math

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ls3d.data.sets import DATA_SETS
from ls3d.evaluation.fidelity.protocols import PROTOCOLS
from ls3d.evaluation.report import Report
from ls3d.metrics import METRICS, Metric

#: Beyond so many clips the terminal shows only their mean.
_MOST_CLIPS = 40


def show(report: Report, console: Console | None = None) -> None:
    """Print the result: the table of methods, then the clips."""
    (console or Console()).print(render(report))


def render(report: Report) -> RenderableType:
    """The result as something that ``rich`` prints."""
    parts: list[RenderableType] = [_methods(report), *(Text(line, style="dim") for line in remarks(report))]
    if 1 < len(report.clips) <= _MOST_CLIPS:
        parts.insert(0, _clips(report))
    return Group(*parts)


def label(column: str) -> str:
    """A column's heading: ``psnr_float`` is shown as ``PSNR float``."""
    first, _, rest = column.partition("_")
    return f"{first.upper()} {rest}".strip()


def show_value(metric: Metric, value: float | None) -> str:
    """A value as papers print it: two digits for dB and errors, four for SSIM."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return "inf"
    return f"{value:.2f}" if metric.unit == "dB" or not metric.higher_is_better else f"{value:.4f}"


def remarks(report: Report) -> list[str]:
    """What a reader should know beside the numbers."""
    known = DATA_SETS[report.protocol.data_set]
    lines = [f"{label(column)}: {METRICS[name].description}" for column, name in report.protocol.metrics.items()]
    if report.complete is False:
        frames = sum(clip.frames for clip in report.clips.values())
        lines.append(
            f"Not the complete set: {frames} frames of {len(report.clips)} clips, of {known.clips} clips in all; "
            "the published rows are over all of them."
        )
    return [*lines, report.protocol.note] if report.protocol.note else lines


def ranking(report: Report) -> list[tuple[str, dict[str, float], bool]]:
    """Method, its scores, whether it is the measured one; from the worst to the best."""
    protocol = report.protocol
    rows = [(row.method, row.scores, False) for row in protocol.published]
    rows.append((f"{report.model} (measured)", report.mean, True))
    known = protocol.published[0].scores if protocol.published else report.mean
    main = next(column for column in protocol.metrics if column in known)
    sign = 1 if METRICS[protocol.metrics[main]].higher_is_better else -1
    return sorted(rows, key=lambda row: sign * row[1].get(main, -math.inf))


def _methods(report: Report) -> Table:
    metrics = {column: METRICS[name] for column, name in report.protocol.metrics.items()}
    table = Table(title=report.protocol.title, title_justify="left")
    table.add_column("method")
    for column in metrics:
        table.add_column(label(column), justify="right")
    for method, scores, ours in ranking(report):
        cells = [show_value(metric, scores.get(column)) for column, metric in metrics.items()]
        table.add_row(method, *cells, style="bold green" if ours else None)
    return table


def _clips(report: Report) -> Table:
    metrics = {column: METRICS[name] for column, name in report.protocol.metrics.items()}
    table = Table(title=f"{report.model}, clip by clip", title_justify="left")
    table.add_column("clip")
    table.add_column("frames", justify="right")
    for column in metrics:
        table.add_column(label(column), justify="right")
    for name, clip in report.clips.items():
        cells = [show_value(metric, clip.scores[column]) for column, metric in metrics.items()]
        table.add_row(name, str(clip.frames), *cells)
    return table


def show_protocols(console: Console | None = None) -> None:
    """Print every protocol with its data set and where to get that."""
    table = Table(title="protocols", title_justify="left")
    for heading in ("name", "what", "data from"):
        table.add_column(heading)
    for protocol in PROTOCOLS.values():
        table.add_row(protocol.name, f"{protocol.task}: {protocol.title}", DATA_SETS[protocol.data_set].source)
    (console or Console()).print(table)
