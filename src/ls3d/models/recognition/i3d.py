"""I3D on ResNet-50, with non-local blocks, with LS3D-Conv (arXiv:1705.07750, 1711.07971, 2011.10974).

Nine of the sixteen bottlenecks begin with 3x1x1 instead of 1x1x1; those are what ``ls3d=True`` makes
learnable. The published networks share their parameters and differ in where they stride over time: see
``LAYOUTS``.

On table 8 of the LS3D paper. Its parameters are those of these networks: 28.04 M and 35.40 M exactly; with
LS3D 28.204 M and 35.563 M for the printed 28.21 M and 35.57 M, the predictors being 3x1x1 convolutions to
nine channels with a bias. Its operations are counted at 32x256x256, not at the 32x224x224 of its text, and
leave out the matrix products of non-local blocks: strides of 1, 2, 2 give 86.54 G multiply-adds for the
printed 86.59 G (and strides of 2, 2, 2 the same number of FLOPs), the non-local blocks' convolutions 13.42 G
for 13.51 G. What LS3D adds cannot be had by counting convolutions: a predictor with 27 weights for an input
channel makes 27 multiply-adds for it at every position, 1.61 G or 1.9 %, three times the printed 0.54 G (0.6
%), which are nine, as if only one temporal tap of the predictor had been counted. The bilinear sampling,
which the table leaves out too, is another 0.72 G.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Unpack

from torch import nn

from ls3d.errors import InputError
from ls3d.models.metadata import SLOWFAST, kinetics
from ls3d.models.recognition._base import RecognitionArguments
from ls3d.models.recognition._learnable import Learnable, make_learnable
from ls3d.models.recognition._resnet3d import (
    DEPTHS,
    WIDTHS,
    Bottleneck,
    Norm,
    Place,
    ResNet3d,
    batch_norm,
    conv2d,
    make_shortcut,
    make_stages,
    stem3d,
    zero_last_scale,
)
from ls3d.models.registry import register_model
from ls3d.nn.non_local import Mode, NonLocalBlock3d, PoolPlace

LayoutName = Literal["slowfast", "nonlocal", "mmaction2", "table8"]


@dataclass(frozen=True)
class Layout:
    """Where I3D strides over time: the stem, the pool behind it and the pool after the first stage."""

    stem: int
    pool1: int
    pool2: int = 2
    pool1_kernel: int = 1
    pool1_padding: int = 1

    def make_pool1(self) -> nn.Module:
        """Halves height and width."""
        padding = (0, self.pool1_padding, self.pool1_padding)
        return nn.MaxPool3d((self.pool1_kernel, 3, 3), (self.pool1, 2, 2), padding)

    def make_pool2(self) -> nn.Module:
        """Halves the length."""
        return nn.MaxPool3d((self.pool2, 1, 1))


#: ``slowfast`` is also pytorchvideo's and video-nonlocal-net's for 8 frames; ``nonlocal`` is the latter's for
#: 32. ``table8`` is nowhere released; it fits the operations that the LS3D paper prints.
LAYOUTS = {
    "slowfast": Layout(stem=1, pool1=1),
    "nonlocal": Layout(stem=2, pool1=2, pool1_kernel=2, pool1_padding=0),
    "mmaction2": Layout(stem=2, pool1=2),
    "table8": Layout(stem=1, pool1=2),
}

#: Temporal kernels of the bottlenecks' first convolutions, stage by stage.
_FIRST_KERNELS = ((3, 3, 3), (3, 1, 3, 1), (3, 1, 3, 1, 3, 1), (1, 3, 1))
#: Stage and index of the bottlenecks that a non-local block follows.
_NON_LOCAL = frozenset({(1, 1), (1, 3), (2, 1), (2, 3), (2, 5)})


class I3dArguments(RecognitionArguments, total=False):
    """The arguments of the I3D networks.

    Attributes:
        layout: whose strides over time, a name out of ``LAYOUTS``.
        bn_eps: epsilon of the normalizations.
        non_local_mode: ``"softmax"`` or ``"dot_product"``.
        non_local_scale: divide the softmax's argument by the root of the inner width.
        non_local_pool: where keys and values are pooled; see ``NonLocalBlock3d``.
    """

    layout: LayoutName
    bn_eps: float
    non_local_mode: Mode
    non_local_scale: bool
    non_local_pool: PoolPlace


def _i3d(
    non_local: bool,
    *,
    layout: LayoutName = "slowfast",
    bn_eps: float = 1e-5,
    non_local_mode: Mode = "softmax",
    non_local_scale: bool = True,
    non_local_pool: PoolPlace = "before",
    **arguments: Unpack[RecognitionArguments],
) -> ResNet3d:
    if layout not in LAYOUTS:
        raise InputError(f"layout is {layout!r}; it is one of {', '.join(LAYOUTS)}")

    def attention(channels: int) -> nn.Module:
        return NonLocalBlock3d(channels, mode=non_local_mode, scale=non_local_scale, pool=non_local_pool, bn_eps=bn_eps)

    block = _block(batch_norm(bn_eps), attention if non_local else None)
    return _assemble(LAYOUTS[layout], batch_norm(bn_eps), block, **arguments)


def _block(norm: Norm, attention: Callable[[int], nn.Module] | None) -> Callable[[Place], nn.Module]:
    def make(place: Place) -> nn.Module:
        outputs = 4 * place.width
        follows = attention is not None and (place.stage, place.index) in _NON_LOCAL
        block = Bottleneck(
            place.inputs,
            place.width,
            place.stride,
            conv2d,
            norm,
            make_shortcut(place.inputs, outputs, place.stride, norm, "projection"),
            first_kernel=_FIRST_KERNELS[place.stage][place.index],
            non_local=attention(outputs) if attention is not None and follows else None,
        )
        zero_last_scale(block)
        return block

    return make


def _assemble(
    layout: Layout,
    norm: Norm,
    block: Callable[[Place], nn.Module],
    *,
    num_classes: int = 400,
    in_channels: int = 3,
    ls3d: Learnable = False,
    dropout: float = 0.5,
) -> ResNet3d:
    net = ResNet3d(
        stem3d(in_channels, 5, norm, layout.stem),
        layout.make_pool1(),
        make_stages(DEPTHS[50], (1, 1, 1, 1), Bottleneck.expansion, block),
        WIDTHS[-1] * Bottleneck.expansion,
        in_channels,
        num_classes,
        dropout,
        layout.make_pool2(),
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
    normalization=SLOWFAST,
)
def i3d_r50(**arguments: Unpack[I3dArguments]) -> ResNet3d:
    """Inflated ResNet-50."""
    return _i3d(False, **arguments)


@register_model(
    paper=_NL_PAPER,
    parameters=35_401_936,
    input_size=(3, 32, 224, 224),
    accuracy=kinetics(73.6, 91.0, _TABLE_8),
    normalization=SLOWFAST,
)
def i3d_r50_nl(**arguments: Unpack[I3dArguments]) -> ResNet3d:
    """Inflated ResNet-50 with five non-local blocks."""
    return _i3d(True, **arguments)


@register_model(
    paper=_LS3D_PAPER,
    parameters=28_204_257,
    input_size=(3, 32, 224, 224),
    accuracy=kinetics(72.9, 90.6, _TABLE_8),
    normalization=SLOWFAST,
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
    normalization=SLOWFAST,
)
def i3d_r50_nl_ls3d(**arguments: Unpack[I3dArguments]) -> ResNet3d:
    """Inflated ResNet-50 with five non-local blocks, whose 3x1x1 convolutions sample learnably."""
    settings: I3dArguments = {"ls3d": True, **arguments}
    return _i3d(True, **settings)
