"""The result of a reproduction: the paper's table with ours beside it, and its JSON."""

from __future__ import annotations

import itertools
import json
import math
import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from ls3d.files import atomic_write
from ls3d.reproduce.tables import Column, Row, Table


@dataclass(frozen=True)
class Result:
    """What a row scored.

    Attributes:
        column: the test.
        row: the row.
        scores: ``psnr`` in dB and ``ssim``, by seed.
        recipe: what was trained, seed and folder aside.
        parameters: of the network.
        folder: where the runs lie, one folder for each seed.
    """

    column: Column
    row: Row
    scores: dict[int, dict[str, float]]
    recipe: dict[str, Any]
    parameters: int
    folder: Path

    def mean(self, metric: str) -> float:
        """The mean over seeds."""
        return statistics.fmean(score[metric] for score in self.scores.values())

    def spread(self, metric: str) -> float | None:
        """The standard deviation over seeds; None of a single one."""
        values = [score[metric] for score in self.scores.values()]
        return statistics.stdev(values) if len(values) > 1 else None


@dataclass(frozen=True)
class Step:
    """Two neighbors in the paper's order, measured here.

    Attributes:
        worse: the method that the paper has below.
        better: the method that the paper has above.
        gain: PSNR of the better one minus that of the worse one in dB, the mean over seeds.
        error: standard error of ``gain``, from the differences seed by seed; None of a single seed.
    """

    worse: str
    better: str
    gain: float
    error: float | None

    @property
    def verdict(self) -> str:
        """``"holds"``, ``"reversed"``, or ``"undecided"`` where the seeds differ more than the rows."""
        if self.error is not None and abs(self.gain) <= 2 * self.error:
            return "undecided"
        return "holds" if self.gain > 0 else "reversed"


@dataclass(frozen=True)
class Reproduction:
    """The result of ``reproduce``.

    Attributes:
        table: which table.
        results: every row that was trained, column by column.
        weightless: by column, the name and the scores of the model without weights that any network has to beat.
        small: whether the small recipes were.
        measured_on: what was measured on, in words.
        device: where it ran.
        versions: of everything that could move a number.
    """

    table: Table
    results: list[Result]
    weightless: dict[str, tuple[str, dict[str, float]]]
    small: bool
    measured_on: str
    device: str
    versions: dict[str, str]

    def order(self) -> dict[str, list[Step]]:
        """By column: the paper's order of the rows that it prints and that were trained here, step by step."""
        return {column.title: list(_steps(self._of(column))) for column in self.table.columns}

    def to_dict(self) -> dict[str, Any]:
        """The JSON's content."""
        return {
            "table": self.table.name,
            "title": self.table.title,
            "small": self.small,
            "measured_on": self.measured_on,
            "rows": [_row(result) for result in self.results],
            "weightless": {title: {"model": name} | scores for title, (name, scores) in self.weightless.items()},
            "order": {
                title: {
                    "holds": _holds([step.verdict for step in steps]),
                    "steps": [vars(step) | {"verdict": step.verdict} for step in steps],
                }
                for title, steps in self.order().items()
            },
            "device": self.device,
            "versions": self.versions,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON, atomically."""
        with atomic_write(path) as part:
            part.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")

    def show(self, console: Console | None = None) -> None:
        """Print the paper's table with ours beside it, and whether its order holds."""
        (console or Console()).print(self.render())

    def render(self) -> RenderableType:
        """The same as something that ``rich`` prints."""
        parts: list[RenderableType] = []
        for column in self.table.columns:
            results = self._of(column)
            parts.append(_grid(self.table, column, results, *self.weightless[column.title]))
            parts += [Text(line) for line in _order_lines(list(_steps(results)))]
        seeds, recipe = len(self.results[0].scores), self.results[0].recipe
        budget = f"{recipe['optimization']['steps']} steps of {recipe['optimization']['batch_size']} samples"
        trained = f"mean and standard deviation of {seeds} seeds" if seeds > 1 else "one seed"
        lines = [f"Ours: {trained}, {budget} each, on {self.measured_on}."]
        if not self.measured_on.startswith("the published"):
            lines.append("Other clips than the paper's: compare our rows with each other, not with the paper's.")
        return Group(*parts, *(Text(line, style="dim") for line in lines))

    def _of(self, column: Column) -> list[Result]:
        return [result for result in self.results if result.column == column]


def _steps(results: list[Result]) -> Iterator[Step]:
    printed = [result for result in results if result.row.method in _published(result.column)]
    for worse, better in itertools.pairwise(printed):
        gains = [score["psnr"] - worse.scores[seed]["psnr"] for seed, score in better.scores.items()]
        error = statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else None
        yield Step(worse.row.method, better.row.method, statistics.fmean(gains), error)


def _holds(verdicts: list[str]) -> bool | None:
    """Whether a whole order holds; None where the seeds leave a step undecided, or there is none."""
    if "reversed" in verdicts:
        return False
    return True if verdicts and set(verdicts) == {"holds"} else None


def _published(column: Column) -> dict[str, dict[str, float]]:
    return {row.method: row.scores for row in column.published}


def _row(result: Result) -> dict[str, Any]:
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


def _grid(
    table: Table, column: Column, results: list[Result], weightless: str, weightless_scores: dict[str, float]
) -> Grid:
    number = table.name.removeprefix("table")
    grid = Grid(title=f"Table {number}: {table.title} ({column.title})", title_justify="left")
    grid.add_column("method")
    for heading in ("PSNR paper", "PSNR ours", "SSIM paper", "SSIM ours"):
        grid.add_column(heading, justify="right")
    published, ours = _published(column), {result.row.method: result for result in results}
    if weightless not in published:
        grid.add_row(weightless, *_cells({}, weightless_scores), style="dim")
    for method in [*published, *(name for name in ours if name not in published)]:
        result = ours.get(method)
        measured = weightless_scores if method == weightless else result
        grid.add_row(method, *_cells(published.get(method, {}), measured), style="bold green" if result else None)
    return grid


def _cells(paper: dict[str, float], measured: Result | dict[str, float] | None) -> Iterator[str]:
    """PSNR of the paper, ours, SSIM of the paper (as it prints it), ours."""
    for metric, published, digits in (("psnr", ".2f", 2), ("ssim", "g", 4)):
        yield format(paper[metric], published) if metric in paper else ""
        if isinstance(measured, Result):
            spread = measured.spread(metric)
            mean = f"{measured.mean(metric):.{digits}f}"
            yield mean if spread is None else f"{mean} ± {spread:.{digits}f}"
        else:
            yield f"{measured[metric]:.{digits}f}" if measured else ""


def _order_lines(steps: list[Step]) -> list[str]:
    """The paper's order in words."""
    lines = []
    for step in steps:
        error = "" if step.error is None else f" ± {step.error:.2f}"
        lines.append(f"{step.better} above {step.worse}: {step.gain:+.2f}{error} dB, {step.verdict}")
    return lines
