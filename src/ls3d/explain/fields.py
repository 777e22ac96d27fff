"""Offsets and masks of the layers with learnable sampling, summed up for one output frame of each layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ls3d.explain.calls import SampledCall

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OffsetField:
    """Where one layer samples one of its input frames, for every position of one of its output frames.

    Attributes:
        layer: name of the layer; empty for calls of the operator by the network itself.
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
    for (_, is_direct), group in groupby(
        calls, key=lambda call: (call.name, not call.name and call.margin is not None)
    ):
        own = list(group)
        fields += _direct_fields(own) if is_direct else _layer_fields(own[-1])
    return fields


def _layer_fields(call: SampledCall) -> list[OffsetField]:
    g = call.geometry
    offset = torch.unflatten(call.offset[0], 0, (g.offset_groups, g.taps, 2))
    return _fields(call, call.frames(), offset.transpose(0, 1), call.masks()[0].transpose(0, 1), summed=False)


def _direct_fields(calls: Sequence[SampledCall]) -> list[OffsetField]:
    """The fields of a network's own calls, which make bands of rows, with one or several interpolations each."""
    margin = calls[0].margin or 0
    height, width = (side - 2 * margin for side in calls[0].geometry.in_size[1:])
    positions, masks, frames = [], [], []
    for interpolation in dict.fromkeys(call.geometry.interpolation for call in calls):
        bands = [call for call in calls if call.geometry.interpolation == interpolation]
        positions.append(torch.cat([band.positions()[0] for band in bands], dim=-2)[..., :height, :width])
        masks.append(torch.cat([band.masks()[0] for band in bands], dim=-2)[..., :height, :width])
        frames.append(bands[0].frames())
    y = torch.arange(height, device=positions[0].device)
    x = torch.arange(width, device=positions[0].device)
    pixel = torch.stack(torch.meshgrid(y, x, indexing="ij")).unsqueeze(1)
    offset = (torch.cat(positions, dim=1) - pixel).transpose(0, 1)
    mask = torch.cat(masks, dim=1).transpose(0, 1)
    return _fields(calls[0], torch.cat(frames), offset, mask, summed=True)


def _fields(call: SampledCall, frames: Tensor, offset: Tensor, mask: Tensor, summed: bool) -> list[OffsetField]:
    """Sum up the taps in each input frame.

    Args:
        call: of the layer.
        frames: the input frame ``(taps, T)`` of each tap.
        offset: ``(taps, G, 2, T, H, W)``.
        mask: ``(taps, G, T, H, W)``.
        summed: whether masks are summed up, not averaged.
    """
    middle = call.geometry.out_size[0] // 2
    fields = []
    for frame in frames[:, middle].unique().tolist():
        if not 0 <= frame < call.geometry.in_size[0]:
            continue
        own = frames[:, middle] == frame
        weight = mask[own][:, :, middle].double()
        share = weight.abs() / weight.abs().sum((0, 1)).clamp_min(1e-12)
        mean = (offset[own][:, :, :, middle].double() * share.unsqueeze(2)).sum((0, 1))
        total = weight.sum((0, 1)) if summed else weight.mean((0, 1))
        fields.append(OffsetField(call.name, frame, mean.cpu().numpy(), total.cpu().numpy()))
    return fields
