"""``train``: from a recipe to a weights file."""

from __future__ import annotations

import logging
from pathlib import Path

from ls3d.errors import require
from ls3d.models import read_metadata, save_weights
from ls3d.training._network import build_network
from ls3d.training.recipe.sections import BaseRecipe

log = logging.getLogger(__name__)

WEIGHTS = "weights.safetensors"


def train(recipe: BaseRecipe, resume: bool = True) -> Path:
    """Train a network. If training is interrupted, the same call resumes from the last finished epoch.

    A resumed training logs the same losses and gives the same weights as an uninterrupted one.

    Args:
        recipe: from ``load_recipe``.
        resume: continue from the checkpoint in ``recipe.output`` if there is one; False starts over.

    Returns:
        The weights file, ``weights.safetensors`` in ``recipe.output``.

    Raises:
        InputError: the clips or the network do not fit the recipe, or the loss is not finite.
        MissingExtraError: the packages of the extra ``train`` are not installed.
    """
    weights = recipe.output / WEIGHTS
    conditions = recipe.conditions()
    if resume and weights.is_file() and read_metadata(weights).get("recipe") == conditions:
        log.info("%s is already trained", weights)
        return weights
    require("lightning", "train")
    # Lightning takes seconds to import.
    from lightning.pytorch import seed_everything

    from ls3d.training._trainer import CHECKPOINT, fit

    if not resume:
        (recipe.output / CHECKPOINT).unlink(missing_ok=True)
    seed_everything(recipe.seed, verbose=False)
    network = build_network(recipe)
    scores = fit(recipe, recipe.training_task(network), network)
    metadata = {**recipe.metadata, "recipe": conditions, "metrics": scores}
    if recipe.optimization.offset_limit:
        metadata["offset_limit"] = recipe.optimization.offset_limit
    return save_weights(network, weights, half=recipe.half_weights, steps=recipe.optimization.steps, **metadata)
