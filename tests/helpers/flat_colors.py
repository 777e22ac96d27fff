"""A network that tells flat colors apart, trained within seconds, and videos of flat colors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from helpers import videos
from ls3d.inference import normalize_clips
from ls3d.inference.classifier import preprocessing_of
from ls3d.models import ClipFormat, RecognitionNet, create_model, save_weights

#: Classes and their colors.
COLORS = {"red": (190, 40, 40), "green": (40, 190, 40), "blue": (40, 40, 190)}

#: Clips of one second.
CLIP = ClipFormat(4, 4.0, (16, 16), 1.0)


def write_color_network(path: Path) -> Path:
    """Train an 18-layer network of width 4 on noisy flat colors and write its weights file."""
    torch.manual_seed(0)
    network = create_model("r3d_18", num_classes=len(COLORS), width=4)
    assert isinstance(network, RecognitionNet)
    network.config = network.require_config().with_metadata(classes=list(COLORS), clip=CLIP.to_dict())
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(60):
        labels = torch.randint(len(COLORS), (12,))
        colors = torch.tensor(list(COLORS.values()), dtype=torch.float32)[labels]
        clips = colors.view(12, 3, 1, 1, 1) + 20 * torch.randn(12, 3, 4, 16, 16)
        loss = F.cross_entropy(network(normalize_clips(clips, preprocessing_of(network))), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return save_weights(network, path)


def color_at(frames_each: int) -> Callable[[int, int, int], videos.Image]:
    """Pictures that are red, green and blue in turn, each for a number of frames."""

    def picture(index: int, height: int, width: int) -> videos.Image:
        color = list(COLORS.values())[index // frames_each % len(COLORS)]
        return np.full((height, width, 3), color, np.uint8)

    return picture
