"""Degradations of the published test sets: they turn true frames into the input of a network.

Super-resolution: ``bi`` and ``bd``, a quarter of the size. Denoising: Gaussian noise in both conventions, either float
and unclipped (FastDVDnet and later papers) or rounded and clipped to 8 bit (TOFlow), and TOFlow's mixed noise. The
noise of a frame depends only on the clip's name and the frame's index, so any frame can be made on its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor

from ls3d.data.lookup import look_up
from ls3d.nn.resize import imresize

#: Degrades a frame ``(3, H, W)`` in [0, 1]; the generator is seeded for this frame.
FrameFunction = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Degradation:
    """A degradation of frames.

    Attributes:
        name: the key in ``DEGRADATIONS``.
        description: one phrase for reports.
        function: degrades one frame.
        scale: factor by which height and width are reduced.
        sigma: standard deviation of the noise in 8-bit values, 0 without noise.
    """

    name: str
    description: str
    function: FrameFunction
    scale: int = 1
    sigma: float = 0.0

    def crop(self, frame: Tensor) -> Tensor:
        """Crop a true frame ``(3, H, W)`` at the bottom and the right, so that ``scale`` divides its size."""
        height, width = (side // self.scale * self.scale for side in frame.shape[-2:])
        return frame[..., :height, :width]

    def __call__(self, frame: Tensor, clip: str = "", index: int = 0) -> Tensor:
        """Degrade one frame.

        Args:
            frame: ``(3, H, W)`` in [0, 1], floating point.
            clip: name of the clip, which seeds the noise together with ``index``.
            index: index of the frame in the clip.

        Returns:
            ``(3, H / scale, W / scale)``, of the same dtype.
        """
        digest = hashlib.blake2b(f"{clip}\0{index}".encode(errors="surrogateescape"), digest_size=7).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest, "little"))
        return self.function(self.crop(frame), generator)


def bicubic_down(frame: Tensor, generator: torch.Generator) -> Tensor:
    """BI: MATLAB's bicubic ``imresize`` to a quarter with antialiasing, rounded to 8 bit."""
    return _quantize(imresize(frame.double(), Fraction(1, 4))).to(frame.dtype)


def blur_down(frame: Tensor, generator: torch.Generator) -> Tensor:
    """BD: a Gaussian of sigma 1.6 (13 x 13, borders reflected), then every fourth pixel, rounded to 8 bit."""
    distance = torch.arange(-6, 7, dtype=torch.float64, device=frame.device)
    weights = torch.exp(-distance.square() / (2 * 1.6**2))
    weights /= weights.sum()
    padded = F.pad(frame.double()[:, None], (6, 6, 6, 6), mode="reflect")
    columns = F.conv2d(padded, weights.view(1, 1, 1, 13), stride=(1, 4))
    return _quantize(F.conv2d(columns, weights.view(1, 1, 13, 1), stride=(4, 1))[:, 0]).to(frame.dtype)


def float_noise(sigma: float) -> FrameFunction:
    """White Gaussian noise, neither clipped nor rounded: the convention of FastDVDnet, VRT and others."""

    def add(frame: Tensor, generator: torch.Generator) -> Tensor:
        return frame + torch.randn(frame.shape, generator=generator, dtype=frame.dtype) * (sigma / 255)

    return add


def quantized_noise(sigma: float) -> FrameFunction:
    """White Gaussian noise rounded to integers, the sum clipped to 8 bit: TOFlow's ``addnoise.m``."""

    def add(frame: Tensor, generator: torch.Generator) -> Tensor:
        noise = (torch.randn(frame.shape, generator=generator, dtype=torch.float64) * sigma).round()
        return _quantize(frame.double() + noise / 255).to(frame.dtype)

    return add


def mixed_noise(frame: Tensor, generator: torch.Generator) -> Tensor:
    """TOFlow's mixed noise: sigma 25.5, quantized, then every tenth pixel replaced by a random color."""
    noisy = quantized_noise(25.5)(frame, generator)
    replaced = torch.rand(frame.shape[-2:], generator=generator) < 0.1
    colors = torch.randint(0, 256, frame.shape, generator=generator).to(frame.dtype) / 255
    return torch.where(replaced, colors, noisy)


def _quantize(frame: Tensor) -> Tensor:
    """Clip to [0, 1] and round to 8 bit, as a PNG file would."""
    return (frame.clamp(0, 1) * 255).round() / 255


#: Every degradation by name.
DEGRADATIONS: dict[str, Degradation] = {
    degradation.name: degradation
    for degradation in (
        Degradation("bi", "x1/4 by MATLAB's bicubic imresize (BI)", bicubic_down, scale=4),
        Degradation("bd", "x1/4 by Gaussian blur 1.6 and every fourth pixel (BD)", blur_down, scale=4),
        Degradation("mixed", "TOFlow's mixed noise, 8 bit", mixed_noise, sigma=25.5),
        *(
            Degradation(f"noise-{sigma}", f"Gaussian noise {sigma}, float", float_noise(sigma), sigma=sigma)
            for sigma in (10, 15, 20, 25, 30, 40, 50)
        ),
        *(
            Degradation(f"noise8-{sigma}", f"Gaussian noise {sigma}, 8 bit", quantized_noise(sigma), sigma=sigma)
            for sigma in (15, 25, 50)
        ),
    )
}


def get_degradation(name: str) -> Degradation:
    """Look up a degradation.

    Raises:
        InputError: there is none of this name.
    """
    return look_up(DEGRADATIONS, name, "degradation")
