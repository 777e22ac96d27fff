"""The values of a recipe for a set of videos and a network, for those who write no recipe."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ls3d.data.labeled import LabeledSet, open_labeled_set
from ls3d.errors import InputError
from ls3d.inference.classifier import clip_format
from ls3d.models import ClipFormat, RecognitionNet, create_model, load_model
from ls3d.models.downloads import DOWNLOADS
from ls3d.models.loading import find_weights

_BATCH = 16
_EPOCHS = 30
_MOST_EPOCH_STEPS = 500

#: Largest number of bytes of decoded frames that are kept in memory.
_MEMORY = 1 << 30

_SIDES = re.compile(r"(^|[\W_])(left|right)([\W_]|$)", re.IGNORECASE)


def default_values(data: str, model: str) -> dict[str, Any]:
    """Return the values of a recipe that trains a network on a set of videos.

    Args:
        data: as for ``open_labeled_set``.
        model: as for ``load_model``: its weights are fine-tuned: the classifier is replaced, and layers near the input
            learn more slowly. A network for which no weights can be downloaded starts from random ones.

    Raises:
        InputError: there are no videos, the network doesn't classify clips, or its weights must be downloaded first.
        FileNotFoundError: there is no such weights file.
    """
    labeled = open_labeled_set(data)
    weights = find_weights(model)
    network = create_model(model) if weights is None and model not in DOWNLOADS else load_model(weights or model)
    if not isinstance(network, RecognitionNet):
        raise InputError(f"{model} is a network for {network.traits.task}, expected one for recognition")
    config = network.require_config()
    clip = clip_format(network)
    arguments = {**config.arguments, "num_classes": len(labeled.classes)}
    steps = max(1, -(-len(labeled.videos) // _BATCH))
    return {
        "kind": "classification",
        "model": {
            "name": config.architecture,
            "arguments": arguments,
            "weights": None if weights is None else os.fspath(weights),
        },
        "data": {"root": data, **_clips(labeled, clip)},
        "optimization": {
            "steps": _EPOCHS * steps,
            "batch_size": _BATCH,
            "warm_up": 2 * steps,
            "label_smoothing": 0.1,
            "layer_decay": 1.0 if weights is None else 0.7,
        },
        "steps_per_epoch": min(steps, _MOST_EPOCH_STEPS),
        "output": f"runs/{Path(data).resolve().stem}_{Path(model).stem}",
    }


def has_sides(classes: tuple[str, ...]) -> bool:
    """Whether a class is named left or right, so that clips must not be mirrored."""
    return any(_SIDES.search(name) for name in classes)


def _clips(labeled: LabeledSet, clip: ClipFormat) -> dict[str, Any]:
    short_side = round(min(clip.size) / 0.7)
    frames = sum(video.frames.duration for video in labeled.videos) * clip.fps
    in_memory = 3 * frames * short_side * short_side * 16 / 9 < _MEMORY
    return {
        "frames": clip.frames,
        "fps": clip.fps,
        "size": list(clip.size),
        "test_share": clip.share,
        "flip": not has_sides(labeled.classes),
        "short_side": short_side,
        "decoded_rate": clip.fps if in_memory else None,
    }
