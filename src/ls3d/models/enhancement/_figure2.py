"""The parts of figure 2(b) of the LS3D paper, which section 3.1 reuses for every enhancement task.

The paper doesn't state widths and kernel sizes of the deconvolutions; comments explain our choices.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from ls3d.errors import InputError
from ls3d.nn import Conv3d, LS3DResBlock


def residual_blocks(width: int, count: int, ls3d_blocks: Iterable[int] | None = None) -> list[LS3DResBlock]:
    """Make residual blocks, some of them LS3D.

    Args:
        width: channels of input and output.
        count: number of blocks.
        ls3d_blocks: numbers, from 1, of the blocks that are LS3D, None for all; the others are plain 3D residual
            blocks.

    Raises:
        InputError: there is no block of a number.
    """
    numbers = range(1, count + 1)
    learnable = set(numbers if ls3d_blocks is None else ls3d_blocks)
    if not learnable <= set(numbers):
        raise InputError(f"ls3d_blocks must be in 1..{count}, got {sorted(learnable)}")
    return [LS3DResBlock(width, learnable_sampling=number in learnable) for number in numbers]


class TemporalTrunk(nn.Module):
    """Six residual blocks with temporal deconvolutions after the second and the fourth.

    The "interpolation component" of figure 2(b). A temporal stride of 2 makes 2 -> 3 -> 5 frames; a stride of 1, which
    the paper states for other tasks, keeps the number of frames.

    Args:
        width: channels of input and output.
        ls3d_blocks: as for ``residual_blocks``.
        temporal_stride: of the deconvolutions.
    """

    def __init__(self, width: int, ls3d_blocks: Iterable[int] | None = None, temporal_stride: int = 2) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, block in enumerate(residual_blocks(width, 6, ls3d_blocks), 1):
            layers.append(block)
            if number in (2, 4):
                # At stride 2, kernel 3 and padding 1 map T frames to 2T - 1: the old ones with new ones in between.
                layers.append(nn.ConvTranspose3d(width, width, 3, stride=(temporal_stride, 1, 1), padding=1))
                layers.append(nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(N, width, T, h, w)`` to ``(N, width, T', h, w)``: T' is 4T - 3 at a stride of 2, T at 1."""
        output: Tensor = self.layers(features)
        return output


def make_encoder(in_channels: int, width: int) -> nn.Sequential:
    """Make two strided convolutions: ``(N, in_channels, T, H, W)`` to ``(N, width, T, H / 4, W / 4)``."""
    half = width // 2
    return nn.Sequential(
        Conv3d(in_channels, half, 3, stride=(1, 2, 2), padding=1),
        nn.ReLU(inplace=True),
        Conv3d(half, width, 3, stride=(1, 2, 2), padding=1),
        nn.ReLU(inplace=True),
    )


def make_decoder(width: int) -> nn.Sequential:
    """Make two strided deconvolutions: ``(N, width, T, h, w)`` to ``(N, 3, T, 4h, 4w)``."""
    half = width // 2
    # A kernel of 4 at stride 2 contributes equally often to every output pixel: no checkerboard artifacts.
    return nn.Sequential(
        nn.ConvTranspose3d(width, half, (3, 4, 4), stride=(1, 2, 2), padding=1),
        nn.ReLU(inplace=True),
        nn.ConvTranspose3d(half, 3, (3, 4, 4), stride=(1, 2, 2), padding=1),
    )
