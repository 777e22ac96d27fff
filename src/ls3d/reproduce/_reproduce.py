"""``reproduce``: train the rows of a table with several seeds and measure them; stopped, it goes on where it stood."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ls3d.environment import versions
from ls3d.errors import InputError
from ls3d.models import load_model
from ls3d.reproduce.measure import device_of, measure, measure_weightless, published_folder
from ls3d.reproduce.plan import Run, plan
from ls3d.reproduce.report import Reproduction, Result
from ls3d.reproduce.tables import get_table

#: Called before each run with the runs done, the runs there are, and what comes next.
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
) -> Reproduction:
    """Train every row of a table with the same budget and measure it beside what the paper printed.

    Args:
        table: ``"table2"`` to ``"table7"``.
        overrides: ``section.key=value``, applied to the recipes of all rows.
        small: take the recipes for minutes on a few clips instead of those with the paper's data and sizes.
        seeds: how often each row is trained, with the seeds 0, 1, ...
        clips: the folder of training clips, for all rows; otherwise the recipes' own.
        test: the folder of the published test set (for table 4, a folder of folders named after the protocols);
            without it, the clips that the recipes hold out are measured.
        recipes: the folder of recipes.
        output: below it every run has a folder, named after what is trained; a finished one is used again, and one
            that two tables share is trained once.
        progress: told before each run.

    Raises:
        InputError: an unknown table, recipes or data that aren't there or don't fit, budgets that differ.
    """
    known = get_table(table)
    if seeds < 1:
        raise InputError(f"seeds is {seeds}, expected at least 1")
    changes = [*overrides, *([f"data.root={os.fspath(clips)}"] if clips else [])]
    runs = plan(known, Path(recipes), Path(output), changes, small, seeds)
    several = len({column.protocol.data_set.name for column in known.columns}) > 1
    folders = [published_folder(test, run, several) for run in runs]
    for run, folder in zip(runs, folders, strict=True):
        if folder is not None and not folder.is_dir():
            raise InputError(f"{folder}: no such folder of the test set for {run.column.title}")
    results: list[Result] = []
    weightless: dict[str, tuple[str, dict[str, float]]] = {}
    for number, (run, folder) in enumerate(zip(runs, folders, strict=True)):
        if progress:
            progress(number, len(runs), f"{run.column.title}, {run.row.method}, seed {run.recipe.seed}")
        run.train()
        if run.recipe.seed == 0:
            results.append(_result(run))
        results[-1].scores[run.recipe.seed] = measure(run, folder)
        if run.column.title not in weightless:
            weightless[run.column.title] = measure_weightless(run, folder)
    held_out = "clips held out from training"
    measured_on = f"the published test set in {os.fspath(test)}" if test else held_out
    if test and (whole := [column.title for column in known.columns if not column.split]):
        measured_on += f", {' and '.join(whole)} on {held_out}"
    used = versions("lightning")
    return Reproduction(known, results, weightless, small, measured_on, device_of(runs[0].recipe), used)


def _result(run: Run) -> Result:
    return Result(
        column=run.column,
        row=run.row,
        scores={},
        recipe=run.recipe.model_dump(mode="json", exclude={"output", "facts", "seed"}),
        parameters=sum(parameter.numel() for parameter in load_model(run.weights).parameters()),
        folder=run.recipe.output.parent,
    )
