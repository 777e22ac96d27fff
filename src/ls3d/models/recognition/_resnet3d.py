"""The residual networks for clips: stages of blocks, the network, its assembly.

R2D, R3D, MCx and R(2+1)D (arXiv:1711.11248), CSN (arXiv:1904.02811), Res3D (arXiv:1708.05038) and I3D-R50
(arXiv:1705.07750) have this structure in common: stem, optional pool, four stages, mean over space and time,
classifier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ls3d.errors import InputError
from ls3d.models.network import RecognitionTraits
from ls3d.models.recognition._base import RecognitionArguments, RecognitionNet, make_classifier
from ls3d.models.recognition._blocks import (
    ConvMaker,
    NormMaker,
    Pool,
    Shortcut,
    Stride,
    batch_norm,
    block_class,
    make_pool,
    make_shortcut,
    project,
    stem3d,
)
from ls3d.models.recognition._learnable import Learnable, make_learnable

#: Blocks of the four stages, by depth.
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}

#: Channels of the stem and inside the blocks of the first stage.
WIDTH = 64

#: Channels inside the blocks of the four stages.
WIDTHS = (WIDTH, 2 * WIDTH, 4 * WIDTH, 8 * WIDTH)


class ResNetArguments(RecognitionArguments, total=False):
    """The arguments that all residual networks take.

    Attributes:
        bn_eps: epsilon of the normalizations: 1e-3 in Caffe2 (VMZ), 1e-5 in PyTorch's own checkpoints.
        temporal_strides: of the four stages; VMZ builds (1, 2, 2, 1) for clips of less than 8 frames.
        pool1: max-pool after the stem: ``"none"``, ``"spatial"`` (1x3x3) or ``"spatiotemporal"`` (3x3x3).
        shortcut: where shapes change: ``"projection"`` (1x1x1) or ``"zero_padding"`` (type A of arXiv:1512.03385).
        width: channels of the stem and inside the blocks of the first stage; each later stage has twice as many.
        blocks: of the four stages; None has those of the depth. (1, 1, 1, 1) and (2, 2, 2, 1) make the networks of 10
            and 16 layers of those of 18.
    """

    bn_eps: float
    temporal_strides: Sequence[int]
    pool1: Pool
    shortcut: Shortcut
    width: int
    blocks: Sequence[int] | None


class StemArguments(ResNetArguments, total=False):
    """The arguments of the residual networks with a variable stem.

    Attributes:
        stem_kernel: temporal extent of the stem; 3 by default.
    """

    stem_kernel: int


@dataclass(frozen=True)
class BlockSpec:
    """Position and shape of a residual block.

    Attributes:
        stage: 0 to 3, for conv2_x to conv5_x.
        index: position in the stage, from 0.
        in_channels: channels of its input.
        width: channels inside.
        stride: (time, height, width).
    """

    stage: int
    index: int
    in_channels: int
    width: int
    stride: Stride


BlockMaker = Callable[[BlockSpec], nn.Module]


def make_stages(
    depth: Sequence[int], temporal_strides: Sequence[int], expansion: int, make_block: BlockMaker, width: int = WIDTH
) -> list[nn.Sequential]:
    """Make the four stages; each but the first halves height and width in its first block.

    Args:
        depth: blocks of each stage.
        temporal_strides: of the first block of each stage.
        expansion: output channels of a block over its width.
        make_block: makes the blocks.
        width: channels of the stem and inside the blocks of the first stage.

    Raises:
        InputError: there are not four temporal strides.
    """
    if len(temporal_strides) != 4:
        raise InputError(f"temporal_strides is {list(temporal_strides)}, expected four numbers, one for each stage")
    stages = []
    in_channels = width
    for stage, (count, temporal) in enumerate(zip(depth, temporal_strides, strict=True)):
        stage_width = width << stage
        spatial = 1 if stage == 0 else 2
        blocks = []
        for index in range(count):
            stride = (temporal, spatial, spatial) if index == 0 else (1, 1, 1)
            blocks.append(make_block(BlockSpec(stage, index, in_channels, stage_width, stride)))
            in_channels = stage_width * expansion
        stages.append(nn.Sequential(*blocks))
    return stages


def plain_blocks(
    depth: int, conv_makers: Sequence[ConvMaker], norm: NormMaker, shortcut: Shortcut, project_first: bool
) -> BlockMaker:
    """Return the maker of the blocks of a network, given one maker of convolutions for each stage."""
    block = block_class(depth)

    def make_block(spec: BlockSpec) -> nn.Module:
        shape = (spec.in_channels, spec.width * block.expansion, spec.stride, norm)
        is_first = spec.stage == spec.index == 0
        downsample = project(*shape) if is_first and project_first else make_shortcut(*shape, shortcut)
        return block(spec.in_channels, spec.width, spec.stride, conv_makers[spec.stage], norm, downsample)

    return make_block


class ResNet3d(RecognitionNet):
    """Stem, pool, four residual stages, mean over space and time, classifier.

    Args:
        stem: maps the clip to the channels that the first stage takes.
        pool1: follows the stem.
        stages: the four stages.
        num_features: channels of the last stage.
        in_channels: channels of the clip.
        num_classes: outputs; 0 for features.
        dropout: before the classifier.
        pool2: follows the first stage.
    """

    traits = RecognitionTraits(task="recognition", modalities=("clip",), clip_length=None)

    def __init__(
        self,
        stem: nn.Sequential,
        pool1: nn.Module,
        stages: Sequence[nn.Sequential],
        num_features: int,
        in_channels: int,
        num_classes: int,
        dropout: float = 0.0,
        pool2: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.num_features = num_features
        self.stem = stem
        self.pool1 = pool1
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.stages = ("layer1", "layer2", "layer3", "layer4")
        if pool2 is not None:
            self.pool2 = pool2
            self.stages = ("layer1", "pool2", "layer2", "layer3", "layer4")
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = make_classifier(num_features, num_classes)
        init_residual(self)

    def forward_features(self, clip: Tensor) -> Tensor:
        """Map ``(N, in_channels, T, H, W)`` to the last stage's output ``(N, num_features, T', H', W')``.

        Raises:
            InputError: the clip has another shape.
        """
        self.check_clip(clip)
        return self.run_stages(self.pool1(self.stem(clip)))

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Average ``(N, C, T, H, W)`` over all positions and classify: ``(N, num_classes)`` or ``(N, C)``."""
        pooled: Tensor = self.dropout(self.avgpool(features).flatten(1))
        return pooled if pre_logits else self.fc(pooled)


def resnet3d(
    depth: int,
    conv_makers: Sequence[ConvMaker],
    *,
    num_classes: int = 400,
    in_channels: int = 3,
    ls3d: Learnable = False,
    dropout: float = 0.0,
    bn_eps: float = 1e-3,
    temporal_strides: Sequence[int] = (1, 2, 2, 2),
    pool1: Pool = "none",
    shortcut: Shortcut = "projection",
    stem_kernel: int = 3,
    width: int = WIDTH,
    blocks: Sequence[int] | None = None,
    stem: Callable[[int, int, NormMaker, int], nn.Sequential] = stem3d,
    project_first: bool = False,
) -> ResNet3d:
    """Assemble a network.

    Arguments that aren't listed are explained in ``RecognitionArguments``, ``ResNetArguments`` and ``StemArguments``.

    Args:
        depth: a key of ``DEPTHS``.
        conv_makers: the maker of the convolutions of each stage.
        stem: makes the stem from the channels of the clip, ``stem_kernel``, the maker of its normalizations and
            ``width``.
        project_first: whether the first block has a projection although its shapes are equal.

    Raises:
        InputError: ``blocks`` are not four positive numbers.
    """
    if blocks is not None and (len(blocks) != 4 or min(blocks) < 1):
        raise InputError(f"blocks is {list(blocks)}, expected four positive numbers, one for each stage")
    norm = batch_norm(bn_eps)
    expansion = block_class(depth).expansion
    make_block = plain_blocks(depth, conv_makers, norm, shortcut, project_first)
    net = ResNet3d(
        stem(in_channels, stem_kernel, norm, width),
        make_pool(pool1),
        make_stages(blocks or DEPTHS[depth], temporal_strides, expansion, make_block, width),
        8 * width * expansion,
        in_channels,
        num_classes,
        dropout,
    )
    return make_learnable(net, ls3d, net.input_layers)


def init_residual(model: nn.Module) -> None:
    """Initialize convolutions by He's method over the fan-out (MSRAFill in Caffe2)."""
    for name, module in model.named_modules():
        if ".non_local." in name:
            continue  # initialized by its class
        if isinstance(module, nn.Conv3d | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
