"""Denoising of frames that a program makes itself, as tensors: a moving gradient with noise.

    python examples/denoise_frames.py

Prints how far the frames are from the truth before and after. Tensors are R'G'B' in [0, 1], ``(3, H, W)``, of any
floating-point type and on any device; the output frames are like them.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ls3d import enhance

SIGMA = 25.0  # of 255
COUNT = 8


def clean(number: int) -> Tensor:
    """A picture that moves by two pixels from frame to frame."""
    x = torch.arange(96)[None, :] + 2 * number
    y = torch.arange(64)[:, None]
    waves = [torch.sin(x / (7 + channel)) * torch.cos(y / (9 - channel)) for channel in range(3)]
    return 0.5 + 0.4 * torch.stack(waves)


def camera() -> Iterator[Tensor]:
    """Frames with noise, one after the other."""
    generator = torch.Generator().manual_seed(0)
    for number in range(COUNT):
        yield clean(number) + SIGMA / 255 * torch.randn(3, 64, 96, generator=generator)


def psnr(frame: Tensor, number: int) -> float:
    """Peak signal-to-noise ratio of a frame, in dB."""
    return float(-10 * (frame - clean(number)).square().mean().log10())


if __name__ == "__main__":
    restored = enhance.denoise_frames(camera(), sigma=SIGMA, model="vdn")
    for number, (noisy, frame) in enumerate(zip(camera(), restored, strict=True)):
        print(f"frame {number}: {psnr(noisy, number):.1f} dB with noise, {psnr(frame, number):.1f} dB denoised")
