"""Super-resolution and denoising beyond the paper: five or seven frames to the middle one, enlarged or denoised.

One LS3D convolution aligns the neighbors with the middle frame: its kernel spans all of them, its offsets are
coarse-to-fine motion plus a learned offset of every tap, its importances suppress neighbors that don't match. ``vsr``
and ``vdn`` derive the networks of the two tasks.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ls3d.models.enhancement._alignment import (
    align_neighbors,
    match_neighbors,
    mirror_repetitions,
    neighbors_of,
    new_neighbors,
)
from ls3d.models.enhancement._motion import (
    DISPLACEMENTS,
    correlate,
    frames_to_batch,
    in_full_precision,
    two_convolutions,
    upsample_motion,
    warp,
)
from ls3d.models.network import RestorationNetwork, required_sigma
from ls3d.nn import Conv3d, ResBlock2d, initialize
from ls3d.nn.resize import imresize
from ls3d.ops import ls3d_conv3d

#: Neighbors on either side of the middle frame.
SIDE = 2
_TAPS = 9  # of the LS3D convolution in each neighbor


class RestorationNetPlus(RestorationNetwork):
    """Align the neighbors with the middle frame by learnable sampling, fuse them, restore the middle frame.

    1. If ``aligned``, the neighbors are warped to the middle frame along ``ls3d.ops.bilateral_motion``. What follows
       then finds the motion that remains.
    2. Features of every frame at the working size, at 1/2 and at 1/4 of it.
    3. Motion from the middle frame to each neighbor, by correlation at 1/4, refined at 1/2.
    4. At the working size, one LS3D convolution of 2 * side x 3 x 3 taps (equation (3) of the paper) samples the
       neighbors along the motion.
    5. Residual blocks and a sub-pixel layer compute a residual of the bicubically enlarged middle frame, which is zero
       at initialization.

    Args:
        width: channels.
        blocks: residual blocks after the fusion.
        fold: squares of ``fold x fold`` pixels become channels first; the working size is the input size over
            ``fold``.
        side: neighbors on either side of the middle frame.
        aligned: whether the neighbors are warped first. Borders are then extended by replication, in features and for
            taps, so that a flat picture stays flat; otherwise by zeros.
    """

    def __init__(self, width: int, blocks: int, fold: int = 1, side: int = SIDE, aligned: bool = False) -> None:
        super().__init__()
        self.fold = fold
        self.side = side
        self.aligned = aligned
        self.traits = replace(self.traits, frames_before=side, frames_after=side)
        scale = self.traits.scale
        self.encoder = nn.Sequential(
            nn.Conv2d(3 * fold**2 + int(self.traits.takes_sigma), width, 3, padding=1),
            nn.LeakyReLU(0.1, inplace=True),
            ResBlock2d(width),
        )
        self.halves = nn.ModuleList([_make_halving(width), _make_halving(width)])
        self.match = two_convolutions(2 * width + DISPLACEMENTS, width)
        self.coarse = nn.Conv2d(width, 2, 3, padding=1)
        self.refine = two_convolutions(3 * width + 2, width)
        self.fine = nn.Conv2d(width, 2, 3, padding=1)
        self.sampling = nn.Conv2d(3 * width + 2, 3 * _TAPS, 3, padding=1)
        self.fusion = Conv3d(width, width, (2 * side, 3, 3))
        self.trunk = nn.Sequential(*(ResBlock2d(width) for _ in range(blocks)))
        self.synthesis = nn.Conv2d(width, 3 * (fold * scale) ** 2, 3, padding=1)
        initialize(self)
        with torch.no_grad():
            self.fusion.weight.mul_(2)  # because importances start at one half
        for head in (self.coarse, self.fine, self.sampling, self.synthesis):
            nn.init.zeros_(head.weight)
        if aligned:
            _replicate_borders(self)

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Restore the middle frame.

        Args:
            frames: ``(N, 3, 2 * side + 1, h, w)``, nominally in [0, 1]; h and w must be multiples of ``size_multiple``.
            sigma: ``(N,)``, standard deviation of the noise on the scale of the frames; required where ``takes_sigma``.

        Returns:
            ``(N, 3, 1, scale * h, scale * w)``, not clamped.

        Raises:
            ValueError: ``sigma`` is required and None.
        """
        frames, estimate = self._prepare(frames, sigma)
        features, motions = self._estimate_motion(frames, sigma)
        return self._restore(frames, features, motions, estimate)

    def forward_pyramid(self, frames: Tensor, sigma: Tensor | None = None) -> list[Tensor]:
        """Warp the neighbors ``(N, 3, 2 * side, h', w')`` along the motion of each level, then restore the frame.

        Comparing a warped neighbor with the target at the same size supervises the motion.
        """
        frames, estimate = self._prepare(frames, sigma)
        features, motions = self._estimate_motion(frames, sigma)
        neighbors = frames_to_batch(neighbors_of(frames, self.side))
        levels = []
        for motion in motions:
            small = F.avg_pool2d(neighbors, neighbors.shape[-1] // motion.shape[-1])
            levels.append(warp(small, motion).unflatten(0, (frames.shape[0], -1)).transpose(1, 2))
        return [*levels, self._restore(frames, features, motions, estimate)]

    def _prepare(self, frames: Tensor, sigma: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The frames, aligned if that is wanted, and the first estimate of the middle frame, if there is one."""
        if not self.aligned:
            return frames, None
        new = new_neighbors(frames, self.side)
        frames = mirror_repetitions(frames, new, self.side)
        motion = match_neighbors(frames, self.side)
        return align_neighbors(frames, motion, self.side), self._first_estimate(frames, motion, new, sigma)

    def _first_estimate(self, frames: Tensor, motion: Tensor, new: Tensor, sigma: Tensor | None) -> Tensor | None:
        """Restore the middle frame without weights: three colors and the uncertainty ``(N, 4, h, w)``, or None."""
        return None

    def _estimate_motion(self, frames: Tensor, sigma: Tensor | None) -> tuple[list[Tensor], list[Tensor]]:
        """Compute the inputs of ``_restore``.

        Returns:
            Features: the middle frame ``(N, C, h, w)`` and the neighbors ``(M, C, h, w)`` at the working size, the
            state of the motion ``(M, C, h / 2, w / 2)``, where M is ``2 * side * N``. Motion to the neighbors
            ``(M, 2, ...)`` at 1/4, 1/2 and 1 of the working size.
        """
        full, half, quarter = (self._split(level) for level in self._encode(frames, sigma))
        middle = self._repeat(quarter[0])
        border = "replicate" if self.aligned else "constant"
        matched = torch.cat([middle, quarter[1], correlate(middle, quarter[1], border)], dim=1)
        state = self.match(matched)
        motions = [in_full_precision(self.coarse, state)]
        motion = upsample_motion(motions[0])
        inputs = [F.interpolate(state, scale_factor=2.0), self._repeat(half[0]), warp(half[1], motion), motion]
        state = self.refine(torch.cat(inputs, dim=1))
        motions.append(motion + in_full_precision(self.fine, state))
        motions.append(upsample_motion(motions[1]))
        return [full[0], full[1], state], motions

    def _split(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Split ``(N, T, C, h, w)`` into the middle frame ``(N, C, h, w)`` and its neighbors ``(M, C, h, w)``."""
        neighbors = torch.cat([features[:, : self.side], features[:, self.side + 1 :]], dim=1)
        return features[:, self.side], neighbors.flatten(0, 1)

    def _repeat(self, middle: Tensor) -> Tensor:
        """Repeat ``(N, C, h, w)`` for each neighbor: ``(M, C, h, w)``."""
        return middle.repeat_interleave(2 * self.side, dim=0)

    def _encode(self, frames: Tensor, sigma: Tensor | None) -> list[Tensor]:
        """Compute features ``(N, T, C, h, w)`` at 1, 1/2 and 1/4 of the working size."""
        count, _, length = frames.shape[:3]
        folded = F.pixel_unshuffle(frames_to_batch(frames) - 0.5, self.fold)
        if self.traits.takes_sigma:
            level = required_sigma(sigma).to(folded).repeat_interleave(length)[:, None, None, None]
            folded = torch.cat([folded, level.expand(-1, 1, *folded.shape[2:])], dim=1)
        levels = [self.encoder(folded)]
        for halve in self.halves:
            levels.append(halve(levels[-1]))
        return [level.unflatten(0, (count, length)) for level in levels]

    def _restore(
        self, frames: Tensor, features: list[Tensor], motions: list[Tensor], estimate: Tensor | None
    ) -> Tensor:
        """Sample the neighbors along the motion, fuse, and add the residual to the middle frame."""
        middle, neighbors, state = features
        count = middle.shape[0]
        motion = motions[-1]
        inputs = [F.interpolate(state, scale_factor=2.0), self._repeat(middle), warp(neighbors, motion), motion]
        offset, logits = in_full_precision(self.sampling, torch.cat(inputs, dim=1)).split([2 * _TAPS, _TAPS], dim=1)
        offset = offset + motion.repeat(1, _TAPS, 1, 1)
        if self.aligned:
            offset = _clamp_taps(offset)
        fused = ls3d_conv3d(
            neighbors.unflatten(0, (count, -1)).transpose(1, 2),
            offset.unflatten(0, (count, -1)).flatten(1, 2).unsqueeze(2),
            logits.sigmoid().unflatten(0, (count, -1)).flatten(1, 2).unsqueeze(2),
            self.fusion.weight,
            self.fusion.bias,
            padding=(0, 1, 1),
        )
        summed = middle + F.leaky_relu(fused[:, :, 0], 0.1)
        return self._reconstruct(summed, frames[:, :, self.side], estimate).unsqueeze(2)

    def _reconstruct(self, features: Tensor, frame: Tensor, estimate: Tensor | None) -> Tensor:
        """The restored frame from fused features ``(N, C, h, w)`` at the working size and the middle frame."""
        scale = self.traits.scale
        residual = F.pixel_shuffle(self.synthesis(self.trunk(features)), self.fold * scale)
        return imresize(frame, scale) + residual if scale > 1 else frame + residual


def _clamp_taps(offset: Tensor) -> Tensor:
    """Clamp the taps of a 3x3 kernel, at offsets ``(M, 18, h, w)`` from its regular grid, to the frame."""
    y = torch.arange(offset.shape[2], dtype=offset.dtype, device=offset.device)[:, None]
    x = torch.arange(offset.shape[3], dtype=offset.dtype, device=offset.device)
    regular = [line + shift for dy in (-1, 0, 1) for dx in (-1, 0, 1) for line, shift in ((y, dy), (x, dx))]
    lasts = [side - 1 for _ in range(_TAPS) for side in offset.shape[2:]]
    taps = [
        (tap + start).clamp(0, last) - start for tap, start, last in zip(offset.unbind(1), regular, lasts, strict=True)
    ]
    return torch.stack(taps, dim=1)


def _replicate_borders(network: nn.Module) -> None:
    """Let all 2D convolutions extend their input by its border."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.padding_mode = "replicate"


def _make_halving(width: int) -> nn.Sequential:
    """Make a convolution that halves height and width."""
    return nn.Sequential(nn.Conv2d(width, width, 3, stride=2, padding=1), nn.LeakyReLU(0.1, inplace=True))
