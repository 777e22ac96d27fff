"""Video denoising as in section 4.4 of the LS3D paper (arXiv:2011.10974): all frames of a window are denoised.

``vdn_ls3d`` is figure 2(b) with the changes that section 3.1 states for other tasks: a temporal stride of 1 in the
deconvolutions between the residual blocks, and another decoder, which the paper doesn't describe. ``vdn_conv3d`` is its
baseline. The paper trains one network for each noise level; here the level is an input, so that one network handles all
of them. ``vdn_ls3d_plus_*`` are the networks of ``restoration_plus``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ls3d.models.enhancement._figure2 import TemporalTrunk, make_encoder
from ls3d.models.enhancement.aligned_mean import spatial_mean, temporal_mean
from ls3d.models.enhancement.restoration_plus import SIDE, RestorationNetPlus
from ls3d.models.metadata import PublishedFidelity
from ls3d.models.network import EnhancementTraits, RestorationNetwork, required_sigma
from ls3d.models.registry import register_model
from ls3d.nn import Conv3d, initialize


class DenoisingNet(RestorationNetwork):
    """Encoder to a quarter of the size, six residual blocks, decoder; the noise level is a fourth input channel.

    Args:
        width: channels of the residual blocks; the layers at 1/2 of the size have width / 2, at full size width / 4.
        ls3d_blocks: numbers of the blocks (1 to 6) that are LS3D, None for all.
        residual: whether the network predicts the noise, which is subtracted from the frames (arXiv:1608.03981), or
            the clean frames. The paper doesn't say; with it, training starts from the noisy frames.
    """

    traits = EnhancementTraits(
        task="denoising",
        size_multiple=4,
        scale=1,
        frames_before=3,  # windows of seven frames, as in Vimeo-90K
        frames_after=3,
        takes_sigma=True,
        times=None,
        value_range=(0.0, 1.0),
    )

    def __init__(self, width: int = 64, ls3d_blocks: Iterable[int] | None = None, residual: bool = True) -> None:
        super().__init__()
        self.residual = residual
        self.encoder = make_encoder(4, width)
        self.trunk = TemporalTrunk(width, ls3d_blocks, temporal_stride=1)
        self.decoder = _Decoder(width)
        initialize(self)
        if residual:
            nn.init.zeros_(self.decoder.output.weight)

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Denoise all frames.

        Args:
            frames: ``(N, 3, T, H, W)``, nominally in [0, 1], T >= 1; H and W must be multiples of ``size_multiple``.
            sigma: ``(N,)``, standard deviation of the noise on the scale of the frames.

        Returns:
            ``(N, 3, T, H, W)``, not clamped.

        Raises:
            ValueError: ``sigma`` is None.
        """
        level = required_sigma(sigma).to(frames).view(-1, 1, 1, 1, 1).expand(frames.shape[0], 1, *frames.shape[2:])
        inputs = torch.cat([frames, level], dim=1)
        half = self.encoder[1](self.encoder[0](inputs))
        quarter = self.encoder[3](self.encoder[2](half))
        decoded: Tensor = self.decoder(self.trunk(quarter), half, inputs)
        return frames - decoded if self.residual else decoded


class _Decoder(nn.Module):
    """The "third component", which section 3.1 changes without details: here it has skip connections.

    Without them (figure 2(b)), all detail and noise would have to pass through 1/4 of the size: after 150 steps at half
    the width and sigma 25, that decoder gains 0.2 dB over the noisy frames, this one 6.0 dB.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        half, quarter = width // 2, width // 4
        # A kernel of 4 at stride 2 contributes equally often to every output pixel: no checkerboard artifacts.
        self.to_half = nn.ConvTranspose3d(width, half, (3, 4, 4), stride=(1, 2, 2), padding=1)
        self.to_full = nn.ConvTranspose3d(half, quarter, (3, 4, 4), stride=(1, 2, 2), padding=1)
        self.mix = Conv3d(quarter + 4, quarter, 3, padding=1)
        self.output = Conv3d(quarter, 3, 3, padding=1)

    def forward(self, quarter: Tensor, half: Tensor, inputs: Tensor) -> Tensor:
        """Decode features at 1/4 and 1/2 of the size, and the inputs of the network, to ``(N, 3, T, H, W)``."""
        # Leaky ReLUs, because the few channels at full size are the only path to the output and must not die.
        full = F.leaky_relu(self.to_full(self.to_half(quarter).relu() + half), 0.1)
        output: Tensor = self.output(F.leaky_relu(self.mix(torch.cat([full, inputs], dim=1)), 0.1))
        return output


class DenoisingNetPlus(RestorationNetPlus):
    """``RestorationNetPlus`` that takes the noise level and folds 2 x 2 pixels into channels.

    If ``aligned``, the output of ``aligned_mean`` is a further input, and the network predicts for each pixel how much
    of it to mix into its own output.
    """

    traits = EnhancementTraits(
        task="denoising",
        size_multiple=8,
        scale=1,
        frames_before=SIDE,
        frames_after=SIDE,
        takes_sigma=True,
        times=None,
        value_range=(0.0, 1.0),
    )

    def __init__(self, width: int, blocks: int, side: int = SIDE, aligned: bool = False) -> None:
        super().__init__(width, blocks, fold=2, side=side, aligned=aligned)
        if aligned:
            self.hint = _zero_convolution(4 * self.fold**2, width, 0.0)
            self.trust = _zero_convolution(width, self.fold**2, _INITIAL_TRUST)

    def _first_estimate(self, frames: Tensor, motion: Tensor, new: Tensor, sigma: Tensor | None) -> Tensor:
        with torch.no_grad():
            mean, variance = temporal_mean(frames, motion, new, required_sigma(sigma), self.side)
            return torch.cat([spatial_mean(mean, variance), variance.sqrt()], dim=1)

    def _reconstruct(self, features: Tensor, frame: Tensor, estimate: Tensor | None) -> Tensor:
        if estimate is None:
            return super()._reconstruct(features, frame, estimate)
        mean, deviation = estimate.split([3, 1], dim=1)
        hints = torch.cat([mean - frame, deviation], dim=1)
        restored = self.trunk(features + self.hint(F.pixel_unshuffle(hints, self.fold)))
        output = frame + F.pixel_shuffle(self.synthesis(restored), self.fold)
        trust = F.pixel_shuffle(self.trust(restored), self.fold).sigmoid()
        mixed: Tensor = output + trust * (mean - output)
        return mixed


def _zero_convolution(in_channels: int, out_channels: int, bias: float) -> nn.Conv2d:
    """Make a 3x3 convolution whose output is ``bias`` before training."""
    layer = nn.Conv2d(in_channels, out_channels, 3, padding=1, padding_mode="replicate")
    with torch.no_grad():
        layer.weight.zero_()
        if layer.bias is not None:
            layer.bias.fill_(bias)
    return layer


#: Where training starts: the sigmoid of this is 0.3. Before training, mixing in 0.3 of the mean scored best.
_INITIAL_TRUST = -0.85

_VIMEO = "Vimeo-90K test, Gaussian noise {}, RGB"
_PAPER = "arXiv:2011.10974, section 4.4, table 7"


@register_model(
    paper=_PAPER,
    parameters=2_581_209,
    input_size=(3, 7, 256, 448),
    published=[
        PublishedFidelity(_VIMEO.format(15), 36.90, 0.9732, "table 7"),
        PublishedFidelity(_VIMEO.format(25), 35.23, 0.9605, "table 7"),
    ],
)
def vdn_ls3d(width: int = 64, ls3d_blocks: Sequence[int] | None = None, residual: bool = True) -> DenoisingNet:
    """Denoising of any level with LS3D residual blocks, as in the paper."""
    return DenoisingNet(width, ls3d_blocks, residual)


@register_model(
    paper=_PAPER,
    parameters=1_740_915,
    input_size=(3, 7, 256, 448),
    published=[
        PublishedFidelity(_VIMEO.format(15), 36.35, 0.9645, "table 7"),
        PublishedFidelity(_VIMEO.format(25), 34.67, 0.9452, "table 7"),
    ],
)
def vdn_conv3d(width: int = 64, residual: bool = True) -> DenoisingNet:
    """Denoising of any level with plain 3D residual blocks, the paper's baseline."""
    return DenoisingNet(width, (), residual)


@register_model(input_size=(3, 5, 544, 960))
def vdn_ls3d_plus_s(width: int = 32, blocks: int = 6, side: int = SIDE, aligned: bool = False) -> DenoisingNetPlus:
    """Denoising of any level that gathers the neighbors by one LS3D convolution, small."""
    return DenoisingNetPlus(width, blocks, side, aligned)


@register_model(input_size=(3, 5, 544, 960))
def vdn_ls3d_plus_m(width: int = 56, blocks: int = 12, side: int = SIDE, aligned: bool = False) -> DenoisingNetPlus:
    """Denoising of any level that gathers the neighbors by one LS3D convolution, medium."""
    return DenoisingNetPlus(width, blocks, side, aligned)


@register_model(input_size=(3, 5, 544, 960))
def vdn_ls3d_plus_l(width: int = 96, blocks: int = 20, side: int = SIDE, aligned: bool = False) -> DenoisingNetPlus:
    """Denoising of any level that gathers the neighbors by one LS3D convolution, large."""
    return DenoisingNetPlus(width, blocks, side, aligned)
