"""The result of a reproduction, as a table to print and as JSON."""

from __future__ import annotations

import itertools
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

from ls3d.files import write_json
from ls3d.reproduce.tables import AccuracyRow, Column, Table, TableRow
from ls3d.terminal import console as plain_console


class _OverSeeds:
    """Statistics of scores over seeds."""

    scores: dict[int, dict[str, float]]

    def mean(self, metric: str) -> float:
        """The mean over seeds."""
        return statistics.fmean(score[metric] for score in self.scores.values())

    def spread(self, metric: str) -> float | None:
        """The standard deviation over seeds; None for a single seed."""
        values = [score[metric] for score in self.scores.values()]
        return statistics.stdev(values) if len(values) > 1 else None


@dataclass(frozen=True)
class RowResult(_OverSeeds):
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


@dataclass(frozen=True)
class AccuracyResult(_OverSeeds):
    """The scores of a row of table 8.

    Attributes:
        row: the row.
        scores: ``top1`` and ``top5`` in percent, by seed.
        start: likewise, of the plain network that it continues from.
        recipe: JSON-able values of the recipe, without seed and folder.
        parameters: number of the network's parameters.
        macs: multiply-adds for a clip as the paper counts them.
        folder: where the runs are, one folder for each seed.
    """

    row: AccuracyRow
    scores: dict[int, dict[str, float]]
    start: dict[int, dict[str, float]]
    recipe: dict[str, Any]
    parameters: int
    macs: int
    folder: Path


@dataclass(frozen=True)
class Comparison:
    """Two methods that are next to each other in the paper's order, as measured here.

    Attributes:
        worse: the method with the lower PSNR, or accuracy, in the paper.
        better: the method with the higher one.
        gain: that of ``better`` minus that of ``worse``, in dB or percentage points, the mean over seeds.
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
        _write_json(path, self.to_dict())

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
        lines = [f"Ours: {_describe_training(self.results[0])}, on {self.measured_on}."]
        if not self.measured_on.startswith("the published"):
            lines.append("These are not the paper's clips: compare our rows with each other, not with the paper's.")
        return Group(*parts, *(Text(line, style="dim") for line in lines))

    def _of(self, column: Column) -> list[RowResult]:
        return [result for result in self.results if result.column == column]


@dataclass(frozen=True)
class AccuracyReproduction:
    """The result of ``reproduce`` for table 8.

    Attributes:
        results: of the rows, in the paper's order.
        small: whether the recipes had the overlay ``small``.
        measured_on: the videos that were measured on, in words.
        versions: of all software that could change a result.
    """

    results: list[AccuracyResult]
    small: bool
    measured_on: str
    versions: dict[str, str]

    def order(self) -> list[Comparison]:
        """Comparisons of top-1 accuracy between neighbors in the paper's order."""
        return [_compare(*pair, metric="top1") for pair in itertools.pairwise(self.results)]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "table": "table8",
            "title": _TITLE_8,
            "small": self.small,
            "measured_on": self.measured_on,
            "rows": [_accuracy_row(result) for result in self.results],
            "order": [asdict(comparison) | {"verdict": comparison.verdict} for comparison in self.order()],
            "versions": self.versions,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON, atomically."""
        _write_json(path, self.to_dict())

    def show(self, console: Console | None = None) -> None:
        """Print the paper's table next to ours, and whether its order holds."""
        (console or plain_console()).print(self.render())

    def render(self) -> RenderableType:
        """What ``show`` prints."""
        grid = RichTable(title=f"Table 8: {_TITLE_8} (each column: paper, ours)", title_justify="left")
        grid.add_column("method")
        for heading in ("top-1, %", "top-5, %", "10^6 parameters", "10^9 multiply-adds"):
            grid.add_column(heading, justify="right")
        for result in self.results:
            accuracies = (f"{result.row.published[metric]}, {_mean(result, metric)}" for metric in ("top1", "top5"))
            parameters = f"{result.row.parameters:.2f}, {result.parameters / 1e6:.2f}"
            grid.add_row(
                result.row.method, *accuracies, parameters, f"{result.row.gflops:.2f}, {result.macs / 1e9:.2f}"
            )
        lines = [
            *(_sentence(comparison, "points") for comparison in self.order()),
            f"Ours: {_describe_training(self.results[0])} from the plain network, on {self.measured_on}.",
        ]
        return Group(grid, *map(Text, lines))


_TITLE_8 = "action recognition, Kinetics-400"


def _mean(result: AccuracyResult, metric: str) -> str:
    spread = result.spread(metric)
    return f"{result.mean(metric):.1f}" + ("" if spread is None else f" ± {spread:.1f}")


def _accuracy_row(result: AccuracyResult) -> dict[str, Any]:
    return {
        "method": result.row.method,
        "published": result.row.published | {"parameters": result.row.parameters, "gflops": result.row.gflops},
        "mean": {metric: result.mean(metric) for metric in ("top1", "top5")},
        "spread": {metric: result.spread(metric) for metric in ("top1", "top5")},
        "seeds": {str(seed): score for seed, score in result.scores.items()},
        "plain_network": {str(seed): score for seed, score in result.start.items()},
        "parameters": result.parameters,
        "gmacs": result.macs / 1e9,
        "recipe": result.recipe,
        "runs": str(result.folder),
    }


def _comparisons(results: list[RowResult]) -> Iterator[Comparison]:
    printed = [result for result in results if result.row.method in _published(result.column)]
    for pair in itertools.pairwise(printed):
        yield _compare(*pair, metric="psnr")


def _compare(worse: RowResult | AccuracyResult, better: RowResult | AccuracyResult, metric: str) -> Comparison:
    gains = [score[metric] - worse.scores[seed][metric] for seed, score in better.scores.items()]
    error = statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else None
    return Comparison(worse.row.method, better.row.method, statistics.fmean(gains), error)


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


def _write_json(path: str | os.PathLike[str], values: dict[str, Any]) -> None:
    write_json(path, values)


def _describe_training(result: RowResult | AccuracyResult) -> str:
    """The number of seeds and the budget, in words."""
    seeds = len(result.scores)
    optimization = result.recipe["optimization"]
    trained = f"mean and standard deviation of {seeds} seeds" if seeds > 1 else "one seed"
    return f"{trained}, {optimization['steps']} steps of {optimization['batch_size']} samples each"


def _sentence(comparison: Comparison, unit: str = "dB") -> str:
    error = "" if comparison.error is None else f" ± {comparison.error:.2f}"
    gain = f"{comparison.gain:+.2f}{error} {unit}"
    return f"{comparison.better} above {comparison.worse}: {gain}, {comparison.verdict}"
