"""Video frame interpolation: two frames to five, at t = 0, 1/4, 1/2, 3/4 and 1, of which three are new.

``vfi_ls3d`` is figure 2 of the LS3D paper (arXiv:2011.10974), ``vfi_conv3d`` its baseline. ``vfi_ls3d_plus_*`` are not
in the paper: they have the same trunk, coarse-to-fine motion, and learnable sampling of the input frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ls3d.models.enhancement._figure2 import TemporalTrunk, make_decoder, make_encoder
from ls3d.models.enhancement._motion import (
    DISPLACEMENTS,
    correlate,
    frames_to_batch,
    in_full_precision,
    two_convolutions,
    upsample_motion,
    warp,
    without_autocast,
)
from ls3d.models.metadata import PublishedFidelity
from ls3d.models.network import EnhancementTraits, InterpolationNetwork, quarter_indices
from ls3d.models.registry import register_model
from ls3d.nn import initialize
from ls3d.ops import ls3d_conv3d


class InterpolationNet(InterpolationNetwork):
    """The network of figure 2(b): encoder, six residual blocks, decoder.

    Args:
        width: channels of the residual blocks; the layers at 1/2 of the size have width / 2.
        ls3d_blocks: numbers of the blocks (1 to 6) that are LS3D (tables 2 and 3).
    """

    traits = EnhancementTraits.interpolation(size_multiple=4, times="quarters", value_range=(0.0, 1.0))

    def __init__(self, width: int = 64, ls3d_blocks: Iterable[int] = (1, 2, 3, 4, 5, 6)) -> None:
        super().__init__()
        self.encoder = make_encoder(3, width)
        self.trunk = TemporalTrunk(width, ls3d_blocks)
        self.decoder = make_decoder(width)
        initialize(self)

    def forward(self, frames: Tensor, times: Sequence[float] | None = None) -> Tensor:
        """See ``InterpolationNetwork.forward``."""
        output: Tensor = self.decoder(self.trunk(self.encoder(frames)))
        return output if times is None else output[:, :, quarter_indices(times)]


class InterpolationNetPlus(InterpolationNetwork):
    """Coarse-to-fine motion from an LS3D trunk, then learnable sampling of the input frames at full size.

    1. An encoder computes features at 1/2, 1/4 and 1/8 of the size, frame by frame.
    2. The trunk of the paper maps the two coarsest maps to five. Those of the three new frames give the motion to both
       inputs at 1/8 of the size.
    3. At 1/4 and 1/2 of the size the motion is refined from the features of the inputs, warped along it.
    4. At full size every new pixel is a weighted sum of ``2 * taps**2`` bilinear samples of the two input frames
       (equation (3) of the paper with the identity as kernel), plus a residual. The offset of a tap is the motion plus
       a learned offset, its importance a softmax over the taps.

    At initialization the network blends the two frames linearly.

    Args:
        width: channels of the trunk.
        detail: channels at 1/2 of the size; at 1/4 there are (detail + width) / 2.
        taps: taps along each side of the sampling kernel in each frame.
        ls3d_blocks: numbers of the trunk's blocks (1 to 6) that are LS3D.
    """

    traits = EnhancementTraits.interpolation(size_multiple=8, times="quarters", value_range=(0.0, 1.0))

    kernel: Tensor
    importance: Tensor

    def __init__(
        self,
        width: int = 48,
        detail: int = 24,
        taps: int = 3,
        ls3d_blocks: Iterable[int] = (1, 2, 3, 4, 5, 6),
    ) -> None:
        super().__init__()
        middle = (width + detail) // 2
        self.taps = taps
        self.encoders = nn.ModuleList(
            [_Encoder(3, detail), _Encoder(detail, middle), _Encoder(middle, width)],
        )
        self.match = nn.Conv3d(width + DISPLACEMENTS, width, 1)
        self.trunk = TemporalTrunk(width, ls3d_blocks)
        self.coarse = nn.Conv2d(width, _MOTION, 3, padding=1)
        refiners = [_Refiner(width, middle, middle), _Refiner(middle, detail, detail)]
        self.refiners = nn.ModuleList(refiners)
        self.synthesis = nn.ConvTranspose2d(detail, 2 * taps**2 * 3 + 3, 4, stride=2, padding=1)
        initialize(self)
        for head in (self.coarse, self.synthesis, *(refiner.correct for refiner in refiners)):
            nn.init.zeros_(head.weight)
        self.register_buffer("kernel", _identity_kernel(taps), persistent=False)
        self.register_buffer("importance", _linear_blend_logits(taps), persistent=False)

    def forward(self, frames: Tensor, times: Sequence[float] | None = None) -> Tensor:
        """See ``InterpolationNetwork.forward``."""
        indices = quarter_indices(times)
        new = [index for index in indices if 0 < index < 4]
        output = {0: frames[:, :, 0], 4: frames[:, :, 1]}
        if new:
            state, motions = self._estimate_motion(frames, new)
            output |= zip(new, self._sample(frames, state, motions[-1], new).unbind(2), strict=True)
        return torch.stack([output[index] for index in indices], dim=2)

    def forward_pyramid(self, frames: Tensor, times: Sequence[float]) -> list[Tensor]:
        """Make the new frames at ``times`` at 1/8, 1/4 and 1/2 of the size, then at full size.

        A coarse frame is the linear blend of the downsampled inputs, warped along the motion of its level. Comparing it
        with the target at the same size supervises motion that is larger than the texture.
        """
        indices = quarter_indices(times)
        state, motions = self._estimate_motion(frames, indices)
        pyramid = []
        for motion, shrink in zip(motions, (8, 4, 2), strict=True):
            small = F.avg_pool3d(frames, (1, shrink, shrink)).repeat_interleave(len(indices), dim=0)
            time = frames.new_tensor(indices).div(4).repeat(len(frames))[:, None, None, None]
            first, second = _warp_both(small, motion).chunk(2, dim=1)
            pyramid.append(torch.lerp(first, second, time).unflatten(0, (-1, len(indices))).transpose(1, 2))
        return [*pyramid, self._sample(frames, state, motions[-1], indices)]

    def _estimate_motion(self, frames: Tensor, indices: list[int]) -> tuple[Tensor, list[Tensor]]:
        """Compute the inputs of ``_sample`` for K new frames.

        Returns:
            The state ``(N*K, detail, H / 2, W / 2)``, and the motion ``(N*K, 4, ...)`` at 1/8, 1/4 and 1/2 of the size.
        """
        # The mean of each channel is subtracted, because brightness has no motion.
        half, quarter, eighth = self._encode(frames - frames.mean(dim=(2, 3, 4), keepdim=True))
        matched = self.match(torch.cat([eighth, correlate(eighth, eighth.flip(2))], dim=1))
        state = frames_to_batch(self.trunk(matched)[:, :, indices])
        motions = [in_full_precision(self.coarse, state)]
        for refine, features in zip(self.refiners, (quarter, half), strict=True):
            state, motion = refine(state, motions[-1], features.repeat_interleave(len(indices), dim=0))
            motions.append(motion)
        return state, motions

    def _encode(self, frames: Tensor) -> list[Tensor]:
        levels: list[Tensor] = []
        for encoder in self.encoders:
            levels.append(encoder(levels[-1] if levels else frames))
        return levels

    def _sample(self, frames: Tensor, state: Tensor, motion: Tensor, indices: list[int]) -> Tensor:
        """Sample the input frames by equation (3): offsets around the motion, softmax importances, identity kernel."""
        count, taps = len(indices), 2 * self.taps**2
        offset, logits, residual = in_full_precision(self.synthesis, state).split([2 * taps, taps, 3], dim=1)
        motion = upsample_motion(motion)
        tap_motion = motion.unflatten(1, (2, 1, 2)).expand(-1, -1, self.taps**2, -1, -1, -1).flatten(1, 3)
        prior = self.importance[[index - 1 for index in indices]].repeat(len(frames), 1)[:, :, None, None]
        with without_autocast(frames.device):
            sampled = ls3d_conv3d(
                frames.repeat_interleave(count, dim=0),
                (offset + tap_motion).unsqueeze(2),
                (logits + prior).softmax(dim=1).unsqueeze(2),
                self.kernel,
                padding=(0, self.taps // 2, self.taps // 2),
            )
        output: Tensor = (sampled[:, :, 0] + residual).unflatten(0, (-1, count))
        return output.transpose(1, 2)


#: Channels of a motion map: (dy, dx) towards the first frame, (dy, dx) towards the second, in pixels of its level.
_MOTION = 4


class _Encoder(nn.Sequential):
    """Two convolutions that halve the size of every frame: ``(N, C, T, H, W)`` to ``(N, D, T, H / 2, W / 2)``."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv3d(in_channels, out_channels, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv3d(out_channels, out_channels, (1, 3, 3), padding=(0, 1, 1)),
            nn.LeakyReLU(0.1, inplace=True),
        )


class _Refiner(nn.Module):
    """One step from coarse to fine: warp the features of both frames along the motion, update state and motion."""

    def __init__(self, in_channels: int, feature_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1)
        self.mix = two_convolutions(out_channels + 2 * feature_channels + _MOTION, out_channels)
        self.correct = nn.Conv2d(out_channels, _MOTION, 3, padding=1)

    def forward(self, state: Tensor, motion: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the state and the motion of the next level.

        Args:
            state: ``(M, C, h, w)``.
            motion: ``(M, 4, h, w)``.
            features: those of both frames at the next level, ``(M, D, 2, 2h, 2w)``.

        Returns:
            The state ``(M, C', 2h, 2w)`` and the motion ``(M, 4, 2h, 2w)``.
        """
        motion = upsample_motion(motion)
        warped = _warp_both(features, motion)
        state = self.mix(torch.cat([F.leaky_relu(self.up(state), 0.1), warped, motion], dim=1))
        return state, motion + in_full_precision(self.correct, state)


def _warp_both(frames: Tensor, motion: Tensor) -> Tensor:
    """Warp both frames ``(M, D, 2, h, w)`` along ``motion (M, 4, h, w)`` to ``(M, 2D, h, w)``."""
    warped: Tensor = warp(frames_to_batch(frames), motion.unflatten(1, (2, 2)).flatten(0, 1)).unflatten(0, (-1, 2))
    return warped.flatten(1, 2)


def _identity_kernel(taps: int) -> Tensor:
    """Make the kernel ``(3, 3, 2, taps, taps)`` that sums the samples of each color channel."""
    return torch.eye(3)[:, :, None, None, None].expand(3, 3, 2, taps, taps).contiguous()


def _linear_blend_logits(taps: int) -> Tensor:
    """Make logits ``(3, 2 * taps**2)`` whose softmax on the central taps is about (1 - t, t), t = 1/4, 1/2, 3/4."""
    weights = torch.full((3, 2, taps, taps), 1e-3)
    for row, t in enumerate((0.25, 0.5, 0.75)):
        weights[row, :, taps // 2, taps // 2] = torch.tensor([1 - t, t])
    return weights.log().flatten(1)


_PAPER = "arXiv:2011.10974, figure 2"


@register_model(
    paper=_PAPER,
    parameters=2_550_409,
    input_size=(3, 2, 256, 512),
    published=[
        PublishedFidelity("Cityscapes", 27.62, 0.837, "table 4"),
        PublishedFidelity("MLB-YouTube", 31.98, 0.964, "table 4"),
        PublishedFidelity("Gait", 35.82, 0.978, "table 4"),
    ],
)
def vfi_ls3d(width: int = 64, ls3d_blocks: Sequence[int] = (1, 2, 3, 4, 5, 6)) -> InterpolationNet:
    """Frame interpolation with LS3D residual blocks, as in the paper."""
    return InterpolationNet(width, ls3d_blocks)


@register_model(
    paper=_PAPER,
    parameters=1_710_115,
    input_size=(3, 2, 256, 512),
    published=[PublishedFidelity("MLB-YouTube", 29.35, 0.942, "table 3")],
)
def vfi_conv3d(width: int = 64) -> InterpolationNet:
    """Frame interpolation with plain 3D residual blocks, the paper's baseline."""
    return InterpolationNet(width, ls3d_blocks=())


@register_model(input_size=(3, 2, 256, 512))
def vfi_ls3d_plus_s(
    width: int = 32, detail: int = 16, taps: int = 3, ls3d_blocks: Sequence[int] = (1, 2, 3, 4, 5, 6)
) -> InterpolationNetPlus:
    """Frame interpolation that samples the input frames along coarse-to-fine motion, small."""
    return InterpolationNetPlus(width, detail, taps, ls3d_blocks)


@register_model(input_size=(3, 2, 256, 512))
def vfi_ls3d_plus_m(
    width: int = 48, detail: int = 24, taps: int = 3, ls3d_blocks: Sequence[int] = (1, 2, 3, 4, 5, 6)
) -> InterpolationNetPlus:
    """Frame interpolation that samples the input frames along coarse-to-fine motion, medium."""
    return InterpolationNetPlus(width, detail, taps, ls3d_blocks)


@register_model(input_size=(3, 2, 256, 512))
def vfi_ls3d_plus_l(
    width: int = 80, detail: int = 40, taps: int = 3, ls3d_blocks: Sequence[int] = (1, 2, 3, 4, 5, 6)
) -> InterpolationNetPlus:
    """Frame interpolation that samples the input frames along coarse-to-fine motion, large."""
    return InterpolationNetPlus(width, detail, taps, ls3d_blocks)
