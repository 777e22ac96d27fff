"""Deformable 2D convolution with the interface of ``torchvision.ops.deform_conv2d``: the case of a single frame."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ls3d.ops._conv3d import ls3d_conv3d


def deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = (1, 1),
    padding: int | Sequence[int] = (0, 0),
    dilation: int | Sequence[int] = (1, 1),
    mask: Tensor | None = None,
) -> Tensor:
    """Deformable convolution v1 (arXiv:1703.06211), or v2 with a mask (arXiv:1811.11168).

    Arguments and result are those of ``torchvision.ops.deform_conv2d``. The number of weight groups and of offset
    groups is inferred from the numbers of channels.

    Args:
        input: ``(N, C, H, W)``.
        offset: ``(N, 2*G*kH*kW, H_out, W_out)`` in pixels, (dy, dx) per tap, for G offset groups.
        weight: ``(O, C/groups, kH, kW)``.
        bias: ``(O,)`` or None.
        stride, padding, dilation: one integer, or two for height and width.
        mask: ``(N, G*kH*kW, H_out, W_out)``, or None for ones.

    Returns:
        ``(N, O, H_out, W_out)``.

    Raises:
        ValueError: shapes, dtypes or devices don't fit each other.
    """
    for name, tensor in (("input", input), ("offset", offset), ("weight", weight), ("mask", mask)):
        if tensor is not None and tensor.dim() != 4:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected four dimensions")
    return ls3d_conv3d(
        input.unsqueeze(2),
        offset.unsqueeze(2),
        None if mask is None else mask.unsqueeze(2),
        weight.unsqueeze(2),
        bias,
        (1, *_pair(stride, "stride")),
        (0, *_pair(padding, "padding")),
        (1, *_pair(dilation, "dilation")),
        groups=max(1, input.shape[1] // max(1, weight.shape[1])),
    ).squeeze(2)


def _pair(value: int | Sequence[int], name: str) -> tuple[int, int]:
    if isinstance(value, Sequence):
        if len(value) != 2:
            raise ValueError(f"{name} has {len(value)} values, expected one integer or two (H, W)")
        return value[0], value[1]
    return value, value
