"""Offsets and masks of the layers with learnable sampling, summed up for one output frame of each layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch

from ls3d.explain.calls import SampledCall

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OffsetField:
    """Where one layer samples one of its input frames, for every position of one of its output frames.

    Attributes:
        layer: name of the layer; empty for a call of the operator by the network itself.
        frame: number of the sampled input frame of the layer.
        offset: ``(2, H, W)``, the mean (dy, dx) over the taps in that frame, weighted by their masks, in pixels of the
            layer's input. For calls that sample the network's input, the mean distance from the output pixel.
        mask: ``(H, W)``, the mean of the taps' masks; for calls that sample the network's input, their sum.
    """

    layer: str
    frame: int
    offset: FloatArray
    mask: FloatArray


def offset_fields(calls: Sequence[SampledCall]) -> list[OffsetField]:
    """The fields of all layers, in the order of the calls; each layer's for the middle one of its output frames.

    Args:
        calls: from ``record_sampling``, for one clip. Offset groups are averaged.
    """
    fields = []
    for _, group in groupby(calls, key=lambda call: (call.name, call.geometry.interpolation, call.margin)):
        parts = list(group)
        fields += _direct_fields(parts) if parts[0].margin is not None else _layer_fields(parts[-1])
    return fields


def _layer_fields(call: SampledCall) -> list[OffsetField]:
    g = call.geometry
    offset = torch.unflatten(call.offset[0], 0, (g.offset_groups, g.taps, 2))
    return _fields(call, offset.transpose(0, 1), call.masks()[0].transpose(0, 1), summed=False)


def _direct_fields(parts: Sequence[SampledCall]) -> list[OffsetField]:
    """The fields of a network's own calls, which each make a band of rows."""
    margin = parts[0].margin or 0
    height, width = (side - 2 * margin for side in parts[0].geometry.in_size[1:])
    position = torch.cat([part.positions()[0] for part in parts], dim=-2)[..., :height, :width]
    mask = torch.cat([part.masks()[0] for part in parts], dim=-2)[..., :height, :width]
    y = torch.arange(height, device=position.device)
    x = torch.arange(width, device=position.device)
    pixel = torch.stack(torch.meshgrid(y, x, indexing="ij")).unsqueeze(1)
    return _fields(parts[0], (position - pixel).transpose(0, 1), mask.transpose(0, 1), summed=True)


def _fields(call: SampledCall, offset: torch.Tensor, mask: torch.Tensor, summed: bool) -> list[OffsetField]:
    """Sum up the taps in each input frame.

    Args:
        call: of the layer.
        offset: ``(taps, G, 2, T, H, W)``.
        mask: ``(taps, G, T, H, W)``.
        summed: whether masks are summed up, not averaged.
    """
    middle = call.geometry.out_size[0] // 2
    frames = call.frames()[:, middle]
    fields = []
    for frame in frames.unique().tolist():
        if not 0 <= frame < call.geometry.in_size[0]:
            continue
        own = frames == frame
        weight = mask[own][:, :, middle].double()
        share = weight.abs() / weight.abs().sum((0, 1)).clamp_min(1e-12)
        mean = (offset[own][:, :, :, middle].double() * share.unsqueeze(2)).sum((0, 1))
        total = weight.sum((0, 1)) if summed else weight.mean((0, 1))
        fields.append(OffsetField(call.name, frame, mean.cpu().numpy(), total.cpu().numpy()))
    return fields
