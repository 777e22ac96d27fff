"""``ls3d_conv3d`` as a torch operator: schema, shapes, gradients, autocast and operation count.

There is one schema for all devices (``ls3d::conv3d`` and ``ls3d::conv3d_backward``). The backend is chosen inside, when
the operator runs on real tensors, so that compiled and exported graphs contain one node that any backend can run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from ls3d._torch_internals import are_functorch_transforms_active, is_dispatch_observed
from ls3d.ops._call import Call, check_devices_and_dtypes, memory_format, shapes_of
from ls3d.ops._geometry import Geometry, Interpolation, triple
from ls3d.ops.backends.choose import choose, request_backend, requested_backend

_TENSORS = "Tensor input, Tensor offset, Tensor? mask, Tensor weight"
_OPTIONS = "int[3] stride, int[3] padding, int[3] dilation, int groups, str interpolation"
_TAG = (torch.Tag.pt2_compliant_tag,)

torch.library.define("ls3d::conv3d", f"({_TENSORS}, Tensor? bias, {_OPTIONS} = 'bilinear') -> Tensor", tags=_TAG)
torch.library.define(
    "ls3d::conv3d_backward",
    f"(Tensor grad_output, {_TENSORS}, {_OPTIONS}, bool[4] needs) -> (Tensor, Tensor, Tensor, Tensor)",
    tags=_TAG,
)


def ls3d_conv3d(
    input: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    interpolation: Interpolation = "bilinear",
) -> Tensor:
    """Learnable-sampling 3D convolution: equation (3) of the LS3D paper, for any sizes.

    ``out[n,o,t,h,w] = bias[o] +`` the sum over taps (a,i,j) and channels c of
    ``mask[n,tap,t,h,w] * weight[o,c,a,i,j] * sample(frame, h*sH+i*dH-pH+dy, w*sW+j*dW-pW+dx)``, where
    ``frame = input[n,c,t*sT+a*dT-pT]``, ``tap = (a*kH+i)*kW+j`` and
    ``(dy, dx) = offset[n, 2*tap:2*tap+2, t,h,w]``.

    A bilinear sample is a weighted sum of the 2x2 pixels around its position. A bicubic sample is one of 4x4 pixels,
    with the separable kernel of Keys ("Cubic convolution interpolation for digital image processing", 1981) for
    a = -0.75, as in ``torch.nn.functional.grid_sample``; it is sharper, and about four times as expensive.

    Frames outside the clip and pixels outside the frame are zero. So the sample of a position is zero unless
    ``-1 < y < H`` and ``-1 < x < W``, or for bicubic samples ``-2 < y < H+1`` and ``-2 < x < W+1``; NaN and infinity
    sample zero, too. At integer positions the gradient of the offset is the right-hand derivative; a bicubic sample has
    only one. A bilinear sample exactly at -1 counts as outside: its gradients are zero.

    Args:
        input: ``(N, C, T, H, W)``, floating point, contiguous or ``channels_last_3d``; the output has the same layout.
        offset: ``(N, G*2*taps, T_out, H_out, W_out)`` in pixels, (dy, dx) per tap. The number of offset groups G is
            inferred; channel ``c`` is sampled with the offsets of group ``c // (C/G)``. Dtype of the input, or float32.
        mask: ``(N, G*taps, T_out, H_out, W_out)``, or None for ones. Dtype of the input, or float32.
        weight: ``(O, C/groups, kT, kH, kW)``, dtype of the input.
        bias: ``(O,)`` or None.
        stride, padding, dilation, groups: as in ``torch.nn.functional.conv3d``.
        interpolation: ``"bilinear"`` or ``"bicubic"``.

    Returns:
        ``(N, O, T_out, H_out, W_out)``, dtype of the input.

    Raises:
        ValueError: shapes, dtypes, devices or the interpolation don't fit each other; the message names the argument.
    """
    sizes = triple(stride, "stride"), triple(padding, "padding"), triple(dilation, "dilation")
    output: Tensor = _call("conv3d", input, offset, mask, weight, bias, *sizes, groups, interpolation)
    return output


def _forward(*arguments: Any) -> Tensor:
    call = Call.of(*arguments)
    output = choose(call.geometry, call.input.dtype, call.input.device).forward(call)
    return output.contiguous(memory_format=memory_format(call.input))


torch.library.impl("ls3d::conv3d", "CompositeExplicitAutograd", _forward)


def _forward_fake(*arguments: Any) -> Tensor:
    input, tensors, options = arguments[0], arguments[:5], arguments[5:]
    check_devices_and_dtypes(*tensors)
    shape = Geometry.of(*shapes_of(*tensors), *options).out_shape
    return torch.empty(shape, dtype=input.dtype, device=input.device, memory_format=memory_format(input))


torch.library.register_fake("ls3d::conv3d", _forward_fake)


# ``ls3d::conv3d_backward`` returns a tensor without elements for a gradient that isn't needed: its schema has no None.


def _backward(grad_output: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    input, offset, mask, weight, *options, needs = arguments
    call = Call.of(input, offset, mask, weight, None, *options)
    grads = choose(call.geometry, input.dtype, input.device).backward(call, grad_output, needs)
    return tuple(
        grad_output.new_empty(0)
        if grad is None or tensor is None
        else grad.contiguous(memory_format=memory_format(tensor))
        for grad, tensor in zip(grads, call.differentiable, strict=True)
    )


torch.library.impl("ls3d::conv3d_backward", "CompositeExplicitAutograd", _backward)


def _backward_fake(grad_output: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    tensors, needs = arguments[:4], arguments[-1]
    return tuple(_gradient_fake(tensor, need, grad_output) for tensor, need in zip(tensors, needs, strict=True))


def _gradient_fake(tensor: Tensor | None, needed: bool, grad_output: Tensor) -> Tensor:
    if tensor is None or not needed:
        return grad_output.new_empty(0)
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device, memory_format=memory_format(tensor))


torch.library.register_fake("ls3d::conv3d_backward", _backward_fake)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    input, offset, mask, weight, _, *options = inputs
    ctx.save_for_backward(input, offset, mask, weight)
    ctx.options = options
    ctx.requested_backend = requested_backend()


def _differentiate(ctx: Any, grad_output: Tensor) -> tuple[Any, ...]:
    needs = list(ctx.needs_input_grad[:4])
    grads: list[Tensor | None] = [None] * 4
    if any(needs):
        saved = ctx.saved_tensors
        with request_backend(ctx.requested_backend):
            found = _call("conv3d_backward", grad_output, *saved, *ctx.options, needs)
        grads = [grad if need else None for grad, need in zip(found, needs, strict=True)]
    grad_bias = grad_output.sum((0, 2, 3, 4)) if ctx.needs_input_grad[4] else None
    return (*grads, grad_bias, *[None] * len(ctx.options))


torch.library.register_autograd("ls3d::conv3d", _differentiate, setup_context=_save)


def _no_second_derivative(ctx: Any, *grads: Tensor) -> Any:
    raise RuntimeError("ls3d_conv3d has a first derivative only, not a second one")


torch.library.register_autograd("ls3d::conv3d_backward", _no_second_derivative)


# The transforms of ``torch.func`` ignore the gradient formula of a registered operator. Under them, the two operators
# are called through the two functions below. Under ``torch.vmap`` these run one call after the other.


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(*arguments: Any) -> Any:
        return torch.ops.ls3d.conv3d(*arguments)

    setup_context = staticmethod(_save)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return _differentiate(ctx, *grads)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Tensor, int]:
        return torch.stack([_call("conv3d", *one) for one in _unstacked(info, in_dims, arguments)]), 0


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(*arguments: Any) -> Any:
        return torch.ops.ls3d.conv3d_backward(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return _no_second_derivative(ctx, *grads)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[tuple[Tensor, ...], int]:
        calls = [_call("conv3d_backward", *one) for one in _unstacked(info, in_dims, arguments)]
        return tuple(torch.stack(parts) for parts in zip(*calls, strict=True)), 0


# Torch's dispatcher takes longer to find an operator in Python than the operator takes for a small clip. Where nothing
# but the backend can handle a call, it is called without the dispatcher.


class _Direct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Any:
        output = _forward(*arguments)
        _save(ctx, arguments, output)
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return _differentiate(ctx, *grads)


def _call(name: str, *arguments: Any) -> Any:
    forward = name == "conv3d"
    if are_functorch_transforms_active():
        return (_Forward if forward else _Backward).apply(*arguments)  # type: ignore[no-untyped-call]
    tensors = arguments[:5]
    if is_dispatch_observed(tensors):
        return getattr(torch.ops.ls3d, name)(*arguments)
    if not torch.is_grad_enabled() or not any(tensor is not None and tensor.requires_grad for tensor in tensors):
        return (_forward if forward else _backward)(*arguments)
    if forward:
        return _Direct.apply(*arguments)  # type: ignore[no-untyped-call]
    return torch.ops.ls3d.conv3d_backward(*arguments)  # its gradient is an error


def _unstacked(info: Any, in_dims: tuple[Any, ...], arguments: tuple[Any, ...]) -> Iterator[list[Any]]:
    """The arguments of each call that ``torch.vmap`` has stacked."""
    for k in range(info.batch_size):
        yield [
            argument.select(dim, k) if isinstance(argument, Tensor) and dim is not None else argument
            for argument, dim in zip(arguments, in_dims, strict=True)
        ]


def _register_autocast(device_type: str, key: str) -> None:
    """Input, weight and bias are cast to autocast's dtype; offset and mask to float32, unless they have that dtype."""

    @torch.library.impl("ls3d::conv3d", key)
    def autocast(
        input: Tensor, offset: Tensor, mask: Tensor | None, weight: Tensor, bias: Tensor | None, *options: Any
    ) -> Any:
        dtype = torch.get_autocast_dtype(device_type)
        if input.dtype == torch.float64:
            dtype = torch.float64
        bias = None if bias is None else bias.to(dtype)
        sampling = [tensor if tensor is None or tensor.dtype == dtype else tensor.float() for tensor in (offset, mask)]
        with torch.autocast(device_type, enabled=False):
            return torch.ops.ls3d.conv3d(input.to(dtype), *sampling, weight.to(dtype), bias, *options)


_register_autocast("cpu", "AutocastCPU")
_register_autocast("cuda", "AutocastCUDA")


@register_flop_formula(torch.ops.ls3d.conv3d)
def _flops(input: Any, offset: Any, mask: Any, weight: Any, bias: Any, *options: Any, **_: Any) -> int:
    return Geometry.of(input, offset, mask, weight, bias, *options).flops()


@register_flop_formula(torch.ops.ls3d.conv3d_backward)
def _backward_flops(_: Any, input: Any, offset: Any, mask: Any, weight: Any, *rest: Any, **__: Any) -> int:
    """One contraction for the gradients of input, offset and mask, and one for the weight's."""
    *options, needs = rest
    return Geometry.of(input, offset, mask, weight, None, *options).flops() * (any(needs[:3]) + bool(needs[3]))
