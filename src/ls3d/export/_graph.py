"""Networks as graphs of standard operations: what ``forward`` takes becomes fixed inputs and outputs with names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from ls3d.errors import InputError
from ls3d.export._motion import bilateral_motion
from ls3d.export._operator import as_deform_conv, as_grid_sample
from ls3d.models import EnhancementNetwork, InterpolationNetwork, Network, RecognitionNet

#: What ``ls3d_conv3d`` becomes: one ``DeformConv``, or ``GridSample`` and a convolution.
OperatorForm = Literal["deform_conv", "grid_sample"]

#: Multiple of the sizes of clips that are tried; networks take others, too.
_CLIP_STEP = 16


@dataclass(frozen=True, eq=False)
class Signature:
    """The inputs and the output of an exported network.

    Attributes:
        module: takes the inputs, in order.
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


def signature_of(
    network: Network, size: tuple[int, int], length: int | None, times: Sequence[float] | None
) -> Signature:
    """The signature of a network.

    Args:
        network: to export.
        size: height and width of the example inputs, in pixels.
        length: frames of an example clip, for recognition.
        times: of the frames that an interpolation network makes, for no other.

    Raises:
        InputError: the network can't be exported, or not with these sizes.
    """
    height, width = size
    if isinstance(network, EnhancementNetwork):
        traits = network.traits
        if height % traits.size_multiple or width % traits.size_multiple:
            message = f"{height}x{width}: expected multiples of {traits.size_multiple}"
            raise InputError(message, argument="size")
        count = traits.frames_before + 1 + traits.frames_after
        inputs = {"frames": moving_texture((2, 3, count, height, width))}
        dynamic: dict[str, dict[int, str]] = {"frames": {0: "batch", 3: "height", 4: "width"}}
        if isinstance(network, InterpolationNetwork):
            return Signature(
                _Interpolation(network, tuple(times or ())), inputs, dynamic, "new_frames", traits.size_multiple
            )
        if traits.takes_sigma:
            inputs["sigma"] = torch.full((2,), 0.1)
            dynamic["sigma"] = {0: "batch"}
        return Signature(_Restoration(network), inputs, dynamic, "restored", traits.size_multiple)
    if isinstance(network, RecognitionNet) and network.traits.modalities == ("clip",):
        frames = network.traits.clip_length or length or 16
        clip = moving_texture((2, network.in_channels, frames, height, width))
        axes = {0: "batch", 3: "height", 4: "width"}
        if network.traits.clip_length is None:
            axes[2] = "frames"
        return Signature(_Recognition(network), {"clip": clip}, {"clip": axes}, "logits", _CLIP_STEP)
    raise InputError(f"{network.name} can't be exported: expected a network for enhancement or for clips")


def moving_texture(shape: Sequence[int]) -> Tensor:
    """A smooth texture ``(N, C, T, H, W)`` about between 0 and 1 that moves by (1, 2) pixels a frame.

    In noise, motion would depend on rounding errors, by which two runtimes differ.
    """
    count, channels, frames, height, width = shape
    rows, columns = height + frames, width + 2 * frames
    noise = torch.rand(count, channels, rows // 8 + 2, columns // 8 + 2, generator=torch.Generator().manual_seed(0))
    large = F.interpolate(noise, scale_factor=8, mode="bicubic")
    return torch.stack([large[..., t : t + height, 2 * t : 2 * t + width] for t in range(frames)], dim=2)


def trace(signature: Signature, form: OperatorForm) -> ExportedProgram:
    """Trace a network and replace the operators of ls3d by standard operations.

    Raises:
        InputError: the network's operations can't be traced.
    """
    dimensions = tuple(dict.fromkeys(axes, Dim.AUTO) for axes in signature.dynamic.values())
    try:
        program = export(signature.module.eval(), tuple(signature.inputs.values()), dynamic_shapes=dimensions)
    except Exception as error:  # whatever the network's own code raises for tensors without values
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"the network can't be traced by torch.export ({reason})") from error
    convolution = as_deform_conv if form == "deform_conv" else as_grid_sample
    decomposed: ExportedProgram = program.run_decompositions(
        {torch.ops.ls3d.conv3d.default: convolution, torch.ops.ls3d.bilateral_motion.default: bilateral_motion}
    )
    return decomposed


class _Interpolation(nn.Module):
    def __init__(self, network: InterpolationNetwork, times: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.times = times

    def forward(self, frames: Tensor) -> Tensor:
        return self.network(frames, self.times)  # type: ignore[no-any-return]


class _Restoration(nn.Module):
    def __init__(self, network: EnhancementNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        return self.network(frames, sigma)  # type: ignore[no-any-return]


class _Recognition(nn.Module):
    def __init__(self, network: RecognitionNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, clip: Tensor) -> Tensor:
        return self.network(clip)  # type: ignore[no-any-return]
