"""The trainings that a table needs: one for each row and seed, each in a folder named after its recipe."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ls3d.errors import InputError
from ls3d.reproduce.tables import Column, Table, TableRow
from ls3d.training import AnyEnhancementRecipe, load_recipe, require_enhancement, train
from ls3d.training._folder import WEIGHTS

#: Values that do not change the weights, by section.
_IRRELEVANT = (
    ("data", "cache"),
    ("data", "workers"),
    ("optimization", "offset_every"),
    ("optimization", "offset_warning"),
)


@dataclass(frozen=True)
class TrainingRun:
    """One training.

    Attributes:
        column: the test for which it is trained.
        row: the row for which it is trained.
        recipe: with its seed and its folder.
    """

    column: Column
    row: TableRow
    recipe: AnyEnhancementRecipe

    @property
    def weights(self) -> Path:
        """The file that a finished training leaves."""
        return self.recipe.output / WEIGHTS

    @property
    def finished(self) -> bool:
        """Whether it is already trained."""
        return self.weights.is_file()

    def train(self) -> None:
        """Train or resume, unless it is finished."""
        if not self.finished:
            train(self.recipe)


def plan_runs(
    table: Table, recipes: Path, output: Path, overrides: Sequence[str] = (), small: bool = False, seeds: int = 3
) -> list[TrainingRun]:
    """Every run of a table: all seeds of a row, then the next row. Nothing is trained yet.

    Raises:
        InputError: a recipe is missing or invalid, or rows of one column have different budgets.
    """
    refuse_own_keys(overrides)
    runs = []
    for column in table.columns:
        column_runs = [
            TrainingRun(column, row, recipe)
            for row in column.rows
            for recipe in _recipes_of(row, recipes, output, overrides, small, seeds)
        ]
        _check_budgets(column_runs)
        runs += column_runs
    return runs


def refuse_own_keys(overrides: Sequence[str]) -> None:
    """Refuse overrides of what a reproduction sets itself.

    Raises:
        InputError: there is one.
    """
    for override in overrides:
        if override.partition("=")[0] in ("seed", "output"):
            raise InputError(
                f"{override!r}: seeds are counted from 0 and folders are named after recipes", argument="overrides"
            )


def _recipes_of(
    row: TableRow, recipes: Path, output: Path, overrides: Sequence[str], small: bool, seeds: int
) -> list[AnyEnhancementRecipe]:
    """The recipe of a row for each seed."""
    path = recipes / f"{row.recipe}.yaml"
    if not path.is_file():
        raise InputError(f"{recipes}: there is no recipe {row.recipe}.yaml in this folder", argument="recipes")
    recipe = require_enhancement(load_recipe(f"{path}+small" if small else path, overrides))
    folder = output / f"{recipe.model.name}-{digest(recipe)}"
    return [recipe.model_copy(update={"seed": seed, "output": folder / f"seed{seed}"}) for seed in range(seeds)]


def digest(recipe: AnyEnhancementRecipe) -> str:
    """Equal for recipes that train the same, whatever their names and wherever their decoded clips are kept."""
    # Without defaults, so that a recipe keeps its folder when new keys are introduced.
    excluded = {"kind", "output", "metadata", "seed"}
    values = recipe.model_dump(mode="json", exclude=excluded, exclude_defaults=True)
    for section, key in _IRRELEVANT:
        values[section].pop(key, None)
    values["data"]["root"] = str(recipe.data.root.resolve())
    # The keys of the first recipes, so that their runs keep their folders.
    values["optimisation"] = values.pop("optimization")  # codespell:ignore optimisation
    if recipe.kind != "interpolation":
        values["task"] = recipe.kind
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:10]


def _check_budgets(runs: list[TrainingRun]) -> None:
    """Rows are compared with each other, so they must have the same budget."""
    budgets = {
        (run.recipe.optimization.steps, run.recipe.optimization.batch_size, run.recipe.data.crop): run for run in runs
    }
    if len(budgets) > 1:
        found = " and ".join(f"{run.row.method} {budget}" for budget, run in budgets.items())
        raise InputError(f"rows of one table need the same budget, their steps, batch and crop are: {found}")
