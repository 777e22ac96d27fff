"""PSNR and SSIM of a finished run, on a published test set or on the clips that were held out from its training."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ls3d.data import Clip, get_data_set
from ls3d.data.clips import ArrayClip
from ls3d.environment import versions
from ls3d.errors import InputError
from ls3d.evaluation import Protocol, RestorationProtocol, evaluate
from ls3d.files import atomic_write
from ls3d.models import EnhancementNetwork, load_enhancement_model, read_metadata
from ls3d.reproduce.plan import Run
from ls3d.training.enhancement.loaders import held_out_windows, size_multiple, split_clips
from ls3d.training.enhancement.tasks import make_problem
from ls3d.training.recipe.schema import Recipe

COLUMNS = ("psnr", "ssim")


def measure(run: Run, test: Path | None) -> dict[str, float]:
    """The mean by column, ``psnr`` and ``ssim``; what was measured before is read from the run's folder.

    Args:
        run: finished.
        test: the folder of the published test set; None for the held-out clips.

    Raises:
        InputError: there is no such test set, or the recipe holds no clip out.
    """
    network = load_enhancement_model(run.weights)
    return _measured(run, network, network, read_metadata(run.weights)["sha256"], test)


def measure_weightless(run: Run, test: Path | None) -> tuple[str, dict[str, float]]:
    """The name of the model without weights for the run's task, and what it scores on the same frames."""
    trained = load_enhancement_model(run.weights)
    name = make_problem(run.recipe, trained).weightless
    return name, _measured(run, trained, load_enhancement_model(name), name, test)


def _measured(
    run: Run, trained: EnhancementNetwork, model: EnhancementNetwork, identity: str, test: Path | None
) -> dict[str, float]:
    """Measure ``model`` on what the ``trained`` network of the run is measured on."""
    protocol = run.column.protocol if test else _for_windows(run.column.protocol, trained)
    data = test or held_out_footage(run.recipe, trained)
    measured: dict[str, Any] = {
        "model": identity,
        "conditions": protocol.conditions(),
        "data": str(data.resolve()) if isinstance(data, Path) else [clip.name for clip in data],
        "versions": versions(),
    }
    measured = json.loads(json.dumps(measured))
    path = run.recipe.output / f"{protocol.name}-{identity[:10]}.json"
    if path.is_file():
        known = json.loads(path.read_text())
        if known["of"] == measured:
            return known["mean"]
    report = evaluate(model, protocol, data, device=device_of(run.recipe))
    mean = {column: report.mean[column] for column in COLUMNS}
    with atomic_write(path) as part:
        part.write_text(json.dumps({"of": measured, "mean": mean}, indent=2) + "\n")
    return mean


def _for_windows(protocol: Protocol, network: EnhancementNetwork) -> Protocol:
    """The protocol on windows of held-out clips: their own size, and of a restored window the middle frame."""
    own: dict[str, Any] = {"data_set": get_data_set("folder"), "size": None, "max_frames": None}
    if isinstance(protocol, RestorationProtocol):
        own["scored"] = (network.traits.frames_before,)
    return replace(protocol, name=f"{protocol.name}-held-out", **own)


def held_out_footage(recipe: Recipe, network: EnhancementNetwork) -> list[Clip]:
    """The windows that training validates on, as clips of a few frames.

    Raises:
        InputError: no clip is held out.
    """
    _, clips = split_clips(recipe.data)
    if not clips:
        raise InputError("no clip is held out: say data.held_out=4, or where the published test set is (--test)")
    windows = held_out_windows(recipe, clips, make_problem(recipe, network).frames, size_multiple(network))
    footage: list[Clip] = []
    for number, (clip, start) in enumerate(windows.windows):
        frames = windows[number]["frames"].permute(1, 2, 3, 0).numpy()
        footage.append(ArrayClip(f"{clip.name}, frame {start}", frames))
    return footage


def device_of(recipe: Recipe) -> str:
    """Where a recipe runs."""
    return "cuda" if recipe.accelerator != "cpu" and torch.cuda.is_available() else "cpu"


def published_folder(test: str | os.PathLike[str] | None, run: Run, several: bool) -> Path | None:
    """The published test set of a run: ``test`` itself or, for a table with several, the folder of its name there.

    None is for the held-out clips.
    """
    if test is None or not run.column.split:
        return None
    return Path(test) / run.column.measure if several else Path(test)
