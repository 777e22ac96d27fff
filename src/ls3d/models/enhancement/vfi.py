"""Video frame interpolation: two frames in, five out, of which three are new.

``vfi_ls3d`` is figure 2 of the LS3D-Conv paper (arXiv:2011.10974) and ``vfi_conv3d`` its baseline (their parts
are in ``_trunk``). ``vfi_ls3d_plus_*`` go beyond the paper: the same trunk, coarse-to-fine motion, and learnable
sampling of the input frames themselves.

All of them make the frames at t = 0, 1/4, 1/2, 3/4 and 1 (``InterpolationNetwork.forward``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ls3d.models.enhancement._figure2 import TemporalTrunk, make_decoder, make_encoder
from ls3d.models.enhancement._motion import (
    REACH,
    correlate,
    enlarge,
    fetch,
    merge_time,
    mix,
    precisely,
    without_autocast,
)
from ls3d.models.metadata import fidelity
from ls3d.models.network import EnhancementTraits, InterpolationNetwork, quarter_indices
from ls3d.models.registry import register_model
from ls3d.nn import initialize as initialize
from ls3d.ops import ls3d_conv3d


class InterpolationNet(InterpolationNetwork):
    """The network of figure 2(b): encoder, six residual blocks, decoder.

    Args:
        width: channels of the residual blocks; the half-resolution layers have half of them.
        ls3d_blocks: which of the blocks 1 to 6 are LS3D (tables 2 and 3).
    """

    traits = EnhancementTraits(
        task="interpolation",
        size_multiple=4,
        scale=1,
        frames_before=0,
        frames_after=1,
        takes_sigma=False,
        times="quarters",
        value_range=(0.0, 1.0),
    )

    def __init__(self, width: int = 64, ls3d_blocks: Iterable[int] = (1, 2, 3, 4, 5, 6)) -> None:
        super().__init__()
        self.encoder = make_encoder(3, width)
        self.trunk = TemporalTrunk(width, ls3d_blocks)
        self.decoder = make_decoder(width)
        initialize(self)

    def forward(self, frames: Tensor, times: Sequence[float] | None = None) -> Tensor:
        """See ``InterpolationNetwork.forward``."""
        output = self.decoder(self.trunk(self.encoder(frames)))
        return output if times is None else output[:, :, quarter_indices(times)]


class InterpolationNetPlus(InterpolationNetwork):
    """Coarse-to-fine motion from an LS3D trunk, then learnable sampling of the input frames at full resolution.

    An encoder makes features at 1/2, 1/4 and 1/8 of the size, frame by frame. The trunk of the paper turns the
    two coarsest maps into five; the three in the middle start the motion of the three new frames towards both
    inputs. At 1/4 and 1/2 of the size the motion is refined with the inputs' features fetched along it. At full
    size every new pixel is a weighted sum of ``2 * taps**2`` bilinear samples of the two input frames (equation (3)
    of the paper with the identity as kernel): tap offsets are the motion plus a learned one each, importances a
    softmax; a small residual is added. At initialization the network blends the two frames linearly.

    Args:
        width: channels of the trunk.
        detail: channels at half the size; a quarter of the size has the mean of ``detail`` and ``width``.
        taps: taps along each side of the sampling kernel in each frame.
        ls3d_blocks: which of the trunk's blocks 1 to 6 are LS3D.
    """

    traits = EnhancementTraits(
        task="interpolation",
        size_multiple=8,
        scale=1,
        frames_before=0,
        frames_after=1,
        takes_sigma=False,
        times="quarters",
        value_range=(0.0, 1.0),
    )

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
        self.match = nn.Conv3d(width + (2 * REACH + 1) ** 2, width, 1)
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
        wanted = quarter_indices(times)
        new = [index for index in wanted if 0 < index < 4]
        made = {0: frames[:, :, 0], 4: frames[:, :, 1]}
        if new:
            state, motions = self._move(frames, new)
            made |= zip(new, self._sample(frames, state, motions[-1], new).unbind(2), strict=True)
        return torch.stack([made[index] for index in wanted], dim=2)

    def forward_pyramid(self, frames: Tensor, times: Sequence[float]) -> list[Tensor]:
        """The new frames at ``times`` from coarse to fine, for training: at 1/8, 1/4 and 1/2 of the size, then full.

        A coarse one is the linear blend of the shrunk inputs, fetched along that level's motion: comparing it with
        the shrunk target tells the motion where to go when it is farther away than texture is wide.
        """
        indices = quarter_indices(times)
        state, motions = self._move(frames, indices)
        pyramid = []
        for motion, shrink in zip(motions, (8, 4, 2), strict=True):
            small = F.avg_pool3d(frames, (1, shrink, shrink)).repeat_interleave(len(indices), dim=0)
            time = frames.new_tensor(indices).div(4).repeat(len(frames))[:, None, None, None]
            first, last = _fetch_both(small, motion).chunk(2, dim=1)
            pyramid.append(torch.lerp(first, last, time).unflatten(0, (-1, len(indices))).transpose(1, 2))
        return [*pyramid, self._sample(frames, state, motions[-1], indices)]

    def _move(self, frames: Tensor, indices: list[int]) -> tuple[Tensor, list[Tensor]]:
        """The state at half the size and the motion at 1/8, 1/4 and 1/2 for each new frame, frames in the batch."""
        # Brightness carries no motion: the mean of each channel is taken out for the encoder.
        half, quarter, eighth = self._encode(frames - frames.mean(dim=(2, 3, 4), keepdim=True))
        matched = self.match(torch.cat([eighth, correlate(eighth, eighth.flip(2))], dim=1))
        state = merge_time(self.trunk(matched)[:, :, indices])
        motions = [precisely(self.coarse, state)]
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
        """Equation (3) on the input frames: offsets around the motion, softmax importance, identity kernel."""
        count, taps = len(indices), 2 * self.taps**2
        offset, logits, residual = precisely(self.synthesis, state).split([2 * taps, taps, 3], dim=1)
        motion = enlarge(motion)
        towards = motion.unflatten(1, (2, 1, 2)).expand(-1, -1, self.taps**2, -1, -1, -1).flatten(1, 3)
        prior = self.importance[[index - 1 for index in indices]].repeat(len(frames), 1)[:, :, None, None]
        with without_autocast(frames.device):
            output = ls3d_conv3d(
                frames.repeat_interleave(count, dim=0),
                (offset + towards).unsqueeze(2),
                (logits + prior).softmax(dim=1).unsqueeze(2),
                self.kernel,
                padding=(0, self.taps // 2, self.taps // 2),
            )
        return (output[:, :, 0] + residual).unflatten(0, (-1, count)).transpose(1, 2)


#: Channels of a motion map: (dy, dx) towards the first frame, (dy, dx) towards the second, in pixels of its level.
_MOTION = 4


class _Encoder(nn.Sequential):
    """Halve the size of every frame: ``(N, C, T, H, W)`` to ``(N, D, T, H/2, W/2)``."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv3d(in_channels, out_channels, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv3d(out_channels, out_channels, (1, 3, 3), padding=(0, 1, 1)),
            nn.LeakyReLU(0.1, inplace=True),
        )


class _Refiner(nn.Module):
    """One step from coarse to fine: fetch both frames' features along the motion, correct state and motion."""

    def __init__(self, in_channels: int, feature_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1)
        self.mix = mix(out_channels + 2 * feature_channels + _MOTION, out_channels)
        self.correct = nn.Conv2d(out_channels, _MOTION, 3, padding=1)

    def forward(self, state: Tensor, motion: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """``state (M, C, h, w)``, ``motion (M, 4, h, w)``, ``features (M, D, 2, 2h, 2w)`` to the next level's."""
        motion = enlarge(motion)
        fetched = _fetch_both(features, motion)
        state = self.mix(torch.cat([F.leaky_relu(self.up(state), 0.1), fetched, motion], dim=1))
        return state, motion + precisely(self.correct, state)


def _fetch_both(frames: Tensor, motion: Tensor) -> Tensor:
    """Both frames ``(M, D, 2, h, w)`` along ``motion (M, 4, h, w)``: ``(M, 2D, h, w)``."""
    fetched = fetch(merge_time(frames), motion.unflatten(1, (2, 2)).flatten(0, 1))
    return fetched.unflatten(0, (-1, 2)).flatten(1, 2)


def _identity_kernel(taps: int) -> Tensor:
    """The kernel ``(3, 3, 2, taps, taps)`` that adds up the samples of each color."""
    return torch.eye(3)[:, :, None, None, None].expand(3, 3, 2, taps, taps).contiguous()


def _linear_blend_logits(taps: int) -> Tensor:
    """Logits ``(3, 2 * taps**2)`` whose softmax is nearly (1 - t, t) on the central taps, for t = 1/4, 1/2, 3/4."""
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
        fidelity("Cityscapes", 27.62, 0.837, "table 4"),
        fidelity("MLB-YouTube", 31.98, 0.964, "table 4"),
        fidelity("Gait", 35.82, 0.978, "table 4"),
    ],
)
def vfi_ls3d(width: int = 64, ls3d_blocks: Sequence[int] = (1, 2, 3, 4, 5, 6)) -> InterpolationNet:
    """Frame interpolation with LS3D residual blocks, as in the paper."""
    return InterpolationNet(width, ls3d_blocks)


@register_model(
    paper=_PAPER,
    parameters=1_710_115,
    input_size=(3, 2, 256, 512),
    published=[fidelity("MLB-YouTube", 29.35, 0.942, "table 3")],
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
