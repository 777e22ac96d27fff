"""The result of a reproduction, as a table to print and as JSON."""

from __future__ import annotations

import itertools
import json
import math
import os
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from ls3d.files import atomic_write
from ls3d.reproduce.tables import Column, Table, TableRow
from ls3d.terminal import console as plain_console


@dataclass(frozen=True)
class RowResult:
    """The scores of a row.

    Attributes:
        column: the test.
        row: the row.
        scores: ``psnr`` in dB and ``ssim``, by seed.
        recipe: JSON-able values of the recipe, without seed and folder.
        parameters: number of the network's parameters.
        folder: where the runs are, one folder for each seed.
    """

    column: Column
    row: TableRow
    scores: dict[int, dict[str, float]]
    recipe: dict[str, Any]
    parameters: int
    folder: Path

    def mean(self, metric: str) -> float:
        """The mean over seeds."""
        return statistics.fmean(score[metric] for score in self.scores.values())

    def spread(self, metric: str) -> float | None:
        """The standard deviation over seeds; None for a single seed."""
        values = [score[metric] for score in self.scores.values()]
        return statistics.stdev(values) if len(values) > 1 else None


@dataclass(frozen=True)
class Comparison:
    """Two methods that are next to each other in the paper's order, as measured here.

    Attributes:
        worse: the method with the lower PSNR in the paper.
        better: the method with the higher PSNR in the paper.
        gain: PSNR of ``better`` minus PSNR of ``worse`` in dB, the mean over seeds.
        error: standard error of ``gain`` from the differences of each seed; None for a single seed.
    """

    worse: str
    better: str
    gain: float
    error: float | None

    @property
    def verdict(self) -> str:
        """``"holds"``, ``"reversed"``, or ``"undecided"`` if the gain is within two standard errors of 0."""
        if self.error is not None and abs(self.gain) <= 2 * self.error:
            return "undecided"
        return "holds" if self.gain > 0 else "reversed"


@dataclass(frozen=True)
class Reproduction:
    """The result of ``reproduce``.

    Attributes:
        table: the table.
        results: every row that was trained, column by column.
        weightless: for each column, the name and the scores of the network without weights that others have to beat.
        small: whether the recipes had the overlay ``small``.
        measured_on: the data that were measured on, in words.
        device: the device of training and measurement.
        versions: of all software that could change a result.
    """

    table: Table
    results: list[RowResult]
    weightless: dict[str, tuple[str, dict[str, float]]]
    small: bool
    measured_on: str
    device: str
    versions: dict[str, str]

    def order(self) -> dict[str, list[Comparison]]:
        """For each column, comparisons of neighbors in the paper's order; rows that it does not print are left out."""
        return {column.title: list(_comparisons(self._of(column))) for column in self.table.columns}

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "table": self.table.name,
            "title": self.table.title,
            "small": self.small,
            "measured_on": self.measured_on,
            "rows": [_row(result) for result in self.results],
            "weightless": {title: {"model": name} | scores for title, (name, scores) in self.weightless.items()},
            "order": {
                title: {
                    "holds": _holds([comparison.verdict for comparison in comparisons]),
                    "steps": [asdict(comparison) | {"verdict": comparison.verdict} for comparison in comparisons],
                }
                for title, comparisons in self.order().items()
            },
            "device": self.device,
            "versions": self.versions,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON, atomically."""
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")

    def show(self, console: Console | None = None) -> None:
        """Print the paper's table next to ours, and whether its order holds."""
        (console or plain_console()).print(self.render())

    def render(self) -> RenderableType:
        """What ``show`` prints."""
        parts: list[RenderableType] = []
        for column in self.table.columns:
            results = self._of(column)
            parts.append(_rich_table(self.table, column, results, *self.weightless[column.title]))
            parts += [Text(_sentence(comparison)) for comparison in _comparisons(results)]
        seeds = len(self.results[0].scores)
        optimization = self.results[0].recipe["optimization"]
        budget = f"{optimization['steps']} steps of {optimization['batch_size']} samples"
        trained = f"mean and standard deviation of {seeds} seeds" if seeds > 1 else "one seed"
        lines = [f"Ours: {trained}, {budget} each, on {self.measured_on}."]
        if not self.measured_on.startswith("the published"):
            lines.append("These are not the paper's clips: compare our rows with each other, not with the paper's.")
        return Group(*parts, *(Text(line, style="dim") for line in lines))

    def _of(self, column: Column) -> list[RowResult]:
        return [result for result in self.results if result.column == column]


def _comparisons(results: list[RowResult]) -> Iterator[Comparison]:
    printed = [result for result in results if result.row.method in _published(result.column)]
    for worse, better in itertools.pairwise(printed):
        gains = [score["psnr"] - worse.scores[seed]["psnr"] for seed, score in better.scores.items()]
        error = statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else None
        yield Comparison(worse.row.method, better.row.method, statistics.fmean(gains), error)


def _holds(verdicts: list[str]) -> bool | None:
    """Whether the whole order holds; None if a comparison is undecided, or there is none."""
    if "reversed" in verdicts:
        return False
    return True if verdicts and set(verdicts) == {"holds"} else None


def _published(column: Column) -> dict[str, dict[str, float]]:
    return {row.method: row.scores for row in column.published}


def _row(result: RowResult) -> dict[str, Any]:
    return {
        "column": result.column.title,
        "method": result.row.method,
        "published": _published(result.column).get(result.row.method),
        "mean": {metric: result.mean(metric) for metric in ("psnr", "ssim")},
        "spread": {metric: result.spread(metric) for metric in ("psnr", "ssim")},
        "seeds": {str(seed): score for seed, score in result.scores.items()},
        "parameters": result.parameters,
        "recipe": result.recipe,
        "runs": str(result.folder),
    }


def _rich_table(
    table: Table, column: Column, results: list[RowResult], weightless: str, weightless_scores: dict[str, float]
) -> RichTable:
    number = table.name.removeprefix("table")
    grid = RichTable(title=f"Table {number}: {table.title} ({column.title})", title_justify="left")
    grid.add_column("method")
    for heading in ("PSNR paper", "PSNR ours", "SSIM paper", "SSIM ours"):
        grid.add_column(heading, justify="right")
    published = _published(column)
    ours = {result.row.method: result for result in results}
    if weightless not in published:
        grid.add_row(weightless, *_cells({}, weightless_scores), style="dim")
    for method in [*published, *(name for name in ours if name not in published)]:
        result = ours.get(method)
        measured = weightless_scores if method == weightless else result
        grid.add_row(method, *_cells(published.get(method, {}), measured), style="bold green" if result else None)
    return grid


def _cells(paper: dict[str, float], measured: RowResult | dict[str, float] | None) -> Iterator[str]:
    """PSNR of the paper, ours, SSIM of the paper with the digits it prints, ours."""
    for metric, published_format, digits in (("psnr", ".2f", 2), ("ssim", "g", 4)):
        yield format(paper[metric], published_format) if metric in paper else ""
        if isinstance(measured, RowResult):
            spread = measured.spread(metric)
            mean = f"{measured.mean(metric):.{digits}f}"
            yield mean if spread is None else f"{mean} ± {spread:.{digits}f}"
        else:
            yield f"{measured[metric]:.{digits}f}" if measured else ""


def _sentence(comparison: Comparison) -> str:
    error = "" if comparison.error is None else f" ± {comparison.error:.2f}"
    gain = f"{comparison.gain:+.2f}{error} dB"
    return f"{comparison.better} above {comparison.worse}: {gain}, {comparison.verdict}"
