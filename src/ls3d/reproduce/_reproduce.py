"""``reproduce``: train the rows of a table with several seeds and measure them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ls3d.environment import versions
from ls3d.errors import InputError
from ls3d.models import load_model
from ls3d.reproduce.measure import device_of, measure, measure_weightless, published_folder
from ls3d.reproduce.plan import TrainingRun, plan_runs
from ls3d.reproduce.recognition import reproduce_table_8
from ls3d.reproduce.report import AccuracyReproduction, Reproduction, RowResult
from ls3d.reproduce.tables import Table, get_table

#: Called before each run with the number of finished runs, the number of all runs, and a description of the next.
Progress = Callable[[int, int, str], None]


def reproduce(
    table: str,
    overrides: Sequence[str] = (),
    *,
    small: bool = False,
    seeds: int = 3,
    clips: str | os.PathLike[str] | None = None,
    test: str | os.PathLike[str] | None = None,
    recipes: str | os.PathLike[str] = "recipes",
    output: str | os.PathLike[str] = "runs/reproduce",
    progress: Progress | None = None,
) -> Reproduction | AccuracyReproduction:
    """Train every row of a table with the same budget and measure it. Interrupted, the same call resumes.

    Args:
        table: ``"table2"`` to ``"table8"``.
        overrides: ``section.key=value``, applied to the recipes of all rows.
        small: add the overlay ``small`` to the recipes: minutes on a few clips instead of the paper's data and sizes.
        seeds: number of trainings of each row, with the seeds 0, 1, ...
        clips: folder of training clips for all rows, for table 8 of videos by class (or a CSV file, or a file of
            decoded videos); None uses the recipes' own.
        test: folder of the published test set (for table 4, a folder of folders named after the protocols, for table 8
            as ``clips``); None measures on the clips that the recipes hold out.
        recipes: folder of recipes.
        output: folder of all runs. A run's folder is named after its recipe, so a finished run is used again, and
            two tables share the rows that they have in common.
        progress: called before each run.

    Raises:
        InputError: the table is unknown, recipes or data are missing or unsuitable, or budgets differ.
    """
    if seeds < 1:
        raise InputError(f"{seeds}: expected at least 1", argument="seeds")
    if table == "table8":
        return reproduce_table_8(overrides, small, seeds, clips, test, Path(recipes), Path(output), progress)
    known = get_table(table)
    # A JSON string is a YAML string, whatever is in the path.
    changes = [*overrides, *([f"data.root={json.dumps(os.fspath(clips))}"] if clips else [])]
    runs = plan_runs(known, Path(recipes), Path(output), changes, small, seeds)
    folders = _test_folders(known, runs, test)
    results: list[RowResult] = []
    weightless: dict[str, tuple[str, dict[str, float]]] = {}
    for number, (run, folder) in enumerate(zip(runs, folders, strict=True)):
        if progress:
            progress(number, len(runs), f"{run.column.title}, {run.row.method}, seed {run.recipe.seed}")
        run.train()
        if run.recipe.seed == 0:
            results.append(_row_result(run))
        results[-1].scores[run.recipe.seed] = measure(run, folder)
        if run.column.title not in weightless:
            weightless[run.column.title] = measure_weightless(run, folder)
    used = versions("lightning")
    device = str(device_of(runs[0].recipe))
    return Reproduction(known, results, weightless, small, _measured_on(known, test), device, used)


def _test_folders(table: Table, runs: Sequence[TrainingRun], test: str | os.PathLike[str] | None) -> list[Path | None]:
    """The folder of the published test set of each run, None for held-out clips."""
    several = len({column.protocol.data_set.name for column in table.columns}) > 1
    folders = [published_folder(test, run, several) for run in runs]
    for run, folder in zip(runs, folders, strict=True):
        if folder is not None and not folder.is_dir():
            raise InputError(f"{folder}: no such folder of the test set for {run.column.title}", argument="test")
    return folders


def _measured_on(table: Table, test: str | os.PathLike[str] | None) -> str:
    """What was measured on, in words."""
    held_out = "clips held out from training"
    if not test:
        return held_out
    without_test_set = [column.title for column in table.columns if not column.has_test_set]
    also = f", {' and '.join(without_test_set)} on {held_out}" if without_test_set else ""
    return f"the published test set in {os.fspath(test)}{also}"


def _row_result(run: TrainingRun) -> RowResult:
    return RowResult(
        column=run.column,
        row=run.row,
        scores={},
        recipe=run.recipe.model_dump(mode="json", exclude={"output", "metadata", "seed"}),
        parameters=sum(parameter.numel() for parameter in load_model(run.weights).parameters()),
        folder=run.recipe.output.parent,
    )
