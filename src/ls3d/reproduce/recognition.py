"""Table 8 of the LS3D-Conv paper: I3D on Kinetics-400, with and without non-local blocks and LS3D-Conv.

The paper continues the training of a plain network after its convolutions were converted. Here the plain networks are
trained first; then every row continues from one of them with the same budget, the plain rows too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ls3d.data.labeled import LabeledSet, open_labeled_set
from ls3d.environment import versions
from ls3d.errors import InputError
from ls3d.evaluation.recognition import ViewProtocol, evaluate_recognition
from ls3d.models import read_metadata
from ls3d.models.summary import summarize
from ls3d.reproduce.measure import Scores, computed_once
from ls3d.reproduce.plan import refuse_own_keys
from ls3d.reproduce.report import AccuracyReproduction, AccuracyResult
from ls3d.reproduce.search import digest_recipe
from ls3d.reproduce.tables import TABLE_8, AccuracyRow
from ls3d.training import load_recipe, train
from ls3d.training._folder import WEIGHTS
from ls3d.training.recognition.loaders import open_split
from ls3d.training.recognition.recipe import ClassificationRecipe

#: How the accuracy on Kinetics-400 is measured.
PROTOCOL = ViewProtocol(clips=10, crops=3)

#: The clip whose operations the paper prints, although its text says 224x224; see ``ls3d.models.recognition.i3d``.
COUNTED_CLIP = (3, 32, 256, 256)


@dataclass(frozen=True)
class _Plan:
    """The trainings of a row with one seed.

    Attributes:
        row: the row.
        start: trains the plain network.
        recipe: continues from it.
    """

    row: AccuracyRow
    start: ClassificationRecipe
    recipe: ClassificationRecipe


def reproduce_table_8(
    overrides: Sequence[str],
    small: bool,
    seeds: int,
    videos: str | os.PathLike[str] | None,
    test: str | os.PathLike[str] | None,
    recipes: Path,
    output: Path,
    progress: Callable[[int, int, str], None] | None,
) -> AccuracyReproduction:
    """See ``reproduce``; ``videos`` are its ``clips``: a folder, CSV file or file of decoded videos by class.

    Raises:
        InputError: recipes or videos are missing or unsuitable, or budgets differ.
    """
    changes = list(overrides)
    if videos is not None:
        classes = len(open_labeled_set(videos).classes)
        changes = [f"data.root={json.dumps(os.fspath(videos))}", f"model.arguments.num_classes={classes}", *changes]
    plans = list(_plan(recipes, output, changes, small, seeds))
    tested = _tested_videos(plans[0].recipe, test)
    results: list[AccuracyResult] = []
    for number, plan in enumerate(plans):
        for part, recipe in enumerate((plan.start, plan.recipe)):
            if progress:
                name = f"{plan.row.method}{'' if part else ', the plain network'}, seed {recipe.seed}"
                progress(2 * number + part, 2 * len(plans), name)
            train(recipe)
        if plan.recipe.seed == 0:
            results.append(_result(plan))
        results[-1].start[plan.recipe.seed] = _measure(plan.start, tested)
        results[-1].scores[plan.recipe.seed] = _measure(plan.recipe, tested)
    measured_on = f"the {'test' if test else 'validation'} videos of {tested.source}"
    return AccuracyReproduction(results, small, measured_on, versions("lightning"))


def _plan(recipes: Path, output: Path, overrides: Sequence[str], small: bool, seeds: int) -> Iterator[_Plan]:
    """All seeds of a row, then the next row.

    Raises:
        InputError: a recipe is missing or invalid, or rows have different budgets.
    """
    refuse_own_keys(overrides)
    budgets = {}
    for row in TABLE_8:
        start, recipe = (_load(recipes, name, overrides, small) for name in (row.start, row.recipe))
        budgets[row.method] = (recipe.optimization.steps, recipe.optimization.batch_size)
        for seed in range(seeds):
            seeded = _in_folder(start, output, seed)
            model = recipe.model.model_copy(update={"weights": seeded.output / WEIGHTS})
            yield _Plan(row, seeded, _in_folder(recipe.model_copy(update={"model": model}), output, seed))
    if len(set(budgets.values())) > 1:
        raise InputError(f"rows of one table need the same budget, their steps and batch are: {budgets}")


def _load(recipes: Path, name: str, overrides: Sequence[str], small: bool) -> ClassificationRecipe:
    path = recipes / f"{name}.yaml"
    if not path.is_file():
        raise InputError(f"{recipes}: there is no recipe {name}.yaml in this folder", argument="recipes")
    recipe = load_recipe(f"{path}+small" if small else path, overrides)
    if not isinstance(recipe, ClassificationRecipe):
        raise InputError(f"{path}: the kind is {recipe.kind}, expected classification")
    return recipe


def _in_folder(recipe: ClassificationRecipe, output: Path, seed: int) -> ClassificationRecipe:
    """The recipe with a seed, and with a folder that is named after what it trains."""
    folder = output / f"{recipe.model.name}-{digest_recipe(recipe)}" / f"seed{seed}"
    return recipe.model_copy(update={"seed": seed, "output": folder})


def _tested_videos(recipe: ClassificationRecipe, test: str | os.PathLike[str] | None) -> LabeledSet:
    """The videos that are measured on: ``test``, or those that the recipe validates on.

    Raises:
        InputError: there are none.
    """
    if test is not None:
        return open_labeled_set(test, recipe.data.short_side)
    split = open_split(recipe.data)
    if not split.validation:
        raise InputError(
            f"{recipe.data.root} has no videos to validate on; set data.validation=0.2, or pass a test set"
        )
    return LabeledSet(str(recipe.data.root), split.classes, split.validation, split.unreadable)


def _measure(recipe: ClassificationRecipe, videos: LabeledSet) -> Scores:
    """Top-1 and top-5 accuracy in percent; kept in the folder of the training and not measured twice."""
    weights = recipe.output / WEIGHTS
    identity = read_metadata(weights)["sha256"]
    conditions: dict[str, Any] = {
        "model": identity,
        "protocol": asdict(PROTOCOL),
        "data": [videos.source, *(video.name for video in videos.videos)],
        "versions": versions(),
    }

    def compute() -> Scores:
        device = "cpu" if recipe.accelerator == "cpu" else "auto"
        accuracy = evaluate_recognition(weights, videos, PROTOCOL, device=device).accuracy
        return {"top1": 100 * accuracy.top1, "top5": 100 * accuracy.top5}

    return computed_once(recipe.output / f"accuracy-{identity[:10]}.json", conditions, compute)


def _result(plan: _Plan) -> AccuracyResult:
    summary = summarize(plan.recipe.model.outline(), COUNTED_CLIP)
    return AccuracyResult(
        row=plan.row,
        scores={},
        start={},
        recipe=plan.recipe.model_dump(mode="json", exclude={"output", "metadata", "seed"}),
        parameters=summary.parameters,
        macs=summary.macs,
        folder=plan.recipe.output.parent,
    )
