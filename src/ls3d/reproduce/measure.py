"""PSNR and SSIM of a finished run, on a published test set or on the clips that were held out from its training."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ls3d.data import Clip, get_data_set
from ls3d.data.clips import ArrayClip
from ls3d.environment import versions
from ls3d.errors import InputError
from ls3d.evaluation import Protocol, RestorationProtocol, evaluate
from ls3d.files import write_json
from ls3d.inference import resolve_device
from ls3d.models import EnhancementNetwork, load_enhancement_model, read_metadata
from ls3d.reproduce.plan import TrainingRun
from ls3d.training import AnyEnhancementRecipe

COLUMNS = ("psnr", "ssim")

Scores = dict[str, float]


def measure(run: TrainingRun, test: Path | None) -> Scores:
    """The means ``psnr`` and ``ssim`` of a run; results are kept in its folder and not measured twice.

    Args:
        run: finished.
        test: folder of the published test set; None measures on the held-out clips.

    Raises:
        InputError: the test set does not exist, or the recipe holds no clip out.
    """
    network = load_enhancement_model(run.weights)
    return _measure(run, network, network, read_metadata(run.weights)["sha256"], test)


def measure_weightless(run: TrainingRun, test: Path | None) -> tuple[str, Scores]:
    """The name of the weightless network for the run's task, and its scores on the same frames."""
    trained = load_enhancement_model(run.weights)
    weightless = run.recipe.training_task(trained).pairs.weightless
    return weightless.name, _measure(run, trained, weightless, weightless.name, test)


def _measure(
    run: TrainingRun, trained: EnhancementNetwork, network: EnhancementNetwork, identity: str, test: Path | None
) -> Scores:
    """Measure ``network`` on the frames on which the ``trained`` network of the run is measured."""
    protocol = run.column.protocol if test else _protocol_for_windows(run.column.protocol, trained)
    data = test or held_out_clips(run.recipe, trained)
    conditions = {
        "model": identity,
        "conditions": protocol.conditions(),
        "data": str(data.resolve()) if isinstance(data, Path) else [clip.name for clip in data],
        "versions": versions(),
    }

    def compute() -> Scores:
        mean = evaluate(network, protocol, data, device=device_of(run.recipe)).mean
        return {column: mean[column] for column in COLUMNS}

    return computed_once(run.recipe.output / f"{protocol.name}-{identity[:10]}.json", conditions, compute)


def computed_once(path: Path, conditions: dict[str, Any], compute: Callable[[], Scores]) -> Scores:
    """The scores in a JSON file if they were measured under the same conditions, else new ones, which are kept there.

    The journal of ``evaluate`` does not replace this: it is deleted when an evaluation is finished.
    """
    conditions = json.loads(json.dumps(conditions))
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["of"] == conditions:
            scores: Scores = kept["mean"]
            return scores
    scores = compute()
    write_json(path, {"of": conditions, "mean": scores})
    return scores


def _protocol_for_windows(protocol: Protocol, network: EnhancementNetwork) -> Protocol:
    """The protocol for windows of held-out clips: of any size, and scoring the middle frame of a restored window."""
    changes: dict[str, Any] = {"data_set": get_data_set("folder"), "size": None, "max_frames": None}
    if isinstance(protocol, RestorationProtocol):
        changes["scored"] = (network.traits.frames_before,)
    return replace(protocol, name=f"{protocol.name}-held-out", **changes)


def held_out_clips(recipe: AnyEnhancementRecipe, network: EnhancementNetwork) -> list[Clip]:
    """The windows that training validates on, each as a clip of a few frames.

    Raises:
        InputError: no clip is held out.
    """
    windows = recipe.training_task(network).held_out_windows()
    if windows is None:
        raise InputError("no held-out clips: set data.held_out=4, or pass the published test set")
    clips: list[Clip] = []
    for number, (clip, start) in enumerate(windows.windows):
        frames = windows[number]["frames"].permute(1, 2, 3, 0).numpy()
        clips.append(ArrayClip(f"{clip.name}, frame {start}", frames))
    return clips


def device_of(recipe: AnyEnhancementRecipe) -> torch.device:
    """The device on which a recipe trains."""
    return resolve_device("cpu" if recipe.accelerator == "cpu" else "auto")


def published_folder(test: str | os.PathLike[str] | None, run: TrainingRun, several: bool) -> Path | None:
    """The published test set of a run.

    Args:
        test: folder of the test set, or of all test sets of the table.
        run: the run.
        several: whether the table has several test sets: then they are folders in ``test``, named after protocols.

    Returns:
        None if the run is measured on held-out clips.
    """
    if test is None or not run.column.has_test_set:
        return None
    return Path(test) / run.column.protocol_name if several else Path(test)
