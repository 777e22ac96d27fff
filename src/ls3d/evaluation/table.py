"""The table of a protocol in the terminal: the published rows, and the evaluated network among them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ls3d.evaluation.protocol import MetricInfo, Protocol
from ls3d.evaluation.recognition.report import RecognitionReport
from ls3d.evaluation.registry import PROTOCOLS
from ls3d.evaluation.report import EvaluationReport
from ls3d.terminal import console as plain_console

#: With more clips than this, the terminal shows only their mean.
_MAX_CLIPS = 40


@dataclass(frozen=True)
class TableRow:
    """A row of the table.

    Attributes:
        method: name of the method.
        scores: by column.
        measured: whether it is the evaluated network, not a published row.
    """

    method: str
    scores: Mapping[str, float]
    measured: bool


def show(report: EvaluationReport, console: Console | None = None) -> None:
    """Print a report: the clips, then the table of methods."""
    (console or plain_console()).print(render(report))


def show_recognition(report: RecognitionReport, console: Console | None = None) -> None:
    """Print the accuracy of a classifier: by class, with the class that it is most often taken for, and in total."""
    accuracy = report.accuracy
    table = Table(title=f"{report.model} on {report.data}", title_justify="left")
    table.add_column("class")
    table.add_column("videos", justify="right")
    table.add_column("top-1 %", justify="right")
    table.add_column("most often taken for")
    for number, (name, row) in enumerate(zip(report.classes, report.confusion.tolist(), strict=True)):
        share = accuracy.classes[number]
        if share is None:
            continue
        wrong = [0 if other == number else count for other, count in enumerate(row)]
        confused = report.classes[wrong.index(max(wrong))] if any(wrong) else ""
        table.add_row(Text(name), str(sum(row)), f"{100 * share:.1f}", Text(confused))
    lines = [
        f"top-1 {100 * accuracy.top1:.1f} %, top-5 {100 * accuracy.top5:.1f} % of {accuracy.samples} videos, "
        f"{report.protocol}"
    ]
    if report.published is not None:
        known = report.published
        top5 = "" if known.top5 is None else f", top-5 {known.top5:.1f} %"
        lines.append(f"published: top-1 {known.top1:.1f} %{top5} on {known.data} ({known.source})")
    if report.unreadable:
        lines.append(f"{len(report.unreadable)} videos could not be decoded: {', '.join(report.unreadable)}")
    (console or plain_console()).print(Group(table, *map(Text, lines)))


def render(report: EvaluationReport) -> RenderableType:
    """A report as an object that ``rich`` can print."""
    parts: list[RenderableType] = [_method_table(report), *(Text(line, style="dim") for line in remarks(report))]
    if 1 < len(report.clips) <= _MAX_CLIPS:
        parts.insert(0, _clip_table(report))
    return Group(*parts)


def heading(column: str) -> str:
    """The heading of a column: ``psnr_float`` becomes ``PSNR float``."""
    first, _, rest = column.partition("_")
    return f"{first.upper()} {rest}".strip()


def format_score(metric: MetricInfo, score: float | None) -> str:
    """A score with as many digits as papers print: two for dB and errors, four for SSIM."""
    if score is None:
        return ""
    if not math.isfinite(score):
        return "inf"
    return f"{score:.2f}" if metric.unit == "dB" or not metric.higher_is_better else f"{score:.4f}"


def format_scores(protocol: Protocol, scores: Mapping[str, float]) -> list[str]:
    """The cells of a row; empty where a published row has no score."""
    return [format_score(metric, scores.get(column)) for column, metric in protocol.metrics.items()]


def remarks(report: EvaluationReport) -> list[str]:
    """Sentences below the table: what the columns are, whether the data set is complete, the protocol's note."""
    protocol = report.protocol
    lines = [f"{heading(column)}: {metric.description}" for column, metric in protocol.metrics.items()]
    if report.complete is False:
        lines.append(
            f"Not the complete set: {report.frames} frames of {len(report.clips)} clips, of {protocol.data_set.clips} "
            "clips in all; the published rows are over all of them."
        )
    return [*lines, protocol.note] if protocol.note else lines


def ranked_rows(report: EvaluationReport) -> list[TableRow]:
    """The published rows and the measured one, from worst to best."""
    protocol = report.protocol
    rows = [TableRow(row.method, row.scores, measured=False) for row in protocol.published]
    rows.append(TableRow(f"{report.model} (measured)", report.mean, measured=True))
    known = protocol.published[0].scores if protocol.published else report.mean
    main = next(column for column in protocol.metrics if column in known)
    return sorted(rows, key=lambda row: protocol.quality(row.scores[main], main) if main in row.scores else -math.inf)


def _method_table(report: EvaluationReport) -> Table:
    table = Table(title=report.protocol.title, title_justify="left")
    table.add_column("method")
    for column in report.protocol.metrics:
        table.add_column(heading(column), justify="right")
    for row in ranked_rows(report):
        cells = format_scores(report.protocol, row.scores)
        table.add_row(row.method, *cells, style="bold green" if row.measured else None)
    return table


def _clip_table(report: EvaluationReport) -> Table:
    table = Table(title=f"{report.model}, clip by clip", title_justify="left")
    table.add_column("clip")
    table.add_column("frames", justify="right")
    for column in report.protocol.metrics:
        table.add_column(heading(column), justify="right")
    for name, clip in report.clips.items():
        table.add_row(name, str(clip.frames), *format_scores(report.protocol, clip.scores))
    return table


def show_protocols(console: Console | None = None) -> None:
    """Print every protocol, and where to get its data set."""
    table = Table(title="protocols", title_justify="left")
    for column in ("name", "what", "data from"):
        table.add_column(column)
    for protocol in PROTOCOLS.values():
        table.add_row(protocol.name, f"{protocol.task}: {protocol.title}", protocol.data_set.source)
    (console or plain_console()).print(table)
