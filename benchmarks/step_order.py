"""The order of the steps of ``ls3d enhance``: what denoising and enlargement lose if they come later.

    python -P benchmarks/step_order.py CLIP... --output benchmarks/results/steps/order.json

Every second frame of a clip is reduced to a quarter of its size, and gets white Gaussian noise. The networks of `ls3d
enhance --denoise auto --upscale 4 --factor 2` run in several orders. Scores are PSNR in dB against the clip itself, in
RGB, without a border of 16 pixels, as mean over the frames.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from ls3d.enhance import denoise_frames, interpolate_frames, upscale_frames
from ls3d.environment import versions
from ls3d.nn.resize import imresize
from ls3d.video import VideoFile, to_rgb

_FRAMES = 9
_CROP = 352
_BORDER = 16

Step = Callable[[Sequence[Tensor]], list[Tensor]]


def read(path: Path) -> list[Tensor]:
    """The middle of the first frames, ``(3, H, W)`` in [0, 1], of sides divisible by 16."""
    video = VideoFile(path)
    height, width = (min(side, _CROP) // 16 * 16 for side in (video.info.height, video.info.width))
    top, left = (video.info.height - height) // 2, (video.info.width - width) // 2
    frames = itertools.islice(video.frames(), _FRAMES)
    made = [to_rgb(frame.picture, video.info.color, torch.device("cpu")).clamp(0, 1) for frame in frames]
    return [frame[:, top : top + height, left : left + width] for frame in made]


def degrade(frame: Tensor, sigma: float) -> Tensor:
    """A quarter of the size, with noise."""
    small = imresize(frame, (Fraction(1, 4), Fraction(1, 4)))
    return (small + sigma / 255 * torch.randn(small.shape)).clamp(0, 1)


def psnr(made: Sequence[Tensor], truth: Sequence[Tensor]) -> float:
    """Mean over frames."""
    inner = (..., slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER))
    errors = [((a.clamp(0, 1) - b)[inner] ** 2).mean() for a, b in zip(made, truth, strict=True)]
    return round(float(torch.stack([-10 * error.log10() for error in errors]).mean()), 2)


def run(steps: Sequence[Step], frames: list[Tensor]) -> list[Tensor]:
    """All steps in turn."""
    for step in steps:
        frames = step(frames)
    return frames


def measure(path: Path, sigma: float) -> dict[str, float]:
    """Scores of a clip: of the frames that are kept, and of the new ones."""
    torch.manual_seed(0)
    truth = read(path)
    given = [degrade(frame, sigma) for frame in truth[::2]]

    def denoise(frames: Sequence[Tensor]) -> list[Tensor]:
        return list(denoise_frames(frames, sigma="auto", cut_threshold=0))

    def upscale(frames: Sequence[Tensor]) -> list[Tensor]:
        return list(upscale_frames(frames, cut_threshold=0))

    def interpolate(frames: Sequence[Tensor]) -> list[Tensor]:
        return list(interpolate_frames(frames, factor=2, cut_threshold=0))

    chosen = run((denoise, upscale, interpolate), given)[:-1]
    interpolated_earlier = run((denoise, interpolate, upscale), given)[:-1]
    denoised_later = run((upscale, denoise), given)
    return {
        "new frames, enlarged before": psnr(chosen[1::2], truth[1::2]),
        "new frames, enlarged after": psnr(interpolated_earlier[1::2], truth[1::2]),
        "kept frames, denoised before": psnr(chosen[::2], truth[::2]),
        "kept frames, denoised after": psnr(denoised_later, truth[::2]),
    }


def main() -> None:
    """Measure clips and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--sigma", type=float, default=10)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    scores = {path.name: measure(path, arguments.sigma) for path in arguments.clips}
    names = next(iter(scores.values()))
    mean = {name: round(sum(score[name] for score in scores.values()) / len(scores), 2) for name in names}
    result = {"sigma": arguments.sigma, "frames": _FRAMES, "mean": mean, "clips": scores, "versions": versions()}
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
