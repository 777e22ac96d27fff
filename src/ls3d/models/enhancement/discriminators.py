"""Discriminators for the two adversarial losses of the LS3D paper (section 4.2), one in 2D and one in 3D.

The paper names the losses and leaves the networks to a supplement, so these are the usual ones: patch
discriminators (arXiv:1611.07004, section 3.2.2), as in video-to-video synthesis (arXiv:1808.06601), which also
judges frames and sequences apart. They take part in training alone, so the registry of networks doesn't list them.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Sequential):
    """Strided convolutions that judge every patch: real or made.

    Spectral normalization (arXiv:1802.05957) instead of a batch or instance norm: it bounds the gradient that
    reaches the network in training, whatever the batch, and leaves brightness and contrast visible, which
    restoration has to get right and an instance norm would divide out.

    Args:
        frames: frames that one kernel spans: 1 judges every frame alone, 3 judges how they follow each other.
        width: channels after the first convolution; they double with each further one.
        levels: convolutions of stride 2; with three, a logit sees a patch of 38x38 pixels.

    Shape:
        ``(N, 3, T, H, W)``, H and W at least ``2**levels``, to logits ``(N, 1, T, H / 2**levels, W / 2**levels)``,
        rounded down.
    """

    def __init__(self, frames: int, width: int = 64, levels: int = 3) -> None:
        layers: list[nn.Module] = []
        channels = 3
        for level in range(levels):
            wider = width * 2**level
            # A kernel of 4 at stride 2 sees every pixel equally often, so its gradient has no checkerboard.
            conv = nn.Conv3d(channels, wider, (frames, 4, 4), stride=(1, 2, 2), padding=(frames // 2, 1, 1))
            layers += [spectral_norm(conv), nn.LeakyReLU(0.2, inplace=True)]
            channels = wider
        head = nn.Conv3d(channels, 1, (frames, 3, 3), padding=(frames // 2, 1, 1))
        super().__init__(*layers, spectral_norm(head))

    def forward(self, frames: Tensor) -> Tensor:
        """Logits of ``frames (N, 3, T, H, W)`` in [0, 1]; positive means real."""
        return super().forward(2 * frames - 1)


def discriminator_2d(width: int = 64, levels: int = 3) -> PatchDiscriminator:
    """Judges every frame on its own: are its details real?"""
    return PatchDiscriminator(1, width, levels)


def discriminator_3d(width: int = 64, levels: int = 3) -> PatchDiscriminator:
    """Judges the sequence: do its frames follow each other as real ones do? Sees nine frames at three levels."""
    return PatchDiscriminator(3, width, levels)
