"""I3D on ResNet-50, with non-local blocks, with LS3D-Conv (arXiv:1705.07750, 1711.07971, 2011.10974).

Nine of the sixteen bottlenecks start with 3x1x1 instead of 1x1x1; ``ls3d=True`` converts those. The published networks
have equal parameters and differ in their strides over time: see ``TEMPORAL_STRIDES``.

Table 8 of the LS3D paper compared with these networks. Parameters: 28.04 M and 35.40 M exactly; with LS3D 28.204 M and
35.563 M for the printed 28.21 M and 35.57 M, the predictors being 3x1x1 convolutions to nine channels with a bias.
Operations: the table counts at 32x256x256, not at the 32x224x224 of the text, and without the matrix products of
non-local blocks. Strides of 1, 2, 2 give 86.54 G multiply-adds for the printed 86.59 G (and strides of 2, 2, 2 the same
number of FLOPs), the convolutions of the non-local blocks 13.42 G for 13.51 G. The operations that LS3D adds don't
agree: a predictor with 27 weights for an input channel makes 27 multiply-adds for it at every position, 1.61 G (1.9 %)
in total. The printed 0.54 G (0.6 %) are nine multiply-adds, as if one temporal tap of the predictor had been counted.
The bilinear sampling, which the table doesn't count, takes another 0.72 G.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Unpack

from torch import nn

from ls3d.errors import InputError
from ls3d.models.metadata import SLOWFAST, kinetics
from ls3d.models.recognition._base import RecognitionArguments
from ls3d.models.recognition._blocks import (
    Bottleneck,
    NormMaker,
    batch_norm,
    conv2d,
    make_shortcut,
    stem3d,
    zero_last_scale,
)
from ls3d.models.recognition._learnable import Learnable, make_learnable
from ls3d.models.recognition._resnet3d import DEPTHS, WIDTH, BlockMaker, BlockSpec, ResNet3d, make_stages
from ls3d.models.registry import register_model
from ls3d.nn.non_local import Mode, NonLocalBlock3d, PoolPlace

I3dLayout = Literal["slowfast", "nonlocal", "mmaction2", "table8"]


@dataclass(frozen=True)
class TemporalStrides:
    """The strides over time of an I3D, and the shape of its first pool.

    Attributes:
        stem: stride of the stem.
        pool1: stride of the pool after the stem.
        pool2: kernel and stride of the pool after the first stage.
        pool1_kernel: temporal kernel of the pool after the stem.
        pool1_padding: its spatial padding.
    """

    stem: int
    pool1: int
    pool2: int = 2
    pool1_kernel: int = 1
    pool1_padding: int = 1

    def make_pool1(self) -> nn.Module:
        """Make the pool after the stem, which halves height and width."""
        padding = (0, self.pool1_padding, self.pool1_padding)
        return nn.MaxPool3d((self.pool1_kernel, 3, 3), (self.pool1, 2, 2), padding)

    def make_pool2(self) -> nn.Module:
        """Make the pool after the first stage, which halves the length."""
        return nn.MaxPool3d((self.pool2, 1, 1))


#: ``slowfast`` is also that of pytorchvideo, and of video-nonlocal-net for 8 frames; ``nonlocal`` is that of
#: video-nonlocal-net for 32 frames. ``table8`` was never released; it fits the operations printed in the LS3D paper.
TEMPORAL_STRIDES: dict[I3dLayout, TemporalStrides] = {
    "slowfast": TemporalStrides(stem=1, pool1=1),
    "nonlocal": TemporalStrides(stem=2, pool1=2, pool1_kernel=2, pool1_padding=0),
    "mmaction2": TemporalStrides(stem=2, pool1=2),
    "table8": TemporalStrides(stem=1, pool1=2),
}

#: Temporal kernel of the first convolution of each bottleneck, stage by stage.
_FIRST_KERNELS = ((3, 3, 3), (3, 1, 3, 1), (3, 1, 3, 1, 3, 1), (1, 3, 1))
#: Stage and index of the bottlenecks that are followed by a non-local block.
_NON_LOCAL = frozenset({(1, 1), (1, 3), (2, 1), (2, 3), (2, 5)})


class I3dArguments(RecognitionArguments, total=False):
    """The arguments of the I3D networks.

    Attributes:
        layout: strides over time, a key of ``TEMPORAL_STRIDES``.
        bn_eps: epsilon of the normalizations.
        non_local_mode: ``"softmax"`` or ``"dot_product"``.
        non_local_scale: whether the softmax's argument is divided by the square root of the inner width.
        non_local_pool: where keys and values are pooled; see ``NonLocalBlock3d``.
        width: channels of the stem and inside the blocks of the first stage; each later stage has twice as many.
    """

    layout: I3dLayout
    bn_eps: float
    non_local_mode: Mode
    non_local_scale: bool
    non_local_pool: PoolPlace
    width: int


def _i3d(
    non_local: bool,
    *,
    layout: I3dLayout = "slowfast",
    bn_eps: float = 1e-5,
    non_local_mode: Mode = "softmax",
    non_local_scale: bool = True,
    non_local_pool: PoolPlace = "before",
    width: int = WIDTH,
    **arguments: Unpack[RecognitionArguments],
) -> ResNet3d:
    if layout not in TEMPORAL_STRIDES:
        raise InputError(f"layout is {layout!r}, expected one of {', '.join(TEMPORAL_STRIDES)}")

    def attention(channels: int) -> nn.Module:
        return NonLocalBlock3d(channels, mode=non_local_mode, scale=non_local_scale, pool=non_local_pool, bn_eps=bn_eps)

    make_block = _bottlenecks(batch_norm(bn_eps), attention if non_local else None)
    return _assemble(TEMPORAL_STRIDES[layout], batch_norm(bn_eps), make_block, width, **arguments)


def _bottlenecks(norm: NormMaker, attention: Callable[[int], nn.Module] | None) -> BlockMaker:
    """Return the maker of the blocks; ``attention`` makes a non-local block of a number of channels."""

    def make_block(spec: BlockSpec) -> nn.Module:
        out_channels = Bottleneck.expansion * spec.width
        shortcut = make_shortcut(spec.in_channels, out_channels, spec.stride, norm, "projection")
        non_local = None
        if attention is not None and (spec.stage, spec.index) in _NON_LOCAL:
            non_local = attention(out_channels)
        block = Bottleneck(
            spec.in_channels,
            spec.width,
            spec.stride,
            conv2d,
            norm,
            shortcut,
            first_kernel=_FIRST_KERNELS[spec.stage][spec.index],
            non_local=non_local,
        )
        zero_last_scale(block)
        return block

    return make_block


def _assemble(
    strides: TemporalStrides,
    norm: NormMaker,
    make_block: BlockMaker,
    width: int,
    *,
    num_classes: int = 400,
    in_channels: int = 3,
    ls3d: Learnable = False,
    dropout: float = 0.5,
) -> ResNet3d:
    net = ResNet3d(
        stem3d(in_channels, 5, norm, width, strides.stem),
        strides.make_pool1(),
        make_stages(DEPTHS[50], (1, 1, 1, 1), Bottleneck.expansion, make_block, width),
        8 * width * Bottleneck.expansion,
        in_channels,
        num_classes,
        dropout,
        strides.make_pool2(),
    )
    return make_learnable(net, ls3d, net.input_layers)


_TABLE_8 = "LS3D-Conv (arXiv:2011.10974), table 8"
_PAPER = "arXiv:1705.07750"
_NL_PAPER = "arXiv:1711.07971"
_LS3D_PAPER = "arXiv:2011.10974, table 8"


@register_model(
    paper=_PAPER,
    parameters=28_043_472,
    input_size=(3, 32, 224, 224),
    gmacs=113.63,
    accuracy=kinetics(72.0, 89.9, _TABLE_8),
    preprocessing=SLOWFAST,
)
def i3d_r50(**arguments: Unpack[I3dArguments]) -> ResNet3d:
    """Inflated ResNet-50."""
    return _i3d(False, **arguments)


@register_model(
    paper=_NL_PAPER,
    parameters=35_401_936,
    input_size=(3, 32, 224, 224),
    accuracy=kinetics(73.6, 91.0, _TABLE_8),
    preprocessing=SLOWFAST,
)
def i3d_r50_nl(**arguments: Unpack[I3dArguments]) -> ResNet3d:
    """Inflated ResNet-50 with five non-local blocks."""
    return _i3d(True, **arguments)


@register_model(
    paper=_LS3D_PAPER,
    parameters=28_204_257,
    input_size=(3, 32, 224, 224),
    accuracy=kinetics(72.9, 90.6, _TABLE_8),
    preprocessing=SLOWFAST,
)
def i3d_r50_ls3d(**arguments: Unpack[I3dArguments]) -> ResNet3d:
    """Inflated ResNet-50 whose 3x1x1 convolutions sample learnably."""
    settings: I3dArguments = {"ls3d": True, **arguments}
    return _i3d(False, **settings)


@register_model(
    paper=_LS3D_PAPER,
    parameters=35_562_721,
    input_size=(3, 32, 224, 224),
    accuracy=kinetics(74.2, 91.2, _TABLE_8),
    preprocessing=SLOWFAST,
)
def i3d_r50_nl_ls3d(**arguments: Unpack[I3dArguments]) -> ResNet3d:
    """Inflated ResNet-50 with five non-local blocks, whose 3x1x1 convolutions sample learnably."""
    settings: I3dArguments = {"ls3d": True, **arguments}
    return _i3d(True, **settings)
