"""``train``: from a recipe to a weights file."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ls3d.errors import InputError, require
from ls3d.models import Network, read_metadata, save_weights
from ls3d.training._folder import WEIGHTS, locked, start_over
from ls3d.training._network import build_network
from ls3d.training.identity import OtherTrainingError, is_same_recipe, require_same_recipe
from ls3d.training.processes import Processes, join_processes
from ls3d.training.recipe.sections import BaseRecipe
from ls3d.training.state import TrainingState, UnreadableStateError, newest_state

log = logging.getLogger(__name__)

_WAY_OUT = "restart the training, or set another output"


def train(recipe: BaseRecipe, resume: bool = True) -> Path:
    """Train a network. If training is interrupted, the same call resumes from the last state that was saved,
    unless it says ``resume=False``.

    A state is saved after every epoch, and when SIGTERM or Ctrl-C stops the training. A resumed training logs the same
    losses and gives the same weights as an uninterrupted one.

    Of processes that ``torchrun`` has started, each trains on its share of every batch, and the first one writes
    the files.

    Args:
        recipe: from ``load_recipe``.
        resume: continue from the state in ``recipe.output`` if there is one; False starts over. The weights file that
            is there becomes ``weights.previous.safetensors``. If that training is interrupted, a call that resumes
            continues it.

    Returns:
        The weights file, ``weights.safetensors`` in ``recipe.output``.

    Raises:
        InputError: the clips or the network do not fit the recipe, the loss or a weight is not finite, or
            ``recipe.output`` has no state that can be read, or another process is training there.
        OtherTrainingError: ``recipe.output`` holds a training of another recipe or on other clips.
        TrainingStoppedError: a signal stopped the training; its state is saved.
        MissingExtraError: the packages of the extra ``train`` are not installed.
    """
    processes = join_processes(on_cpu=recipe.accelerator == "cpu")
    with ExitStack() as stack:
        processes.run(lambda: stack.enter_context(locked(recipe.output)) if processes.is_main else None)
        return _train(recipe, resume, processes)


def _train(recipe: BaseRecipe, resume: bool, processes: Processes) -> Path:
    """Train in a locked folder; return the weights file."""
    weights = recipe.output / WEIGHTS
    conditions = recipe.conditions()
    state = None
    if resume:
        recorded = processes.run(lambda: _recorded_recipe(weights))
        if is_same_recipe(recorded, conditions):
            log.info("%s is already trained", weights)
            return weights
        state = processes.run(lambda: _state_of(recipe, recorded))
    require("lightning", "train")
    # Lightning takes seconds to import.
    from lightning.pytorch import seed_everything

    from ls3d.training._trainer import fit

    seed_everything(recipe.seed, verbose=False)
    network = processes.run(lambda: build_network(recipe))
    try:
        task = processes.run(lambda: recipe.training_task(network))
        if not resume and processes.is_main:
            start_over(recipe.output)
        scores = fit(recipe, task, network, state, processes)
    except OtherTrainingError as error:
        raise OtherTrainingError(f"{error}; {_WAY_OUT}") from error
    metadata = {**recipe.metadata, **task.metadata(), "recipe": conditions, "metrics": scores}
    if recipe.optimization.offset_limit:
        metadata["offset_limit"] = recipe.optimization.offset_limit
    if recipe.is_sharded and processes.count > 1:
        network = _gathered(recipe, network)
    if processes.is_main:
        save_weights(network, weights, half=recipe.half_weights, steps=recipe.optimization.steps, **metadata)
    return processes.run(lambda: weights)  # not before it is there


def _gathered(recipe: BaseRecipe, network: Network) -> Network:
    """The network with its whole parameters, in the first process; all processes must call this."""
    from ls3d.training._sharding import whole_state

    state = whole_state(network)
    whole = build_network(recipe)
    if state:
        whole.load_state_dict(state)
    return whole


def _recorded_recipe(weights: Path) -> Any:
    """Return the recipe of the weights file, None if there is none or it can't be read."""
    if not weights.exists():
        return None
    try:
        return read_metadata(weights).get("recipe")
    except InputError as error:
        log.warning("%s; it will be replaced", error)
        return None


def _state_of(recipe: BaseRecipe, finished: Any) -> TrainingState | None:
    """Return the state from which a recipe resumes.

    Args:
        recipe: what to train.
        finished: the recipe of the weights file, None if there is none.

    Raises:
        OtherTrainingError: the state, or without one the weights file, is of another recipe.
        InputError: no state can be read.
    """
    conditions = recipe.conditions()
    try:
        state = newest_state(recipe.output)
        found = state.identity.get("recipe") if state is not None else finished
        if found is not None or state is not None:
            require_same_recipe(recipe.output, found, conditions)
    except OtherTrainingError as error:
        raise OtherTrainingError(f"{error}; {_WAY_OUT}") from error
    except UnreadableStateError as error:
        raise InputError(f"{error}; {_WAY_OUT}") from error
    return state
