"""The calls of the LS3D operator that a network makes: offsets, masks, and where they sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ls3d.nn import LS3DConv3d
from ls3d.ops import Geometry

#: What ``ls3d.ops.ls3d_conv3d`` calls where a mode of torch is active.
_OPERATOR = torch.ops.ls3d.conv3d

#: Largest margin around the frames, in pixels, with which an operator's input is recognized as the network's input.
_LARGEST_MARGIN = 8


@dataclass(frozen=True, eq=False)
class SampledCall:
    """One call of ``ls3d.ops.ls3d_conv3d``.

    Attributes:
        name: of the ``LS3DConv3d`` in the network (of its class, if it is the network); empty for other calls.
        input: ``(N, C, T, H, W)``.
        offset: ``(N, G*2*taps, T_out, H_out, W_out)`` in pixels, (dy, dx) per tap; detached.
        mask: ``(N, G*taps, T_out, H_out, W_out)``, or None for ones; detached.
        weight: ``(O, C/groups, kT, kH, kW)``.
        geometry: all sizes.
        margin: if the input is the network's input, the width of the border that was added to it; otherwise None.
    """

    name: str
    input: Tensor
    offset: Tensor
    mask: Tensor | None
    weight: Tensor
    geometry: Geometry
    margin: int | None

    def frames(self) -> Tensor:
        """The input frame ``(taps, T_out)`` that each tap samples; some are outside the clip."""
        g = self.geometry
        step = torch.arange(g.out_size[0], device=self.offset.device) * g.stride[0] - g.padding[0]
        return self._tap_numbers()[0].unsqueeze(1) * g.dilation[0] + step

    def positions(self) -> Tensor:
        """Where each tap samples ``(N, G, taps, 2, T_out, H_out, W_out)``: (y, x) in pixels of the network's input.

        If the input of the operator is something else, in pixels of that.
        """
        g = self.geometry
        offset = torch.unflatten(self.offset, 1, (g.offset_groups, g.taps, 2))
        axes = []
        for axis, tap in enumerate(self._tap_numbers()[1:], 1):
            start = tap * g.dilation[axis] - g.padding[axis] - (self.margin or 0)
            grid = torch.arange(g.out_size[axis], device=offset.device) * g.stride[axis]
            grid = grid.view((-1, 1) if axis == 1 else (1, -1))
            axes.append(offset[:, :, :, axis - 1] + (start.view(-1, 1, 1, 1) + grid))
        return torch.stack(axes, dim=3)

    def masks(self) -> Tensor:
        """The mask of each tap, ``(N, G, taps, T_out, H_out, W_out)``."""
        g = self.geometry
        if self.mask is None:
            return self.offset.new_ones(g.batch, g.offset_groups, g.taps, *g.out_size)
        return torch.unflatten(self.mask, 1, (g.offset_groups, g.taps))

    def _tap_numbers(self) -> tuple[Tensor, Tensor, Tensor]:
        """Each tap's frame, row and column in the kernel, ``(taps,)`` each."""
        _, height, width = self.geometry.kernel
        tap = torch.arange(self.geometry.taps, device=self.offset.device)
        return tap // (height * width), tap // width % height, tap % width


class CallRecorder(TorchFunctionMode):
    """Records the operator's calls in the forward passes of a network; active within ``with``.

    Args:
        network: any network whose first argument is its input.

    Attributes:
        calls: the calls of the latest forward pass, in order.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.calls: list[SampledCall] = []
        self._network = network
        self._input: Tensor | None = None
        self._layer = ""
        self._handles: list[Any] = []

    def __enter__(self) -> CallRecorder:
        self._handles = [self._network.register_forward_pre_hook(self._begin)]
        for name, layer in self._network.named_modules():
            if isinstance(layer, LS3DConv3d):
                enter = partial(self._enter_layer, name or type(layer).__name__)
                self._handles.append(layer.register_forward_pre_hook(enter))
                self._handles.append(layer.register_forward_hook(partial(self._enter_layer, ""), always_call=True))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for handle in self._handles:
            handle.remove()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is _OPERATOR:
            return self.call_operator(func, args)
        return self.call_other(func, args, dict(kwargs or {}))

    def call_operator(self, func: Callable[..., Any], args: tuple[Any, ...]) -> Tensor:
        """Record a call of the operator, and make it."""
        self.record(args)
        output: Tensor = func(*args)
        return output

    def call_other(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call any other function of torch."""
        return func(*args, **kwargs)

    def record(self, args: tuple[Any, ...]) -> SampledCall:
        """Record a call of the operator with these arguments."""
        input, offset, mask, weight, _, *options = args
        shapes: list[Any] = [None if tensor is None else tensor.shape for tensor in args[:5]]
        call = SampledCall(
            self._layer,
            input.detach(),
            offset.detach(),
            None if mask is None else mask.detach(),
            weight.detach(),
            Geometry.of(*shapes, *options),
            self._margin(input.detach()),
        )
        self.calls.append(call)
        return call

    def _begin(self, _: nn.Module, args: tuple[Any, ...]) -> None:
        self._input = args[0].detach()
        self.calls.clear()

    def _enter_layer(self, name: str, *_: Any) -> None:
        self._layer = name

    def _margin(self, input: Tensor) -> int | None:
        """The width of the border with which an operator's input is the network's input; None if it is another."""
        frames = self._input
        if frames is None or frames.dim() != 5 or input.shape[:3] != frames.shape[:3]:
            return None
        margin = (input.shape[-1] - frames.shape[-1]) // 2
        if not 0 <= margin <= _LARGEST_MARGIN:
            return None
        padded = F.pad(frames.flatten(1, 2), (margin,) * 4, mode="replicate").unflatten(1, frames.shape[1:3])
        return margin if torch.equal(padded, input) else None


@contextmanager
def record_sampling(network: nn.Module) -> Iterator[list[SampledCall]]:
    """Record every call of the operator in a network's forward passes, of its layers and its own; outputs are the same.

    ``with record_sampling(network) as calls: network(frames)``

    Yields:
        The calls of the latest forward pass, in order.
    """
    with CallRecorder(network) as recorder:
        yield recorder.calls
