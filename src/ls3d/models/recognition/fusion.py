"""Late fusion of networks for different modalities, as in Gradient-Blending (arXiv:1905.12681).

The pooled features of all are concatenated and classified by three linear layers. For training with Gradient-Blending,
each modality can have its own classifier in addition to the joint one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor, nn

from ls3d.errors import InputError
from ls3d.models.metadata import VMZ
from ls3d.models.network import Modality, RecognitionTraits
from ls3d.models.outline import check_arguments
from ls3d.models.recognition._base import RecognitionNet, make_classifier
from ls3d.models.registry import create_model, register_model

#: The head of the concatenated features; the others are named after their modalities.
JOINT = "joint"

#: Names of the networks inside a fused one, by modality; those of their classifiers end in ``_fc``.
_TOWERS: dict[str, str] = {"clip": "visual", "flow": "flow", "spectrogram": "audio"}


class FusionArguments(TypedDict, total=False):
    """The arguments of ``late_fusion``.

    Attributes:
        clip: name of the network for RGB; None for none.
        flow: name of the network for optical flow; None for none.
        spectrogram: name of the network for audio; None for none.
        num_classes: outputs; 0 for the fused features.
        dropout: before the first fused layer.
        unimodal_heads: whether each modality has its own classifier too, for Gradient-Blending.
        clip_arguments: further arguments of the network for RGB.
        flow_arguments: further arguments of the network for optical flow.
        spectrogram_arguments: further arguments of the network for audio.
    """

    clip: str | None
    flow: str | None
    spectrogram: str | None
    num_classes: int
    dropout: float
    unimodal_heads: bool
    clip_arguments: dict[str, Any]
    flow_arguments: dict[str, Any]
    spectrogram_arguments: dict[str, Any]


class LateFusionNet(RecognitionNet):
    """Late fusion: concatenation, two hidden layers as wide as the features of the first network, classifier.

    A network of a single modality has no hidden layers.

    Args:
        towers: the networks by modality, without classifiers.
        num_classes: outputs; 0 for the fused features.
        dropout: before the first fused layer.
        unimodal_heads: see ``FusionArguments``; ignored for a single modality.
    """

    def __init__(
        self,
        towers: Mapping[Modality, RecognitionNet],
        num_classes: int = 400,
        dropout: float = 0.0,
        unimodal_heads: bool = False,
    ) -> None:
        super().__init__()
        if not towers:
            raise InputError("late fusion needs a network for at least one modality")
        for modality, tower in towers.items():
            self.add_module(_TOWERS[modality], tower)
        lengths = {tower.traits.clip_length for tower in towers.values()} - {None}
        if len(lengths) > 1:
            raise InputError(f"the fused networks need clips of different lengths, {sorted(map(str, lengths))}")
        self.traits = replace(self.traits, modalities=tuple(towers), clip_length=next(iter(lengths), None))
        self._widths: dict[str, int] = {modality: tower.num_features for modality, tower in towers.items()}
        first = next(iter(towers.values()))
        width = first.num_features
        self.stages = ()
        self.in_channels = first.in_channels
        self.num_classes = num_classes
        self.num_features = width
        self.dropout = nn.Dropout(dropout)
        is_single = len(towers) == 1
        total = sum(self._widths.values())
        self.fc1 = nn.Sequential() if is_single else nn.Sequential(nn.Linear(total, width), nn.ReLU(inplace=True))
        self.fc2 = nn.Sequential() if is_single else nn.Sequential(nn.Linear(width, width), nn.ReLU(inplace=True))
        self.fc = make_classifier(width, num_classes)
        self.has_unimodal_heads = unimodal_heads and not is_single
        if self.has_unimodal_heads:
            for name, count in self._widths.items():
                self.add_module(f"{_TOWERS[name]}_fc", make_classifier(count, num_classes))

    @property
    def heads(self) -> tuple[str, ...]:
        """The names of all classifiers: the modalities, if they have their own, and ``"joint"``."""
        return (*self.traits.modalities, JOINT) if self.has_unimodal_heads else (JOINT,)

    def tower(self, modality: str) -> RecognitionNet:
        """The network of one modality."""
        network = self.get_submodule(_TOWERS[modality])
        assert isinstance(network, RecognitionNet)
        return network

    def fuse(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Map inputs by modality to the concatenated features ``(N, C)``; those of inputs that are missing are zeros.

        Raises:
            InputError: an input has another shape, the network doesn't take one of them, or all are missing.
        """
        return self._concatenate(self._features(inputs, self._taken(inputs)))

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Map ``(N, C)`` to joint logits ``(N, num_classes)``, or to the inputs of the joint classifier."""
        hidden: Tensor = self.fc2(self.fc1(self.dropout(features)))
        return hidden if pre_logits else self.fc(hidden)

    def forward_heads(
        self, inputs: Mapping[str, Tensor], heads: Collection[str], present: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return the logits ``(N, num_classes)`` of some heads; only the networks that they need are run.

        Args:
            inputs: by modality.
            heads: names from ``heads``.
            present: for each modality, which samples have it, ``(N,)`` bool; the features of the others are zeros.

        Raises:
            InputError: an input has another shape, the network doesn't take one of them, or has no such head.
        """
        if unknown := set(heads) - set(self.heads):
            raise InputError(
                f"the network has no head {', '.join(sorted(unknown))}; it has {', '.join(self.heads)} "
                "(unimodal_heads=True adds those of the modalities)"
            )
        taken = self._taken(inputs)
        if missing := [name for name in heads if name != JOINT and name not in taken]:
            raise InputError(f"the inputs have no {', '.join(missing)}, which a head needs")
        features = self._features(inputs, taken if JOINT in heads else [name for name in taken if name in heads])
        if present is not None:
            features = {name: value * present[name].to(value)[:, None] for name, value in features.items()}
        logits: dict[str, Tensor] = {
            name: self._head(name)(features[name]) for name in self.traits.modalities if name in heads
        }
        if JOINT in heads:
            logits[JOINT] = self.forward_head(self._concatenate(features))
        return logits

    def _taken(self, inputs: Mapping[str, Tensor]) -> list[str]:
        if not inputs or not inputs.keys() <= set(self.traits.modalities):
            found = ", ".join(inputs) or "none"
            raise InputError(f"the inputs are {found}; the network takes {', '.join(self.traits.modalities)}")
        return [name for name in self.traits.modalities if name in inputs]

    def _features(self, inputs: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
        return {name: self.tower(name)(inputs[name]) for name in names}

    def _concatenate(self, features: Mapping[str, Tensor]) -> Tensor:
        like = next(iter(features.values()))
        parts = (
            features[name] if name in features else like.new_zeros(like.shape[0], width)
            for name, width in self._widths.items()
        )
        return torch.cat(list(parts), dim=1)

    def _head(self, modality: str) -> nn.Module:
        return self.get_submodule(f"{_TOWERS[modality]}_fc")

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the joint classifier and the unimodal ones, if there are any, by new ones; 0 removes them."""
        super().reset_classifier(num_classes)
        if self.has_unimodal_heads:
            for modality, width in self._widths.items():
                self.set_submodule(f"{_TOWERS[modality]}_fc", self._new_classifier(width, num_classes))

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute activations of all networks in the backward pass."""
        super().set_grad_checkpointing(enable)
        for modality in self.traits.modalities:
            self.tower(modality).set_grad_checkpointing(enable)


class MultimodalNet(LateFusionNet):
    """Late fusion of networks for any of RGB, optical flow and audio."""

    traits = RecognitionTraits(task="multimodal", modalities=("clip", "flow", "spectrogram"), clip_length=None)

    def forward_features(
        self, clip: Tensor | None = None, flow: Tensor | None = None, spectrogram: Tensor | None = None
    ) -> Tensor:
        """Map the inputs to the concatenated features ``(N, C)``; those of inputs that are missing are zeros.

        Args:
            clip: ``(N, 3, T, H, W)``.
            flow: ``(N, 2, T, H, W)``.
            spectrogram: ``(N, 1, time, mel)``.

        Raises:
            InputError: an input has another shape, the network doesn't take one of them, or all are missing.
        """
        given = {"clip": clip, "flow": flow, "spectrogram": spectrogram}
        return self.fuse({name: value for name, value in given.items() if value is not None})


@register_model(
    paper="arXiv:1905.12681",
    input_size=(3, 8, 112, 112),
    flow_size=(2, 8, 112, 112),
    audio_size=(1, 100, 40),
    preprocessing=VMZ,
)
def late_fusion(**arguments: Unpack[FusionArguments]) -> MultimodalNet:
    """Any networks for RGB, optical flow and audio, fused late."""
    named: dict[Modality, tuple[str | None, dict[str, Any]]] = {
        "clip": (arguments.get("clip", "r3d_18"), arguments.get("clip_arguments", {})),
        "flow": (arguments.get("flow", "r3d_18"), {"in_channels": 2, **arguments.get("flow_arguments", {})}),
        "spectrogram": (
            arguments.get("spectrogram", "audio_resnet_18"),
            arguments.get("spectrogram_arguments", {}),
        ),
    }
    towers = {modality: _tower(name, modality, given) for modality, (name, given) in named.items() if name is not None}
    return MultimodalNet(
        towers,
        arguments.get("num_classes", 400),
        arguments.get("dropout", 0.0),
        arguments.get("unimodal_heads", False),
    )


def _tower(name: str, modality: Modality, given: dict[str, Any]) -> RecognitionNet:
    """The network of one modality, without its classifier.

    Raises:
        InputError: there is no such network, it doesn't take one of the arguments, or not this modality.
    """
    arguments = {**given, "num_classes": 0}
    check_arguments(name, arguments)
    network = create_model(name, **arguments)
    needed = "spectrogram" if modality == "spectrogram" else "clip"
    if not isinstance(network, RecognitionNet) or network.traits.modalities != (needed,):
        raise InputError(f"{modality} is {name}, expected a network that takes a {needed} alone")
    return network
