"""The sizes and the interpolation of one LS3D convolution, checked once and frozen.

While a graph is traced, sizes may be symbolic (``torch.SymInt``), so nothing here converts them to plain integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

Triple = tuple[int, int, int]
Interpolation = Literal["bilinear", "bicubic"]

CUBIC = -0.75
"""The parameter a of the cubic kernel."""


def triple(value: int | Sequence[int], name: str) -> Triple:
    """``value`` for time, height and width; one integer stands for all three.

    Raises:
        ValueError: ``value`` is a sequence of another length than three.
    """
    if isinstance(value, Sequence):
        if len(value) != 3:
            raise ValueError(f"{name} has {len(value)} values, expected one integer or three (T, H, W)")
        return cast(Triple, tuple(value))
    return (value, value, value)


@dataclass(frozen=True)
class Geometry:
    """All sizes of an LS3D convolution, and how it samples.

    Attributes:
        batch: number of samples, N.
        in_channels: channels of the input, C.
        out_channels: channels of the output, O.
        in_size: frames, height and width of the input.
        out_size: frames, height and width of output, offset and mask.
        kernel: taps in time, height and width; tap ``(a, i, j)`` has the number ``(a*kH + i)*kW + j``.
        stride, padding, dilation: as in ``torch.nn.Conv3d``.
        groups: channel groups of the weight.
        offset_groups: groups of channels with offsets of their own; channel ``c`` is in group
            ``c // (C / offset_groups)``.
        interpolation: between pixels, see :func:`ls3d.ops.ls3d_conv3d`.
    """

    batch: int
    in_channels: int
    out_channels: int
    in_size: Triple
    out_size: Triple
    kernel: Triple
    stride: Triple
    padding: Triple
    dilation: Triple
    groups: int
    offset_groups: int
    interpolation: Interpolation

    def __str__(self) -> str:
        input_shape = (self.batch, self.in_channels, *self.in_size)
        weight_shape = (self.out_channels, self.in_channels // self.groups, *self.kernel)
        return (
            f"input {_text(input_shape)}, weight {_text(weight_shape)}, stride {_text(self.stride)},"
            f" padding {_text(self.padding)}, dilation {_text(self.dilation)}, groups {self.groups},"
            f" offset groups {self.offset_groups}, {self.interpolation}"
        )

    @property
    def taps(self) -> int:
        """Number of sampled points per output position and offset group."""
        return self.kernel[0] * self.kernel[1] * self.kernel[2]

    @property
    def out_shape(self) -> tuple[int, int, int, int, int]:
        """Shape of the output, ``(N, O, T_out, H_out, W_out)``."""
        return (self.batch, self.out_channels, *self.out_size)

    def flops(self) -> int:
        """Floating-point operations of the contraction, counted as ``torch.utils.flop_counter`` does."""
        positions = self.batch * self.out_size[0] * self.out_size[1] * self.out_size[2]
        return 2 * positions * self.out_channels * (self.in_channels // self.groups) * self.taps

    @classmethod
    def of(
        cls,
        input_shape: Sequence[int],
        offset_shape: Sequence[int],
        mask_shape: Sequence[int] | None,
        weight_shape: Sequence[int],
        bias_shape: Sequence[int] | None,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        interpolation: Interpolation = "bilinear",
    ) -> Geometry:
        """Check that the shapes fit each other, and infer the number of offset groups.

        Raises:
            ValueError: a shape or the interpolation doesn't fit; the message names the argument and what is expected.
        """
        for name, shape in (("input", input_shape), ("offset", offset_shape), ("weight", weight_shape)):
            if len(shape) != 5:
                raise ValueError(f"{name} has shape {_text(shape)}, expected five dimensions")
        stride = triple(stride, "stride")
        padding = triple(padding, "padding")
        dilation = triple(dilation, "dilation")
        _check_at_least("stride", stride, 1)
        _check_at_least("padding", padding, 0)
        _check_at_least("dilation", dilation, 1)
        _check_at_least("groups", (groups,), 1)
        if interpolation not in get_args(Interpolation):
            raise ValueError(
                f"interpolation is {interpolation!r}, expected one of {', '.join(get_args(Interpolation))}"
            )
        batch, in_channels, *in_size = input_shape
        out_channels, group_channels, *kernel = weight_shape
        _check_at_least("the weight's kernel", kernel, 1)
        _check_channels(in_channels, out_channels, group_channels, groups)
        _check_at_least("the input's size (T, H, W)", in_size, 1)
        out_size = _out_size(in_size, kernel, stride, padding, dilation)
        taps = kernel[0] * kernel[1] * kernel[2]
        offset_groups = _offset_groups(offset_shape, taps, in_channels)
        _check_shape("offset", offset_shape, (batch, 2 * taps * offset_groups, *out_size))
        if mask_shape is not None:
            _check_shape("mask", mask_shape, (batch, taps * offset_groups, *out_size))
        if bias_shape is not None:
            _check_shape("bias", bias_shape, (out_channels,))
        return cls(
            batch,
            in_channels,
            out_channels,
            cast(Triple, tuple(in_size)),
            out_size,
            cast(Triple, tuple(kernel)),
            stride,
            padding,
            dilation,
            groups,
            offset_groups,
            interpolation,
        )


def _out_size(
    in_size: Sequence[int], kernel: Sequence[int], stride: Triple, padding: Triple, dilation: Triple
) -> Triple:
    sizes = zip(in_size, kernel, stride, padding, dilation, strict=True)
    out_size = [(size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in sizes]
    if any(size < 1 for size in out_size):
        raise ValueError(
            f"input has size {_text(in_size)} (T, H, W), too small for kernel {_text(kernel)}"
            f" with padding {_text(padding)} and dilation {_text(dilation)}"
        )
    return cast(Triple, tuple(out_size))


def _offset_groups(offset_shape: Sequence[int], taps: int, in_channels: int) -> int:
    channels = offset_shape[1]
    groups = channels // (2 * taps)
    if channels < 1 or channels % (2 * taps) != 0 or in_channels % groups != 0:
        raise ValueError(
            f"offset has {channels} channels, expected 2 x {taps} taps x offset groups,"
            f" with a number of offset groups that divides the {in_channels} input channels"
        )
    return groups


def _check_channels(in_channels: int, out_channels: int, group_channels: int, groups: int) -> None:
    if in_channels < 1 or in_channels % groups != 0 or group_channels * groups != in_channels:
        raise ValueError(
            f"weight takes {group_channels} channels in each of {groups} groups,"
            f" but the input has {in_channels} channels"
        )
    if out_channels < 1 or out_channels % groups != 0:
        raise ValueError(f"weight has {out_channels} output channels, expected a multiple of the {groups} groups")


def _check_at_least(name: str, values: Sequence[int], least: int) -> None:
    if any(value < least for value in values):
        shown = values[0] if len(values) == 1 else _text(values)
        raise ValueError(f"{name} is {shown}, expected at least {least}")


def _check_shape(name: str, shape: Sequence[int], expected: Sequence[Any]) -> None:
    if len(shape) != len(expected) or any(a != b for a, b in zip(shape, expected, strict=True)):
        raise ValueError(f"{name} has shape {_text(shape)}, expected {_text(expected)}")


def _text(shape: Sequence[Any]) -> str:
    return "(" + ", ".join(str(size) for size in shape) + ")"
