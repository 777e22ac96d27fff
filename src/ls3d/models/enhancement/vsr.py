"""Video super-resolution as in section 4.3 of the LS3D paper (arXiv:2011.10974): all frames of a window are enlarged.

``vsr_ls3d`` is the network of table 6 (Vimeo-90K): an image super-resolution network "but with fewer ResBlocks", these
being the paper's LS3D residual blocks, and a sub-pixel layer. ``vsr_p3d_ls3d`` is that of table 5 (25 YUV sequences): a
P3D network whose 3x1x1 convolutions are LS3D. ``vsr_conv3d`` and ``vsr_p3d_conv3d`` are their baselines. Widths, depths
and the architecture are in the paper's supplement only; comments explain our choices. ``vsr_ls3d_plus_*`` are the
networks of ``restoration_plus``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor, nn

from ls3d.models.enhancement._figure2 import residual_blocks
from ls3d.models.enhancement.restoration_plus import SIDE, RestorationNetPlus
from ls3d.models.metadata import PublishedFidelity
from ls3d.models.network import EnhancementTraits, RestorationNetwork
from ls3d.models.registry import register_model
from ls3d.nn import Conv3d, LS3DConv3d, initialize
from ls3d.nn.resize import imresize


class P3DBlock(nn.Module):
    """A residual block that convolves over space, then over time: ``x + temporal(relu(spatial(x)))``.

    P3D-A of arXiv:1711.10305 without its bottleneck and its normalizations, which is the block of FSTRN
    (arXiv:1904.02870) with P3D's activation between the two convolutions.

    Args:
        channels: channels of input and output.
        learnable_sampling: whether the 3x1x1 convolution is LS3D, as in table 5.

    Shape:
        ``(N, channels, T, H, W)`` in and out.
    """

    def __init__(self, channels: int, learnable_sampling: bool = True) -> None:
        super().__init__()
        self.spatial = Conv3d(channels, channels, (1, 3, 3), padding=(0, 1, 1))
        self.relu = nn.ReLU(inplace=True)
        temporal = LS3DConv3d if learnable_sampling else nn.Conv3d
        self.temporal: nn.Conv3d = temporal(channels, channels, (3, 1, 1), padding=(1, 0, 0))

    def forward(self, input: Tensor) -> Tensor:
        """Map ``(N, channels, T, H, W)`` to the same shape."""
        output: Tensor = input + self.temporal(self.relu(self.spatial(input)))
        return output


class SuperResolutionNet(RestorationNetwork):
    """Features, residual blocks with a skip connection, one sub-pixel layer; the other layers work at the input size.

    The architecture is that of SRResNet (arXiv:1609.04802, the paper's reference 26) without its normalizations, which
    the paper's residual block doesn't have either.

    Args:
        blocks: the residual blocks, ``width`` channels in and out.
        width: channels.
        scale: output size over input size.
        residual: whether the network predicts a residual of the bicubic enlargement, or the frames themselves. The
            paper doesn't say; with it, training starts from the bicubic baseline.
    """

    traits = EnhancementTraits(
        task="super-resolution",
        size_multiple=1,
        scale=4,
        frames_before=3,  # windows of seven frames, as in Vimeo-90K; ``forward`` takes any number
        frames_after=3,
        takes_sigma=False,
        times=None,
        value_range=(0.0, 1.0),
    )

    def __init__(self, blocks: Sequence[nn.Module], width: int = 64, scale: int = 4, residual: bool = True) -> None:
        super().__init__()
        self.residual = residual
        self.traits = replace(self.traits, scale=scale)
        self.head = Conv3d(3, width, 3, padding=1)
        self.blocks = nn.Sequential(*blocks)
        self.fuse = Conv3d(width, width, 3, padding=1)
        # The sub-pixel layer of the paper's reference 42 (ESPCN): one convolution computes the scale**2 pixels at each
        # position, frame by frame, because the layers before have fused the frames.
        self.sub_pixel = Conv3d(width, 3 * scale**2, (1, 3, 3), padding=(0, 1, 1))
        initialize(self)
        if residual:
            nn.init.zeros_(self.sub_pixel.weight)

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Map ``(N, 3, T, h, w)``, nominally in [0, 1], to ``(N, 3, T, scale * h, scale * w)``, not clamped."""
        features = self.head(frames)
        sub_pixels = self.sub_pixel(features + self.fuse(self.blocks(features)))
        output = F.pixel_shuffle(sub_pixels.transpose(1, 2), self.traits.scale).transpose(1, 2)
        return output + imresize(frames, self.traits.scale) if self.residual else output


class P3DSuperResolutionNet(SuperResolutionNet):
    """``SuperResolutionNet`` on windows of five frames, with P3D blocks.

    Five blocks of 64 channels, windows of five frames and the residual of the bicubic enlargement are those of FSTRN,
    whose training and evaluation the paper follows.

    Args:
        num_blocks: number of blocks.
        learnable_sampling: as for ``P3DBlock``.
        width: channels.
        scale: as for ``SuperResolutionNet``.
        residual: as for ``SuperResolutionNet``.
    """

    traits = replace(SuperResolutionNet.traits, frames_before=2, frames_after=2)

    def __init__(self, num_blocks: int, learnable_sampling: bool, width: int, scale: int, residual: bool) -> None:
        super().__init__([P3DBlock(width, learnable_sampling) for _ in range(num_blocks)], width, scale, residual)


class SuperResolutionNetPlus(RestorationNetPlus):
    """``RestorationNetPlus`` that enlarges by a factor of four."""

    traits = EnhancementTraits(
        task="super-resolution",
        size_multiple=4,
        scale=4,
        frames_before=SIDE,
        frames_after=SIDE,
        takes_sigma=False,
        times=None,
        value_range=(0.0, 1.0),
    )


_VIMEO = "Vimeo-90K test, BI x4, RGB"
_YUV = "25 YUV, BI x4, Y, mean of five sequences"
_PAPER = "arXiv:2011.10974, section 4.3, table {}"


@register_model(
    paper=_PAPER.format(6),
    parameters=2_311_766,
    input_size=(3, 7, 64, 112),
    published=[PublishedFidelity(_VIMEO, 34.90, 0.9295, "table 6")],
)
def vsr_ls3d(
    width: int = 64,
    num_blocks: int = 6,
    ls3d_blocks: Sequence[int] | None = None,
    scale: int = 4,
    residual: bool = True,
) -> SuperResolutionNet:
    """Super-resolution x4 with LS3D residual blocks and a sub-pixel layer, as in the paper."""
    # "Fewer ResBlocks" than SRResNet's 16: six, as in figure 2. SRResNet has 64 channels.
    return SuperResolutionNet(residual_blocks(width, num_blocks, ls3d_blocks), width, scale, residual=residual)


@register_model(
    paper=_PAPER.format(6),
    parameters=1_471_472,
    input_size=(3, 7, 64, 112),
    published=[PublishedFidelity(_VIMEO, 33.25, 0.9133, "table 6")],
)
def vsr_conv3d(width: int = 64, num_blocks: int = 6, scale: int = 4, residual: bool = True) -> SuperResolutionNet:
    """Super-resolution x4 with plain 3D residual blocks, the paper's baseline."""
    return SuperResolutionNet(residual_blocks(width, num_blocks, ()), width, scale, residual=residual)


@register_model(
    paper=_PAPER.format(5),
    parameters=398_685,
    input_size=(3, 5, 72, 88),
    published=[PublishedFidelity(_YUV, 30.17, 0.88, "table 5")],
)
def vsr_p3d_ls3d(width: int = 64, num_blocks: int = 5, scale: int = 4, residual: bool = True) -> P3DSuperResolutionNet:
    """Super-resolution x4 with P3D blocks whose 3x1x1 convolutions are LS3D, as in the paper."""
    return P3DSuperResolutionNet(num_blocks, True, width, scale, residual)


@register_model(paper=_PAPER.format(5), parameters=390_000, input_size=(3, 5, 72, 88))
def vsr_p3d_conv3d(
    width: int = 64, num_blocks: int = 5, scale: int = 4, residual: bool = True
) -> P3DSuperResolutionNet:
    """Super-resolution x4 with plain P3D blocks, the baseline of ``vsr_p3d_ls3d``."""
    return P3DSuperResolutionNet(num_blocks, False, width, scale, residual)


@register_model(input_size=(3, 5, 180, 320))
def vsr_ls3d_plus_s(width: int = 40, blocks: int = 8) -> SuperResolutionNetPlus:
    """Super-resolution x4 that gathers the neighbors by one LS3D convolution, small."""
    return SuperResolutionNetPlus(width, blocks)


@register_model(input_size=(3, 5, 180, 320))
def vsr_ls3d_plus_m(width: int = 56, blocks: int = 16) -> SuperResolutionNetPlus:
    """Super-resolution x4 that gathers the neighbors by one LS3D convolution, medium."""
    return SuperResolutionNetPlus(width, blocks)


@register_model(input_size=(3, 5, 180, 320))
def vsr_ls3d_plus_l(width: int = 96, blocks: int = 24) -> SuperResolutionNetPlus:
    """Super-resolution x4 that gathers the neighbors by one LS3D convolution, large."""
    return SuperResolutionNetPlus(width, blocks)
