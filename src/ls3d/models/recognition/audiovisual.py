"""The audio-visual networks of Gradient-Blending (arXiv:1905.12681): a 3D ConvNet and an audio ResNet, fused late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from torch import Tensor

from ls3d.models.metadata import VMZ, kinetics
from ls3d.models.network import RecognitionTraits
from ls3d.models.recognition._base import RecognitionArguments, RecognitionNet
from ls3d.models.recognition._learnable import Learnable
from ls3d.models.recognition._resnet3d import ResNet3d
from ls3d.models.recognition.audio import AudioResNet
from ls3d.models.recognition.csn import ip_csn_50, ip_csn_152, ir_csn_152
from ls3d.models.recognition.fusion import JOINT, LateFusionNet
from ls3d.models.recognition.r2plus1d import r2plus1d_101
from ls3d.models.recognition.r3d import r3d_18, r3d_50
from ls3d.models.registry import register_model

_PAPER = "arXiv:1905.12681"
_AUDIO_SIZE = (1, 100, 40)


class AudioVisualArguments(RecognitionArguments, total=False):
    """The arguments of the audio-visual networks.

    Attributes:
        unimodal_heads: whether each modality has its own classifier too, for Gradient-Blending.
        bn_eps: epsilon of all normalizations.
    """

    unimodal_heads: bool
    bn_eps: float


class AudioVisualNet(LateFusionNet):
    """Late fusion of a clip and its audio.

    Args:
        visual: the 3D network, without classifier.
        audio: the audio network, without classifier.
        num_classes: outputs; 0 for the fused features.
        dropout: before the first fused layer.
        unimodal_heads: see ``AudioVisualArguments``.
    """

    traits = RecognitionTraits(task="audio-visual", modalities=("clip", "spectrogram"), clip_length=None)

    def __init__(
        self,
        visual: ResNet3d,
        audio: AudioResNet,
        num_classes: int = 400,
        dropout: float = 0.0,
        unimodal_heads: bool = False,
    ) -> None:
        super().__init__({"clip": visual, "spectrogram": audio}, num_classes, dropout, unimodal_heads)

    def forward_features(self, clip: Tensor, spectrogram: Tensor) -> Tensor:
        """Map ``(N, C, T, H, W)`` and ``(N, 1, time, mel)`` to the pooled features of both, ``(N, Cv + Ca)``.

        Raises:
            InputError: the clip or the spectrogram has another shape.
        """
        return self.fuse({"clip": clip, "spectrogram": spectrogram})

    def forward_modalities(self, clip: Tensor, spectrogram: Tensor) -> dict[str, Tensor]:
        """Return the logits ``(N, num_classes)`` of each modality and of both: ``audio``, ``visual``, ``joint``.

        Raises:
            InputError: the network was built without ``unimodal_heads``.
        """
        logits = self.forward_heads({"clip": clip, "spectrogram": spectrogram}, ("clip", "spectrogram", JOINT))
        return {"audio": logits["spectrogram"], "visual": logits["clip"], JOINT: logits[JOINT]}

    def _learnable_part(self) -> RecognitionNet:
        return self.tower("clip")


def _fuse(
    visual: Callable[..., ResNet3d],
    depth: int,
    *,
    num_classes: int = 400,
    in_channels: int = 3,
    ls3d: Learnable = False,
    dropout: float = 0.0,
    bn_eps: float = 1e-3,
    unimodal_heads: bool = False,
) -> AudioVisualNet:
    """Join a visual network and the audio network of the same depth."""
    return AudioVisualNet(
        visual(num_classes=0, in_channels=in_channels, ls3d=ls3d, bn_eps=bn_eps),
        AudioResNet(depth, num_classes=0, bn_eps=bn_eps),
        num_classes,
        dropout,
        unimodal_heads,
    )


@register_model(
    paper=_PAPER,
    parameters=45_361_456,
    input_size=(3, 8, 112, 112),
    audio_size=_AUDIO_SIZE,
    preprocessing=VMZ,
)
def av_r3d_18(**arguments: Unpack[AudioVisualArguments]) -> AudioVisualNet:
    """R3D-18 on the clip and ResNet-18 on its audio, fused late."""
    return _fuse(r3d_18, 18, **arguments)


@register_model(
    paper=_PAPER,
    parameters=83_108_016,
    input_size=(3, 16, 112, 112),
    audio_size=_AUDIO_SIZE,
    preprocessing=VMZ,
)
def av_r3d_50(**arguments: Unpack[AudioVisualArguments]) -> AudioVisualNet:
    """R3D-50 on the clip and ResNet-50 on its audio, fused late."""
    return _fuse(r3d_50, 50, **arguments)


@register_model(
    paper=_PAPER,
    parameters=141_169_985,
    input_size=(3, 16, 112, 112),
    audio_size=_AUDIO_SIZE,
    preprocessing=VMZ,
)
def av_r2plus1d_101(**arguments: Unpack[AudioVisualArguments]) -> AudioVisualNet:
    """R(2+1)D-101 on the clip and ResNet-101 on its audio, fused late."""
    return _fuse(r2plus1d_101, 101, **arguments)


@register_model(
    paper=_PAPER,
    parameters=50_523_248,
    input_size=(3, 32, 224, 224),
    audio_size=_AUDIO_SIZE,
    preprocessing=VMZ,
)
def av_ip_csn_50(**arguments: Unpack[AudioVisualArguments]) -> AudioVisualNet:
    """ip-CSN-50 on the clip and ResNet-50 on its audio, fused late."""
    return _fuse(ip_csn_50, 50, **arguments)


@register_model(
    paper=_PAPER,
    parameters=100_466_416,
    input_size=(3, 32, 224, 224),
    audio_size=_AUDIO_SIZE,
    preprocessing=VMZ,
)
def av_ir_csn_152(**arguments: Unpack[AudioVisualArguments]) -> AudioVisualNet:
    """ir-CSN-152 on the clip and ResNet-152 on its audio, fused late."""
    return _fuse(ir_csn_152, 152, **arguments)


@register_model(
    paper=_PAPER,
    parameters=103_779_440,
    input_size=(3, 32, 256, 256),
    audio_size=_AUDIO_SIZE,
    gmacs=110.05,
    accuracy=kinetics(79.1, 93.9, "VMZ, model_zoo.md: Kinetics-400 from scratch, with sound"),
    preprocessing=VMZ,
)
def av_ip_csn_152(**arguments: Unpack[AudioVisualArguments]) -> AudioVisualNet:
    """ip-CSN-152 on the clip and ResNet-152 on its audio, fused late."""
    return _fuse(ip_csn_152, 152, **arguments)
