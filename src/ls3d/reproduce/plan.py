"""The trainings behind a table: one for each row and seed, in a folder named after what is trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ls3d.errors import InputError
from ls3d.reproduce.tables import Column, Row, Table
from ls3d.training import Recipe, load_recipe, train
from ls3d.training._train import WEIGHTS

#: What changes nothing about the weights.
_NO_MATTER = (
    ("data", "cache"),
    ("data", "workers"),
    ("optimization", "offset_every"),
    ("optimization", "offset_warning"),
)


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        column: the test that it is for.
        row: the row that it is for.
        recipe: with its seed, and with the folder it lies in as ``output``.
    """

    column: Column
    row: Row
    recipe: Recipe

    @property
    def weights(self) -> Path:
        """The file that a finished training leaves."""
        return self.recipe.output / WEIGHTS

    @property
    def finished(self) -> bool:
        """Whether it is trained already."""
        return self.weights.is_file()

    def train(self) -> None:
        """Train, going on where it was stopped; a finished one is left as it is."""
        if not self.finished:
            train(self.recipe)


def plan(
    table: Table, recipes: Path, output: Path, overrides: Sequence[str] = (), small: bool = False, seeds: int = 3
) -> list[Run]:
    """Every run of a table: all seeds of a row, then the next row. Nothing is trained yet.

    Raises:
        InputError: a recipe isn't there or isn't one, or rows of one test would not get the same budget.
    """
    for override in overrides:
        if override.partition("=")[0] in ("seed", "output"):
            raise InputError(f"{override!r}: seeds are counted (--seeds), runs are kept in one folder (--output)")
    runs = []
    for column in table.columns:
        for row in column.rows:
            path = recipes / f"{row.recipe}{'_small' if small else ''}.yaml"
            if not path.is_file():
                raise InputError(f"there is no recipe {path}; say where the project's folder of recipes is (--recipes)")
            for seed in range(seeds):
                recipe = load_recipe(path, [*overrides, f"seed={seed}"])
                folder = output / f"{recipe.model.name}-{digest(recipe)}" / f"seed{seed}"
                runs.append(Run(column, row, recipe.model_copy(update={"output": folder})))
        _check_budgets([run for run in runs if run.column == column])
    return runs


def digest(recipe: Recipe) -> str:
    """The same for recipes that train the same, whatever their names and wherever their decoded clips are kept."""
    # Defaults left out, a recipe keeps its folder when recipes learn new keys.
    values = recipe.model_dump(mode="json", exclude={"output", "facts", "seed"}, exclude_defaults=True)
    for section, key in _NO_MATTER:
        values[section].pop(key, None)
    values["data"]["root"] = str(recipe.data.root.resolve())
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:10]


def _check_budgets(runs: list[Run]) -> None:
    """Rows are compared, so they must spend the same."""
    budgets = {
        (run.recipe.optimization.steps, run.recipe.optimization.batch_size, run.recipe.data.crop): run for run in runs
    }
    if len(budgets) > 1:
        told = " and ".join(f"{run.row.method} {budget}" for budget, run in budgets.items())
        raise InputError(f"rows of one table need the same budget, their steps, batch and crop are: {told}")
