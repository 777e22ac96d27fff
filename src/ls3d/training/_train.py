"""Run a recipe with Lightning: resume what was begun, validate, write weights at the end."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ls3d.errors import InputError, require
from ls3d.models import create_model, load_model, read_metadata, save_weights
from ls3d.nn import LS3DConv3d, limit_offsets
from ls3d.training.recipe.schema import Recipe

log = logging.getLogger(__name__)

CHECKPOINT = "last.ckpt"
WEIGHTS = "weights.safetensors"


def train(recipe: Recipe, resume: bool = True) -> Path:
    """Train as the recipe says; killed, the same call goes on from the last finished epoch to the same losses.

    Args:
        recipe: from ``load_recipe``.
        resume: go on from ``output/last.ckpt`` if it is there; otherwise start anew.

    Returns:
        The weights file, ``output/weights.safetensors``.

    Raises:
        InputError: the clips or the network don't fit the recipe, or the loss is not finite.
        MissingExtraError: the packages of the extra ``train`` are not installed.
    """
    weights = recipe.output / WEIGHTS
    described = recipe.model_dump(mode="json", exclude={"facts"})
    if resume and weights.is_file() and read_metadata(weights).get("recipe") == described:
        log.info("%s is trained already", weights)
        return weights
    require("lightning", "train")
    import lightning.pytorch as lightning

    from ls3d.training.enhancement.loaders import loaders, size_multiple
    from ls3d.training.enhancement.module import EnhancementTask
    from ls3d.training.enhancement.tasks import make_problem

    lightning.seed_everything(recipe.seed, verbose=False)
    model = _build(recipe)
    if recipe.optimization.offset_limit:
        if not any(isinstance(layer, LS3DConv3d) for layer in model.modules()):
            raise InputError(f"optimization.offset_limit is set, but {recipe.model.name} has no LS3DConv3d to bound")
        limit_offsets(model, recipe.optimization.offset_limit)
    problem = make_problem(recipe, model)
    if recipe.channels_last:
        _channels_last(model)
    task = EnhancementTask(model, problem, recipe.optimization, recipe.seed, recipe.compile)
    # Lightning counts an epoch too many after a resume; steps it counts right.
    drawn = lambda: task.global_step * recipe.optimization.batch_size  # noqa: E731
    training, validation = loaders(recipe, problem.frames, size_multiple(model), drawn)
    trainer = _trainer(recipe)
    checkpoint = recipe.output / CHECKPOINT
    if not resume:
        checkpoint.unlink(missing_ok=True)
    _fit(trainer, task, training, validation, checkpoint)
    # Those of the whole network, not of its layers.
    scores = {name: round(float(value), 3) for name, value in trainer.callback_metrics.items() if "/" not in name}
    facts = {**recipe.facts, "recipe": described, "metrics": scores}
    if recipe.optimization.offset_limit:
        facts["offset_limit"] = recipe.optimization.offset_limit
    return save_weights(model, weights, half=recipe.half_weights, steps=recipe.optimization.steps, **facts)


def _fit(trainer: Any, task: Any, training: Any, validation: Any, checkpoint: Path) -> None:
    """Train from the checkpoint on, if there is one, to the last step."""
    # The moving average lies where the task lies when training begins.
    task.to(trainer.strategy.root_device)
    # The checkpoint is our own file; Lightning's holds more than tensors.
    known = torch.load(checkpoint, map_location="cpu", weights_only=False) if checkpoint.exists() else None
    if known and known["global_step"] >= trainer.max_steps:
        # Stopped between the last step and the weights: Lightning would leave the averaged ones in the checkpoint.
        task.load_state_dict(known["state_dict"])
        if validation:
            trainer.validate(task, validation, verbose=False)
        return
    if known:
        log.info("going on from %s", checkpoint)
    trainer.fit(task, training, validation, ckpt_path=str(checkpoint) if known else None, weights_only=False)


def _build(recipe: Recipe) -> Any:
    if recipe.model.weights is None:
        return create_model(recipe.model.name, **recipe.model.arguments)
    model = load_model(recipe.model.weights).train()
    config = model.require_config()
    if (config.architecture, config.arguments) != (recipe.model.name, recipe.model.arguments):
        raise InputError(
            f"{recipe.model.weights} holds {config.architecture} {config.arguments}, "
            f"the recipe asks for {recipe.model.name} {recipe.model.arguments}"
        )
    return model


def _channels_last(model: nn.Module) -> None:
    """Keep the weights of convolutions channels-last, in 2D and in 3D; ``Module.to`` can do only one of the two."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in model.parameters():
        if parameter.dim() in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.dim()])


def _trainer(recipe: Recipe) -> Any:
    import lightning.pytorch as lightning
    from lightning.pytorch.callbacks import (
        Callback,
        EMAWeightAveraging,
        LearningRateMonitor,
        ModelCheckpoint,
        RichProgressBar,
    )
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    from ls3d.training.callbacks import OffsetGuard, PictureLog

    output, options = recipe.output, recipe.optimization
    output.mkdir(parents=True, exist_ok=True)
    callbacks: list[Callback] = [
        ModelCheckpoint(
            output, filename="last", every_n_epochs=1, save_on_train_epoch_end=True, enable_version_counter=False
        ),
        LearningRateMonitor("step"),
        RichProgressBar(),
        PictureLog(),
    ]
    if options.offset_every:
        callbacks.append(OffsetGuard(options.offset_every, options.offset_warning))
    if options.ema:
        # Without a single update the average would be what training started from.
        first = min(options.warm_up, options.steps - 1)
        callbacks.append(EMAWeightAveraging(decay=options.ema, update_starting_at_step=first))
    return lightning.Trainer(
        accelerator=recipe.accelerator,
        devices=1,  # samples and noise are numbered for one process
        precision=recipe.precision,
        max_steps=options.steps,
        gradient_clip_val=options.clip_gradient,
        callbacks=callbacks,
        logger=[CSVLogger(output, "log"), TensorBoardLogger(output, "", version="tensorboard")],
        log_every_n_steps=10,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        default_root_dir=output,
    )
