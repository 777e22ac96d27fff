"""The inputs and the output of a network that is to be exported, examples of the inputs, and the file's metadata."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ls3d._version import __version__
from ls3d.errors import InputError, OutputExistsError
from ls3d.files import check_folder_of
from ls3d.models import EnhancementNetwork, InterpolationNetwork, Network, RecognitionNet, load_model
from ls3d.models.network import Modality
from ls3d.models.recognition.c3d import C3D
from ls3d.models.recognition.fusion import LateFusionNet

#: Multiple of the sizes of clips that are tried; networks take others, too.
_CLIP_STEP = 16

#: Moments and mel bands of the spectrogram with which a network is traced.
_SPECTROGRAM = (96, 40)

_MIDDLE = (Fraction(1, 2),)
_QUARTERS = (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4))


@dataclass(frozen=True, eq=False)
class Signature:
    """The inputs and the output of an exported network.

    Attributes:
        module: takes the inputs in order, as ``*inputs``.
        inputs: an example of each, by name. Its batch has more than one sample, as sizes of 1 are taken for fixed.
        dynamic: the dimensions of each input that may have another size, with their names. A network can still fix
            some of them, as fully connected layers do.
        output: name of the output.
        step: height and width must be multiples of this.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    dynamic: dict[str, dict[int, str]]
    output: str
    step: int = 1

    def open_dimensions(self, shapes: Iterable[Sequence[Any]]) -> tuple[str, ...]:
        """Names of the dimensions that may have another size.

        Args:
            shapes: of the inputs of the exported network, where sizes that are fixed are integers.
        """
        names = [
            (name, isinstance(shape[axis], int))
            for shape, axes in zip(shapes, self.dynamic.values(), strict=True)
            for axis, name in axes.items()
        ]
        fixed = {name for name, is_fixed in names if is_fixed}  # several inputs have the same batch
        return tuple(dict.fromkeys(name for name, _ in names if name not in fixed))


@dataclass(frozen=True, eq=False)
class ExportJob:
    """A network and the file that it is exported to.

    Attributes:
        network: in evaluation mode.
        path: of the file.
        signature: of the network.
        times: of the frames that an interpolation network makes.
    """

    network: Network
    path: Path
    signature: Signature
    times: tuple[Fraction, ...] | None

    def metadata_for(self, target: str) -> str:
        """JSON of what the weights file says, and of what ``ls3d.models.exported.load_exported`` needs."""
        exported: dict[str, Any] = {"traits": asdict(self.network.traits), "version": __version__, "target": target}
        if isinstance(self.network, RecognitionNet):
            exported |= {"num_classes": self.network.num_classes, "in_channels": self.network.in_channels}
        if self.times is not None:
            exported["times"] = [str(time) for time in self.times]
        return json.dumps({**self.network.require_config().to_dict(), "exported": exported})


def prepare(
    model: str | os.PathLike[str] | Network,
    path: str | os.PathLike[str],
    suffix: str,
    *,
    size: tuple[int, int] | None,
    length: int | None,
    times: Sequence[Fraction] | None,
    overwrite: bool,
) -> ExportJob:
    """Check the arguments of an export, and load the network.

    Args:
        model: a name, a weights file or a network, as for ``load_model``.
        path: the file.
        suffix: that its name must have.
        size: as for ``signature_of``.
        length: as for ``signature_of``.
        times: of the frames that an interpolation network makes; None for the default.
        overwrite: whether an existing file is replaced.

    Raises:
        InputError: the network can't be exported, or an argument doesn't fit it.
        OutputExistsError: the file exists.
    """
    target_path = Path(path)
    if target_path.suffix != suffix:
        raise InputError(f"{path}: expected a name that ends with {suffix}", argument="path")
    if target_path.exists() and not overwrite:
        raise OutputExistsError(target_path)
    check_folder_of(path, "path")
    network = (model if isinstance(model, Network) else load_model(model)).eval()
    _check_length(network, length)
    chosen = times_of(network, times)
    return ExportJob(network, target_path, signature_of(network, size, length, chosen), chosen)


def signature_of(
    network: Network, size: tuple[int, int] | None, length: int | None, times: Sequence[Fraction] | None
) -> Signature:
    """The signature of a network.

    Args:
        network: to export.
        size: height and width of the example inputs, in pixels; None for small ones.
        length: frames of an example clip, for recognition.
        times: of the frames that an interpolation network makes, for no other.

    Raises:
        InputError: the network can't be exported, or not with these sizes.
    """
    height, width = size or _default_size(network)
    if isinstance(network, EnhancementNetwork):
        traits = network.traits
        if height % traits.size_multiple or width % traits.size_multiple:
            message = f"{height}x{width}: expected multiples of {traits.size_multiple}"
            raise InputError(message, argument="size")
        count = traits.frames_before + 1 + traits.frames_after
        inputs = {"frames": moving_texture((2, 3, count, height, width))}
        dynamic: dict[str, dict[int, str]] = {"frames": {0: "batch", 3: "height", 4: "width"}}
        if isinstance(network, InterpolationNetwork):
            module = _Fixed(network, [float(time) for time in times or ()])
            return Signature(module, inputs, dynamic, "new_frames", traits.size_multiple)
        if traits.takes_sigma:
            inputs["sigma"] = torch.full((2,), 0.1)
            dynamic["sigma"] = {0: "batch"}
        return Signature(_Fixed(network), inputs, dynamic, "restored", traits.size_multiple)
    if isinstance(network, RecognitionNet):
        frames = network.traits.clip_length or length or 16
        inputs, dynamic = {}, {}
        for modality in network.traits.modalities:
            inputs[modality], dynamic[modality] = _example(modality, network, (frames, height, width))
        return Signature(_Fixed(network), inputs, dynamic, "logits", _CLIP_STEP)
    raise InputError(f"{network.name} can't be exported: expected a network for enhancement or recognition")


def _check_length(network: Network, length: int | None) -> None:
    """Raise ``InputError`` if clips of a network can't have ``length`` frames."""
    if length is None:
        return
    if not isinstance(network, RecognitionNet):
        raise InputError(f"{network.name} takes as many frames as it needs", argument="length")
    if length < 1:
        raise InputError(f"{length}: expected at least 1", argument="length")
    if network.traits.clip_length not in (None, length):
        raise InputError(f"{length}: {network.name} takes {network.traits.clip_length} frames", argument="length")


def _example(modality: Modality, network: RecognitionNet, shape: tuple[int, int, int]) -> tuple[Tensor, dict[int, str]]:
    """An input of a recognition network, and the names of its dimensions that may have another size."""
    channels = (network.tower(modality) if isinstance(network, LateFusionNet) else network).in_channels
    if modality == "spectrogram":
        return moving_texture((2, channels, 1, *_SPECTROGRAM))[:, :, 0], {0: "batch", 2: "time"}
    axes = {0: "batch"}
    if network.traits.clip_length is None:
        axes[2] = "frames"
    if not isinstance(network, C3D):  # whose fully connected layers take all positions of the features
        axes |= {3: "height", 4: "width"}
    return moving_texture((2, channels, *shape)), axes


def moving_texture(shape: Sequence[int]) -> Tensor:
    """A smooth texture ``(N, C, T, H, W)`` about between 0 and 1 that moves by (1, 2) pixels a frame.

    In noise, motion would depend on rounding errors, by which two runtimes differ.
    """
    count, channels, frames, height, width = shape
    rows, columns = height + frames, width + 2 * frames
    noise = torch.rand(count, channels, rows // 8 + 2, columns // 8 + 2, generator=torch.Generator().manual_seed(0))
    large = F.interpolate(noise, scale_factor=8, mode="bicubic")
    return torch.stack([large[..., t : t + height, 2 * t : 2 * t + width] for t in range(frames)], dim=2)


def times_of(network: Network, times: Sequence[Fraction] | None) -> tuple[Fraction, ...] | None:
    """The times of the frames that the exported network makes: ``times``, or the default; None without any.

    Raises:
        InputError: the network can't make these.
    """
    if not isinstance(network, InterpolationNetwork):
        if times is not None:
            raise InputError(f"{network.name} doesn't interpolate: expected no times", argument="times")
        return None
    quarters = network.traits.times == "quarters"
    chosen = tuple(times) if times is not None else _QUARTERS if quarters else _MIDDLE
    if not chosen or any(not 0 < time < 1 or (quarters and time not in _QUARTERS) for time in chosen):
        expected = "1/4, 1/2 or 3/4" if quarters else "times between 0 and 1"
        raise InputError(f"{', '.join(map(str, chosen)) or 'none'}: expected {expected}", argument="times")
    return chosen


def _default_size(network: Network) -> tuple[int, int]:
    """Small, and not square, so that height and width are not taken for the same."""
    if isinstance(network, EnhancementNetwork):
        multiple = network.traits.size_multiple
        height, width = (-(-side // multiple) * multiple for side in (64, 80))
        return height, width
    return (112, 112) if isinstance(network, C3D) else (64, 96)


class _Fixed(nn.Module):
    """A network whose last arguments are fixed."""

    def __init__(self, network: Network, *arguments: object) -> None:
        super().__init__()
        self.network = network
        self.arguments = arguments

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.network(*inputs, *self.arguments)  # type: ignore[no-any-return]
