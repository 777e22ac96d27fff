"""Interpolation along DIS optical flow (Kroeger et al., ECCV 2016), as OpenCV has it, as a peer of the networks.

    python -P benchmarks/dis.py UCF101 --protocol ucf101 --output benchmarks/results/interpolation/dis_ucf101.json

Needs opencv-python-headless. The flows from the new frame are made of those between the two given ones as in
Super SloMo (Jiang et al., CVPR 2018, equation 4); both frames are sampled along them and averaged by their distance.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ls3d.evaluation import evaluate
from ls3d.models.network import QUARTERS, EnhancementTraits, InterpolationNetwork


class DisInterpolation(InterpolationNetwork):
    """Samples both frames along flows of the preset "medium"."""

    name = "dis"
    traits = EnhancementTraits.interpolation(size_multiple=1, times="any", value_range=(0.0, 1.0))

    def forward(self, frames: Tensor, times: Sequence[float] | None = None) -> Tensor:
        """See ``InterpolationNetwork.forward``."""
        wanted = QUARTERS if times is None else times
        return torch.stack([torch.stack([_at(pair, time) for time in wanted], dim=1) for pair in frames])


def _at(pair: Tensor, time: float) -> Tensor:
    """The frame ``(3, H, W)`` between ``pair (3, 2, H, W)``."""
    first, second = pair.unbind(1)
    forward, backward = _flow(first, second), _flow(second, first)
    to_first = -(1 - time) * time * forward + time**2 * backward
    to_second = (1 - time) ** 2 * forward - time * (1 - time) * backward
    return (1 - time) * _warp(first, to_first) + time * _warp(second, to_second)


def _flow(first: Tensor, second: Tensor) -> Tensor:
    """The flow ``(H, W, 2)``, (x, y) in pixels, by which ``first`` moves to ``second``."""
    images = [(frame.permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy() for frame in (first, second)]
    gray = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return torch.from_numpy(np.asarray(method.calc(gray[0], gray[1], None)))


def _warp(frame: Tensor, flow: Tensor) -> Tensor:
    height, width = frame.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    position = torch.stack([x, y], dim=-1) + flow
    grid = 2 * position / (torch.tensor([width, height]) - 1) - 1
    return F.grid_sample(frame[None], grid[None], mode="bicubic", padding_mode="border", align_corners=True)[0]


def main() -> None:
    """Evaluate under one protocol."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--protocol", required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    report = evaluate(DisInterpolation(), options.protocol, options.data, json_path=options.output, device="cpu")
    print(report.mean)


if __name__ == "__main__":
    main()
