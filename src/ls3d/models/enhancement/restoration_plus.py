"""Super-resolution and denoising beyond the paper: five frames in, the middle one out, larger or cleaner.

The four neighbors are aligned with the middle frame in one LS3D convolution: its kernel spans all of them, its offsets
are coarse-to-fine motion plus a learned offset for every tap, its importances let a neighbor that doesn't fit fade.
``vsr`` and ``vdn`` build the networks of the two tasks from it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ls3d.models.enhancement._motion import REACH, correlate, enlarge, fetch, merge_time, mix, precisely
from ls3d.models.network import RestorationNetwork, required_sigma
from ls3d.nn import ResBlock2d
from ls3d.nn import initialize as initialize
from ls3d.nn.resize import imresize
from ls3d.ops import ls3d_conv3d

#: Frames on either side of the middle one.
SIDE = 2
_TAPS = 9


class RestorationNetPlus(RestorationNetwork):
    """Align four neighbors with the middle frame by learnable sampling, fuse, restore the middle frame.

    Features of every frame at the working size and at a half and a quarter of it; motion from the middle frame to
    each neighbor by matching at the quarter, refined at the half; at the working size one LS3D convolution of
    4 x 3 x 3 taps (equation (3) of the paper) gathers the neighbors along the motion. Residual blocks and a
    sub-pixel layer make what is added to the middle frame (enlarged bicubically). At initialization that is zero.

    Args:
        width: channels.
        blocks: residual blocks after the fusion.
        fold: pixels of a ``fold x fold`` square are folded into channels first; the working size is so much smaller.
    """

    def __init__(self, width: int, blocks: int, fold: int = 1) -> None:
        super().__init__()
        self.fold, scale = fold, self.traits.scale
        self.encoder = nn.Sequential(
            nn.Conv2d(3 * fold**2 + int(self.traits.takes_sigma), width, 3, padding=1),
            nn.LeakyReLU(0.1, inplace=True),
            ResBlock2d(width),
        )
        self.halves = nn.ModuleList([_halve(width), _halve(width)])
        self.match = mix(2 * width + (2 * REACH + 1) ** 2, width)
        self.coarse = nn.Conv2d(width, 2, 3, padding=1)
        self.refine = mix(3 * width + 2, width)
        self.fine = nn.Conv2d(width, 2, 3, padding=1)
        self.sampling = nn.Conv2d(3 * width + 2, 3 * _TAPS, 3, padding=1)
        self.fusion = nn.Conv3d(width, width, (2 * SIDE, 3, 3))
        self.trunk = nn.Sequential(*(ResBlock2d(width) for _ in range(blocks)))
        self.synthesis = nn.Conv2d(width, 3 * (fold * scale) ** 2, 3, padding=1)
        initialize(self)
        with torch.no_grad():
            self.fusion.weight.mul_(2)  # importances start at one half
        for head in (self.coarse, self.fine, self.sampling, self.synthesis):
            nn.init.zeros_(head.weight)

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Restore the middle frame.

        Args:
            frames: ``(N, 3, 5, h, w)``, nominally in [0, 1]; h and w multiples of ``size_multiple``.
            sigma: ``(N,)``, standard deviation of the noise in units of [0, 1]; for a network with ``takes_sigma``.

        Returns:
            ``(N, 3, 1, scale * h, scale * w)``, not clamped.
        """
        features, motions = self._move(frames, sigma)
        return self._restore(frames, features, motions)

    def forward_pyramid(self, frames: Tensor, sigma: Tensor | None = None) -> list[Tensor]:
        """For training: the four neighbors fetched along the motion of each level, then the restored frame.

        Comparing a fetched neighbor ``(N, 3, 4, h', w')`` with the shrunk target tells the motion where to go.
        """
        features, motions = self._move(frames, sigma)
        neighbors = merge_time(_neighbors(frames))
        levels = []
        for motion in motions:
            small = F.avg_pool2d(neighbors, neighbors.shape[-1] // motion.shape[-1])
            levels.append(fetch(small, motion).unflatten(0, (len(frames), -1)).transpose(1, 2))
        return [*levels, self._restore(frames, features, motions)]

    def _move(self, frames: Tensor, sigma: Tensor | None) -> tuple[list[Tensor], list[Tensor]]:
        """What the fusion needs, and the motion to the neighbors at 1/4, 1/2 and 1 of the working size.

        Neighbors are in the batch: features are ``[middle (N, ...), neighbors (4N, ...), state (4N, ...)]``.
        """
        full, half, quarter = (_split(level) for level in self._encode(frames, sigma))
        middle = _repeat(quarter[0])
        matched = torch.cat([middle, quarter[1], correlate(middle, quarter[1])], dim=1)
        state = self.match(matched)
        motions = [precisely(self.coarse, state)]
        motion = enlarge(motions[0])
        seen = [F.interpolate(state, scale_factor=2.0), _repeat(half[0]), fetch(half[1], motion), motion]
        state = self.refine(torch.cat(seen, dim=1))
        motions.append(motion + precisely(self.fine, state))
        motions.append(enlarge(motions[1]))
        return [full[0], full[1], state], motions

    def _encode(self, frames: Tensor, sigma: Tensor | None) -> list[Tensor]:
        """Features ``(N, T, C, h, w)`` at 1, 1/2 and 1/4 of the working size."""
        count, _, length = frames.shape[:3]
        folded = F.pixel_unshuffle(merge_time(frames) - 0.5, self.fold)
        if self.traits.takes_sigma:
            level = required_sigma(sigma).to(folded).repeat_interleave(length)[:, None, None, None]
            folded = torch.cat([folded, level.expand(-1, 1, *folded.shape[2:])], dim=1)
        levels = [self.encoder(folded)]
        for halve in self.halves:
            levels.append(halve(levels[-1]))
        return [level.unflatten(0, (count, length)) for level in levels]

    def _restore(self, frames: Tensor, features: list[Tensor], motions: list[Tensor]) -> Tensor:
        middle, neighbors, state = features
        count = len(middle)
        motion = motions[-1]
        seen = [F.interpolate(state, scale_factor=2.0), _repeat(middle), fetch(neighbors, motion), motion]
        offset, logits = precisely(self.sampling, torch.cat(seen, dim=1)).split([2 * _TAPS, _TAPS], dim=1)
        offset = offset + motion.repeat(1, _TAPS, 1, 1)
        fused = ls3d_conv3d(
            neighbors.unflatten(0, (count, -1)).transpose(1, 2),
            offset.unflatten(0, (count, -1)).flatten(1, 2).unsqueeze(2),
            logits.sigmoid().unflatten(0, (count, -1)).flatten(1, 2).unsqueeze(2),
            self.fusion.weight,
            self.fusion.bias,
            padding=(0, 1, 1),
        )
        restored = self.trunk(middle + F.leaky_relu(fused[:, :, 0], 0.1))
        scale = self.traits.scale
        residual = F.pixel_shuffle(self.synthesis(restored), self.fold * scale)
        given = frames[:, :, SIDE]
        return (imresize(given, scale) + residual if scale > 1 else given + residual).unsqueeze(2)


def _neighbors(frames: Tensor) -> Tensor:
    """``(N, C, 5, h, w)`` without the middle frame."""
    return torch.cat([frames[:, :, :SIDE], frames[:, :, SIDE + 1 :]], dim=2)


def _split(features: Tensor) -> tuple[Tensor, Tensor]:
    """``(N, 5, C, h, w)`` as the middle one ``(N, C, h, w)`` and its neighbors ``(4N, C, h, w)``."""
    neighbors = torch.cat([features[:, :SIDE], features[:, SIDE + 1 :]], dim=1)
    return features[:, SIDE], neighbors.flatten(0, 1)


def _repeat(middle: Tensor) -> Tensor:
    """``(N, C, h, w)`` once for each neighbor: ``(4N, C, h, w)``."""
    return middle.repeat_interleave(2 * SIDE, dim=0)


def _halve(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, width, 3, stride=2, padding=1), nn.LeakyReLU(0.1, inplace=True))
