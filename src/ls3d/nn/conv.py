"""``LS3DConv3d``: a 3D convolution that learns where to sample (section 3.2 of the LS3D paper)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ls3d._torch_internals import reversed_padding
from ls3d.nn.dense import Conv3d
from ls3d.ops import Interpolation, ls3d_conv3d

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


class LS3DConv3d(nn.Conv3d):
    """``torch.nn.Conv3d`` with learnable sampling: offsets and masks are predicted from the input.

    Another convolution, ``predictor``, predicts an offset (dy, dx) in pixels for each output position and tap, and with
    ``modulation`` a mask value in (0, 1), by a sigmoid. It is initialized with zeros: offsets are zero and mask values
    one half.

    Args:
        modulation: predict masks; without them all samples have weight one.
        offset_groups: groups of input channels with offsets and masks of their own.
        interpolation: ``"bilinear"`` or ``"bicubic"``, see :func:`ls3d.ops.ls3d_conv3d`.
        other arguments: as in ``torch.nn.Conv3d``.

    Attributes:
        max_offset: limit of dy and dx in pixels, or None (the default) for no limit. It is a soft limit,
            ``max_offset * tanh(offset / max_offset)``, so that the gradient doesn't vanish for taps at the limit.

    Shape:
        Input ``(N, C, T, H, W)`` or ``(C, T, H, W)``; the output has the shape of ``torch.nn.Conv3d``'s.

    Raises:
        ValueError: ``offset_groups`` doesn't divide ``in_channels``.
    """

    max_offset: float | None = None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int, int],
        stride: int | tuple[int, int, int] = 1,
        padding: str | int | tuple[int, int, int] = 0,
        dilation: int | tuple[int, int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        *,
        modulation: bool = True,
        offset_groups: int = 1,
        interpolation: Interpolation = "bilinear",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if offset_groups < 1 or in_channels % offset_groups:
            raise ValueError(
                f"offset_groups is {offset_groups}, expected a divisor of the {in_channels} input channels"
            )
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device=device,
            dtype=dtype,
        )
        self.modulation = modulation
        self.offset_groups = offset_groups
        self.interpolation = interpolation
        taps = self.kernel_size[0] * self.kernel_size[1] * self.kernel_size[2]
        self.predictor = Conv3d(
            in_channels,
            offset_groups * taps * (3 if modulation else 2),
            kernel_size,
            stride,
            padding,
            dilation,
            padding_mode=padding_mode,
            device=device,
            dtype=dtype,
        )
        self.reset_sampling()

    def reset_sampling(self) -> None:
        """Reset the predictor to zeros: offsets become zero, mask values one half."""
        nn.init.zeros_(self.predictor.weight)
        if self.predictor.bias is not None:
            nn.init.zeros_(self.predictor.bias)

    def predict(self, input: Tensor) -> tuple[Tensor, Tensor | None]:
        """Offsets and masks of an input ``(N, C, T, H, W)``, for G = ``offset_groups``.

        Returns:
            Offsets ``(N, G*2*taps, T_out, H_out, W_out)`` in pixels, and masks ``(N, G*taps, T_out, H_out, W_out)``, or
            None without ``modulation``.
        """
        prediction: Tensor = self.predictor(input)
        if not self.modulation:
            return self._limit(prediction), None
        offset, logit = prediction.tensor_split([prediction.shape[1] // 3 * 2], dim=1)
        return self._limit(offset), logit.sigmoid()

    def _limit(self, offset: Tensor) -> Tensor:
        return offset if self.max_offset is None else self.max_offset * torch.tanh(offset / self.max_offset)

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() == 4:
            return self.forward(input.unsqueeze(0)).squeeze(0)
        offset, mask = self.predict(input)
        return self._sample(input, offset, mask)

    def _sample(self, input: Tensor, offset: Tensor, mask: Tensor | None) -> Tensor:
        input, padding = self.pad(input)
        return ls3d_conv3d(
            input,
            offset,
            mask,
            self.weight,
            self.bias,
            self.stride,
            padding,
            self.dilation,
            self.groups,
            self.interpolation,
        )

    def pad(self, input: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Pad an input as far as the operator can't do it itself.

        The operator pads with zeros, by the same size before and after.

        Returns:
            The padded input ``(N, C, T', H', W')``, and the padding (T, H, W) that is left to the operator.
        """
        margins = reversed_padding(self)
        symmetric = margins[::2] == margins[1::2]
        if self.padding_mode == "zeros" and symmetric:
            return input, tuple(margins[::-2])
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        return F.pad(input, margins, mode=mode), (0, 0, 0)

    def extra_repr(self) -> str:
        text = str(super().extra_repr())  # type: ignore[no-untyped-call]
        if not self.modulation:
            text += ", modulation=False"
        if self.max_offset is not None:
            text += f", max_offset={self.max_offset:g}"
        if self.offset_groups != 1:
            text += f", offset_groups={self.offset_groups}"
        if self.interpolation != "bilinear":
            text += f", interpolation={self.interpolation}"
        return text

    @classmethod
    def from_conv3d(cls, conv: nn.Conv3d, *, modulation: bool = True, offset_groups: int = 1) -> LS3DConv3d:
        """An LS3D convolution with the parameters of ``conv``; its output is the same until it is trained.

        With ``modulation`` the weights are doubled, because the mask values start at one half.

        Raises:
            ValueError: ``offset_groups`` doesn't divide the input channels.
        """
        layer = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            conv.groups,
            conv.bias is not None,
            conv.padding_mode,
            modulation=modulation,
            offset_groups=offset_groups,
            device=conv.weight.device,
            dtype=conv.weight.dtype,
        )
        with torch.no_grad():
            layer.weight.copy_(conv.weight * (2 if modulation else 1))
            if layer.bias is not None and conv.bias is not None:
                layer.bias.copy_(conv.bias)
        layer.train(conv.training)
        for name in ("weight", "bias"):
            old, new = getattr(conv, name), getattr(layer, name)
            if new is not None:
                new.requires_grad_(old.requires_grad)
        return layer
