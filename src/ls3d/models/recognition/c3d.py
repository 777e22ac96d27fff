"""C3D: eight 3x3x3 convolutions, five pools, three linear layers (arXiv:1412.0767).

The last pool of the released network works in ceil mode (7 to 4 before ``fc6``, hence its 8,192 inputs). VMZ's variant
has normalizations and rounds down (7 to 3); mmaction2's port pads, which shifts the windows. The argument ``pool5``
chooses. ``fc6`` and ``fc7`` include their ReLU: ``forward_intermediates(clip, layers=["fc6"])`` returns the features
that are used as descriptors of videos.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Unpack

from torch import Tensor, nn

from ls3d.errors import InputError
from ls3d.models.metadata import C3D_SPORTS, VMZ, PublishedAccuracy, kinetics
from ls3d.models.network import RecognitionTraits
from ls3d.models.recognition._base import RecognitionArguments, RecognitionNet, make_classifier
from ls3d.models.recognition._learnable import Learnable, make_learnable
from ls3d.models.registry import register_model
from ls3d.nn import Conv3d

Pool5 = Literal["ceil", "floor", "padded"]

#: The convolutions before each pool: name and width.
_EIGHT = (
    (("conv1a", 64),),
    (("conv2a", 128),),
    (("conv3a", 256), ("conv3b", 256)),
    (("conv4a", 512), ("conv4b", 512)),
    (("conv5a", 512), ("conv5b", 512)),
)
_FIVE = tuple(((f"conv{number}", width),) for number, width in enumerate((64, 128, 256, 256, 256), 1))

_PAPER = "arXiv:1412.0767"
_SIZE = (3, 16, 112, 112)


class C3dArguments(RecognitionArguments, total=False):
    """The arguments of the C3D networks.

    Attributes:
        pool5: rounding of the last pool: ``"ceil"`` (the released weights), ``"floor"`` (VMZ), or ``"padded"`` with one
            row and column on each side (mmaction2).
        bn_eps: epsilon of the normalizations, if there are any.
    """

    pool5: Pool5
    bn_eps: float


class C3D(RecognitionNet):
    """Convolutions in five groups, each followed by a pool, then ``fc6``, ``fc7`` and the classifier ``fc8``.

    It takes clips of 16 frames and 112x112 pixels, because they determine the inputs of ``fc6``. Arguments that
    aren't listed are explained in ``C3dArguments``.

    Args:
        groups: name and width of the convolutions, group by group.
        hidden: width of ``fc6`` and ``fc7``.
        normalize: whether a batch normalization follows every convolution.
    """

    traits = RecognitionTraits(task="recognition", modalities=("clip",), clip_length=16)

    classifier = "fc8"

    def __init__(
        self,
        groups: Sequence[Sequence[tuple[str, int]]],
        hidden: int,
        *,
        normalize: bool = False,
        num_classes: int = 400,
        in_channels: int = 3,
        dropout: float = 0.5,
        pool5: Pool5 = "ceil",
        bn_eps: float = 1e-3,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.num_features = hidden
        names = []
        channels = in_channels
        for number, group in enumerate(groups, 1):
            for name, width in group:
                norm = [nn.BatchNorm3d(width, eps=bn_eps)] if normalize else []
                conv = Conv3d(channels, width, 3, padding=1)
                self.add_module(name, nn.Sequential(conv, *norm, nn.ReLU(inplace=True)))
                names.append(name)
                channels = width
            self.add_module(f"pool{number}", _make_pool(number, pool5))
            names.append(f"pool{number}")
        self.stages = tuple(names)
        self.input_layers = (names[0],)
        side = 3 if pool5 == "floor" else 4
        self.flat_features = channels * side * side
        self.fc6 = nn.Sequential(nn.Linear(self.flat_features, hidden), nn.ReLU(inplace=True))
        self.fc7 = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(inplace=True))
        self.dropout = nn.Dropout(dropout)
        self.fc8 = make_classifier(hidden, num_classes)
        self._init_weights(normalize)

    def _init_weights(self, normalize: bool) -> None:
        """Initialize as the release: Gaussian weights, biases of 1 in all layers but the first and the last."""
        convs = [module for module in self.modules() if isinstance(module, nn.Conv3d)]
        hidden = [module for part in (self.fc6, self.fc7) for module in part if isinstance(module, nn.Linear)]
        layers: list[nn.Conv3d | nn.Linear] = [*convs, *hidden]
        for layer in layers:
            nn.init.normal_(layer.weight, std=0.01 if isinstance(layer, nn.Conv3d) else 0.005)
            if layer.bias is not None:
                nn.init.constant_(layer.bias, 0.0 if normalize or layer is convs[0] else 1.0)

    def forward_features(self, clip: Tensor) -> Tensor:
        """Map ``(N, in_channels, 16, 112, 112)`` to the output of ``pool5``, ``(N, C, 1, 4, 4)``.

        Raises:
            InputError: the clip has another shape.
        """
        self.check_clip(clip)
        features = self.run_stages(clip)
        if features[0].numel() != self.flat_features:
            raise InputError(
                f"a clip of {clip.shape[2]} frames, {clip.shape[3]}x{clip.shape[4]} does not fit; "
                "C3D takes 16 frames of 112x112"
            )
        return features

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Map the output of ``pool5`` to logits ``(N, num_classes)``, or to the output of ``fc7``."""
        hidden: Tensor = self.dropout(self.fc6(features.flatten(1)))
        hidden = self.dropout(self.fc7(hidden))
        return hidden if pre_logits else self.fc8(hidden)


def _make_pool(number: int, pool5: Pool5) -> nn.Module:
    """Make the pool after a group of convolutions: the first keeps the length, the last rounds by ``pool5``."""
    size = (1, 2, 2) if number == 1 else (2, 2, 2)
    if number < 5 or pool5 == "floor":
        return nn.MaxPool3d(size)
    if pool5 == "ceil":
        return nn.MaxPool3d(size, ceil_mode=True)
    if pool5 == "padded":
        return nn.MaxPool3d(size, padding=(0, 1, 1))
    raise InputError(f"pool5 is {pool5!r}, expected 'ceil', 'floor' or 'padded'")


def _c3d(
    groups: Sequence[Sequence[tuple[str, int]]],
    hidden: int,
    *,
    normalize: bool = False,
    ls3d: Learnable = False,
    **arguments: Any,
) -> C3D:
    net = C3D(groups, hidden, normalize=normalize, **arguments)
    return make_learnable(net, ls3d, net.input_layers)


@register_model(
    paper=_PAPER,
    parameters=79_634_576,
    input_size=_SIZE,
    gmacs=38.55,
    accuracy=PublishedAccuracy("UCF101", 85.2, "arXiv:1412.0767, table 1: three nets, fc6, linear SVM"),
    preprocessing=C3D_SPORTS,
)
def c3d(**arguments: Unpack[C3dArguments]) -> C3D:
    """C3D as released, with pools in ceil mode and no normalization."""
    return _c3d(_EIGHT, 4096, **arguments)


@register_model(
    paper=_PAPER,
    parameters=64_960_016,
    input_size=_SIZE,
    gmacs=38.53,
    accuracy=kinetics(63.4, 84.6),
    preprocessing=VMZ,
)
def c3d_bn(**arguments: Unpack[C3dArguments]) -> C3D:
    """C3D of VMZ: batch normalization after every convolution, the last pool rounds down."""
    settings: C3dArguments = {"pool5": "floor", **arguments}
    return _c3d(_EIGHT, 4096, normalize=True, **settings)


@register_model(
    paper=f"{_PAPER}, section 3.2",
    parameters=17_444_965,
    input_size=_SIZE,
    preprocessing=C3D_SPORTS,
)
def c3d_ucf101(**arguments: Unpack[C3dArguments]) -> C3D:
    """The small C3D of the paper's architecture search on UCF101 (101 classes by default)."""
    settings: C3dArguments = {"num_classes": 101, **arguments}
    return _c3d(_FIVE, 2048, **settings)
