"""Discriminators for the two adversarial losses of the LS3D paper (section 4.2), one in 2D and one in 3D.

The paper states the losses only; its supplement describes the networks. These are patch discriminators
(arXiv:1611.07004, section 3.2.2), as in video-to-video synthesis (arXiv:1808.06601), which also has one for frames and
one for sequences.

A discriminator is a part of a loss: training creates it and stores it in its checkpoints, and nothing else runs it. It
therefore has no traits and no name, is not registered, and is no ``ls3d.models.Network``.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ls3d.nn import Conv3d


class PatchDiscriminator(nn.Sequential):
    """Strided convolutions that classify every patch as real or generated.

    Spectral normalization (arXiv:1802.05957) replaces batch or instance normalization: it bounds the gradient of the
    generator for any batch, and keeps brightness and contrast, which restoration must preserve and an instance
    normalization would remove.

    Args:
        frames: temporal extent of the kernels: 1 for every frame on its own, 3 for sequences of frames.
        width: channels after the first convolution; they double with each further one.
        levels: convolutions of stride 2; with three, the receptive field of a logit is 38x38 pixels.

    Shape:
        ``(N, 3, T, H, W)``, H and W at least ``2**levels``, to logits ``(N, 1, T, H / 2**levels, W / 2**levels)``,
        rounded down.
    """

    def __init__(self, frames: int, width: int = 64, levels: int = 3) -> None:
        layers: list[nn.Module] = []
        channels = 3
        for level in range(levels):
            out_channels = width * 2**level
            # A kernel of 4 at stride 2 reads every pixel equally often: no checkerboard artifacts in the gradient.
            conv = Conv3d(channels, out_channels, (frames, 4, 4), stride=(1, 2, 2), padding=(frames // 2, 1, 1))
            layers += [spectral_norm(conv), nn.LeakyReLU(0.2, inplace=True)]
            channels = out_channels
        head = Conv3d(channels, 1, (frames, 3, 3), padding=(frames // 2, 1, 1))
        super().__init__(*layers, spectral_norm(head))

    def forward(self, frames: Tensor) -> Tensor:
        """Return the logits of ``frames (N, 3, T, H, W)`` in [0, 1]; positive means real."""
        x = 2 * frames - 1
        for layer in self:
            x = layer(x)
        return x


def discriminator_2d(width: int = 64, levels: int = 3) -> PatchDiscriminator:
    """Make a discriminator of single frames."""
    return PatchDiscriminator(1, width, levels)


def discriminator_3d(width: int = 64, levels: int = 3) -> PatchDiscriminator:
    """Make a discriminator of sequences; with three levels, the receptive field is nine frames."""
    return PatchDiscriminator(3, width, levels)
