"""The Lightning trainer of a recipe, and how it resumes."""

from __future__ import annotations

import logging
from pathlib import Path

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EMAWeightAveraging,
    LearningRateMonitor,
    ModelCheckpoint,
    RichProgressBar,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from ls3d.models import Network
from ls3d.training.callbacks import OffsetGuard
from ls3d.training.recipe.sections import BaseRecipe, OptimizationSection
from ls3d.training.task import TrainingTask

log = logging.getLogger(__name__)

CHECKPOINT = "last.ckpt"


def fit(recipe: BaseRecipe, task: TrainingTask, network: Network) -> dict[str, float]:
    """Train ``network``, which belongs to ``task``, from the last checkpoint on if there is one.

    Returns:
        The last value of everything that was logged, except for single layers.
    """
    module = task.module()

    def samples_used() -> int:
        # After a resume, Lightning counts an epoch too many; its steps are right.
        return module.global_step * recipe.optimization.batch_size

    loaders = task.loaders(samples_used)
    recipe.output.mkdir(parents=True, exist_ok=True)
    trainer = _trainer(recipe, [*_callbacks(recipe, network), *task.callbacks()])
    # The moving average is created on the module's device when training begins.
    module.to(trainer.strategy.root_device)
    checkpoint = recipe.output / CHECKPOINT
    # Lightning's checkpoints hold more than tensors; this one was written by an earlier call.
    state = torch.load(checkpoint, map_location="cpu", weights_only=False) if checkpoint.exists() else None
    if state and state["global_step"] >= recipe.optimization.steps:
        # Stopped between the last step and the weights. Lightning would not load the averaged weights.
        module.load_state_dict(state["state_dict"])
        if loaders.validation:
            trainer.validate(module, loaders.validation, verbose=False)
    else:
        if state:
            log.info("resuming from %s", checkpoint)
        path = str(checkpoint) if state else None
        trainer.fit(module, loaders.training, loaders.validation, ckpt_path=path, weights_only=False)
    return {name: round(float(value), 3) for name, value in trainer.callback_metrics.items() if "/" not in name}


def _trainer(recipe: BaseRecipe, callbacks: list[Callback]) -> lightning.Trainer:
    output = recipe.output
    return lightning.Trainer(
        accelerator=recipe.accelerator,
        devices=1,  # samples and noise are numbered for one process
        precision=recipe.precision,
        max_steps=recipe.optimization.steps,
        gradient_clip_val=recipe.optimization.clip_gradient,
        callbacks=callbacks,
        logger=[CSVLogger(output, "log"), TensorBoardLogger(output, "", version="tensorboard")],
        log_every_n_steps=10,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        default_root_dir=output,
    )


def _callbacks(recipe: BaseRecipe, network: Network) -> list[Callback]:
    options = recipe.optimization
    callbacks: list[Callback] = [_checkpoints(recipe.output), LearningRateMonitor("step"), RichProgressBar()]
    if options.offset_every:
        callbacks.append(OffsetGuard(network, options.offset_every, options.offset_warning, recipe.compile))
    if options.ema:
        callbacks.append(_moving_average(options))
    return callbacks


def _checkpoints(folder: Path) -> ModelCheckpoint:
    """One file, replaced after every epoch."""
    stem = Path(CHECKPOINT).stem
    return ModelCheckpoint(
        folder, filename=stem, every_n_epochs=1, save_on_train_epoch_end=True, enable_version_counter=False
    )


def _moving_average(options: OptimizationSection) -> EMAWeightAveraging:
    # Updated at least once: before that, the average is the initial weights.
    first = min(options.warm_up, options.steps - 1)
    return EMAWeightAveraging(decay=options.ema, update_starting_at_step=first)
