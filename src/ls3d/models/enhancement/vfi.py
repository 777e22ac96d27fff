"""Video frame interpolation: two frames to five, at t = 0, 1/4, 1/2, 3/4 and 1, of which three are new.

``vfi_ls3d`` is figure 2 of the LS3D paper (arXiv:2011.10974), ``vfi_conv3d`` its baseline.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from ls3d.models.enhancement._figure2 import TemporalTrunk, make_decoder, make_encoder
from ls3d.models.metadata import PublishedFidelity
from ls3d.models.network import EnhancementTraits, InterpolationNetwork, quarter_indices
from ls3d.models.registry import register_model
from ls3d.nn import initialize


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
