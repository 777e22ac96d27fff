"""The Lightning trainer of a recipe, its training states, and how it resumes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
from lightning.pytorch.callbacks import (
    Callback,
    EMAWeightAveraging,
    LearningRateMonitor,
    ModelCheckpoint,
    RichProgressBar,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.strategies import DDPStrategy, Strategy

from ls3d._version import __version__
from ls3d.models import Network
from ls3d.training._sharding import ShardedStrategy
from ls3d.training._synchronized_norms import synchronize_norms
from ls3d.training.callbacks import OffsetGuard
from ls3d.training.identity import identity, require_same_data
from ls3d.training.interruption import StopOnSignal
from ls3d.training.processes import SINGLE, Processes
from ls3d.training.recipe.sections import BaseRecipe, OptimizationSection
from ls3d.training.state import NEWEST, TrainingState, load_state, save_state
from ls3d.training.task import Loaders, TrainingTask

log = logging.getLogger(__name__)


class StateFiles(CheckpointIO):
    """Lets Lightning write and read training states.

    Args:
        identity: what the states record of the training.
    """

    def __init__(self, identity: Mapping[str, Any]) -> None:
        self.identity = identity

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a state."""
        save_state(checkpoint, Path(path), self.identity)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a state; its tensors are on the CPU."""
        return load_state(Path(path)).values

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a state."""
        Path(path).unlink(missing_ok=True)


def fit(
    recipe: BaseRecipe,
    task: TrainingTask,
    network: Network,
    state: TrainingState | None,
    processes: Processes = SINGLE,
) -> dict[str, float]:
    """Train ``network``, which belongs to ``task``.

    Args:
        recipe: what to train.
        task: its samples and its loss.
        network: what is trained.
        state: from which to resume; None starts from the beginning.
        processes: that train it.

    Returns:
        The last value of everything that was logged, except for single layers.

    Raises:
        OtherTrainingError: the clips are not those that ``state`` was trained on.
        TrainingStoppedError: a signal stopped the training; its state is saved.
    """
    module = task.module(processes)

    def samples_used() -> int:
        # After a resume, Lightning counts an epoch too many; its steps are right.
        return module.global_step * recipe.optimization.batch_size

    loaders = processes.run(lambda: task.loaders(samples_used, processes), main_first=True)
    if state is not None:
        processes.run(lambda: _require_state_fits(recipe, state, loaders))
    recipe.output.mkdir(parents=True, exist_ok=True)
    stop = StopOnSignal(recipe.output / NEWEST, processes)
    files = StateFiles(identity(recipe.conditions(), loaders.data))
    trainer = _trainer(recipe, [*_callbacks(recipe, network), *task.callbacks(), stop], files, processes)
    # The moving average is created on the module's device when training begins.
    module.to(trainer.strategy.root_device)
    if processes.count > 1:
        synchronize_norms(module, trainer.strategy.root_device)
    if state is not None and state.values["global_step"] >= recipe.optimization.steps:
        # Stopped between the last step and the weights. Lightning would not load the averaged weights.
        module.load_state_dict(state.values["state_dict"])
        if loaders.validation:
            trainer.validate(module, loaders.validation, verbose=False)
    else:
        if state is not None and processes.is_main:
            log.info("resuming from %s", state.path)
        with stop.installed(), warnings.catch_warnings():
            # Samples depend on the step alone, so that stopping within an epoch is no problem.
            warnings.filterwarnings("ignore", ".*ended before the epoch ended.*")
            # What torch 2.13 has instead is not in torch 2.11.
            warnings.filterwarnings("ignore", ".*broadcast_buffers.*")
            path = None if state is None else str(state.path)
            trainer.fit(module, loaders.training, loaders.validation, ckpt_path=path)
    return {name: round(float(value), 3) for name, value in trainer.callback_metrics.items() if "/" not in name}


def _require_state_fits(recipe: BaseRecipe, state: TrainingState, loaders: Loaders) -> None:
    """Check that a state is of the same clips; warn if it is of another version.

    Raises:
        OtherTrainingError: the clips have changed.
    """
    require_same_data(recipe.output, state.identity.get("data"), loaders.data)
    version = state.identity.get("version")
    if version != __version__:
        log.warning("%s was written by ls3d %s; this is %s", state.path, version, __version__)


def _trainer(
    recipe: BaseRecipe, callbacks: list[Callback], files: StateFiles, processes: Processes
) -> lightning.Trainer:
    output = recipe.output
    return lightning.Trainer(
        accelerator=recipe.accelerator,
        devices=processes.local_count,
        num_nodes=processes.count // processes.local_count,
        strategy=_strategy(recipe, processes),
        use_distributed_sampler=False,
        precision=recipe.precision,
        max_steps=recipe.optimization.steps,
        accumulate_grad_batches=recipe.accumulate,
        gradient_clip_val=recipe.optimization.clip_gradient,
        callbacks=callbacks,
        plugins=[files],
        logger=[CSVLogger(output, "log"), TensorBoardLogger(output, "", version="tensorboard")],
        log_every_n_steps=10,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        default_root_dir=output,
    )


def _strategy(recipe: BaseRecipe, processes: Processes) -> Strategy | str:
    if processes.count == 1:
        return "auto"
    # The statistics of normalizations are the same in all processes.
    return ShardedStrategy(processes) if recipe.is_sharded else DDPStrategy(broadcast_buffers=False)


def _callbacks(recipe: BaseRecipe, network: Network) -> list[Callback]:
    options = recipe.optimization
    callbacks: list[Callback] = [_checkpoints(recipe.output), LearningRateMonitor("step"), RichProgressBar()]
    if options.offset_every:
        callbacks.append(OffsetGuard(network, options.offset_every, options.offset_warning, recipe.compile))
    if options.ema:
        callbacks.append(_moving_average(options))
    return callbacks


def _checkpoints(folder: Path) -> ModelCheckpoint:
    """One file, replaced after every epoch; ``save_state`` keeps the one before."""
    stem = Path(NEWEST).stem
    return ModelCheckpoint(
        folder, filename=stem, every_n_epochs=1, save_on_train_epoch_end=True, enable_version_counter=False
    )


def _moving_average(options: OptimizationSection) -> EMAWeightAveraging:
    # Updated at least once: before that, the average is the initial weights.
    first = min(options.warm_up, options.steps - 1)
    return EMAWeightAveraging(decay=options.ema, update_starting_at_step=first)
