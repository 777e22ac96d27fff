"""Where the color of an output pixel comes from: its gradient, and the samples that it is made of.

An output frame is computed once; any number of its pixels can then be traced back to the input frames.

*Density* is the gradient of the output pixel by the input frames, as in figures 1 and 3 of the LS3D paper, after Luo et
al., "Understanding the effective receptive field in deep convolutional neural networks" (NIPS 2016). It contains
everything that the pixel depends on, also through the layers that decide where to sample.

*Samples* are what the pixel's color is made of. With all offsets and masks fixed at the values that the network has
predicted, and every activation at its slope, the output is a weighted sum of colors of the input frames::

    out(p) = c + sum over s of W_s * in(f_s, q_s),    W_s = sum over paths of the product of m * w * G

A path leads from the output pixel through one tap of each layer to position ``q_s`` of frame ``f_s``; m is the mask of
a tap (1 in an ordinary convolution), w its kernel weight, and G the interpolation coefficient of a pixel that a feature
is sampled from (equation (1) of the paper). No path is left out: back-propagation adds up all of them. Where an LS3D
operator samples the input frames themselves, as in ``bilateral``, ``vfi_ls3d_plus_*`` and ``aligned_mean``, its
positions are kept as they are, between pixels; all other samples are whole pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from ls3d.errors import InputError
from ls3d.explain.calls import CallRecorder, SampledCall
from ls3d.inference.device import resolve_device
from ls3d.inference.noise import estimate_sigma
from ls3d.inference.tiling import Tiler
from ls3d.models.network import QUARTERS, EnhancementNetwork
from ls3d.ops import bilateral_motion

FloatArray = npt.NDArray[np.float64]

#: Share of the weight that the strongest samples hold, of which the spread is measured and which are drawn.
STRONG = 0.9

#: Samples at positions that differ by less than this, in pixels, are one.
_SAME_POSITION = 1e-3

#: Bits of a position in units of ``_SAME_POSITION``: enough for the largest frames.
_POSITION_BITS = 27


@dataclass(frozen=True, eq=False)
class SamplingPoints:
    """Samples of the input frames, the strongest first.

    Attributes:
        x: columns ``(P,)`` in pixels of the input frames; a whole number is the center of a pixel, 0 the first column.
        y: rows ``(P,)``, likewise.
        frame: which input frame is sampled, ``(P,)``, from 0.
        weight: ``(P,)``, at least 0: ``|W_s|``, summed over the input's colors, for the mean of the output's colors.
        total: the weight of all samples, also of those left out because they are weak; about 1 or more.
    """

    x: FloatArray
    y: FloatArray
    frame: npt.NDArray[np.int64]
    weight: FloatArray
    total: float

    def center(self, frame: int) -> tuple[float, float]:
        """The weighted mean position (x, y) in one input frame; NaN if it isn't sampled."""
        weight = np.where(self.frame == frame, self.weight, 0)
        if not weight.sum():
            return float("nan"), float("nan")
        return float(np.average(self.x, weights=weight)), float(np.average(self.y, weights=weight))

    def strongest(self, share: float = STRONG) -> SamplingPoints:
        """The fewest samples that hold this share of the weight, or all that there are."""
        count = int((self.weight.cumsum() - self.weight < share * self.total).sum())
        return SamplingPoints(self.x[:count], self.y[:count], self.frame[:count], self.weight[:count], self.total)

    def spread(self) -> float:
        """Root of the weighted mean squared distance of the ``strongest`` samples from their center in each frame.

        In pixels; NaN without samples. Without the weak ones, because few of them, far away, would determine it.
        """
        points = self.strongest()
        if not points.weight.sum():
            return float("nan")
        squares = np.zeros_like(points.weight)
        for frame in np.unique(points.frame):
            x, y = points.center(int(frame))
            own = points.frame == frame
            squares[own] = (points.x[own] - x) ** 2 + (points.y[own] - y) ** 2
        return float(np.sqrt(np.average(squares, weights=points.weight)))


class Trace:
    """An output frame whose pixels can be traced back to the input frames; made by :func:`trace`.

    Attributes:
        output: the frame ``(3, scale * H, scale * W)``, on the CPU, not clamped.
        frames: the input frames ``(3, T, H, W)`` in [0, 1].
        scale: size of the output over that of the input.
        calls: the calls of the operator that computed the output.
    """

    def __init__(self, network: EnhancementNetwork, frames: Tensor, arguments: Sequence[Any], output: int) -> None:
        low, high = network.traits.value_range
        self.frames = frames
        self.scale = network.traits.scale
        self._network = network
        self._arguments = arguments
        self._index = output
        self._inputs = (frames.unsqueeze(0) * (high - low) + low).requires_grad_()
        with torch.enable_grad(), _Plain(network) as recorder:
            self._plain = self._run()
        self.calls = recorder.calls
        self.output = ((self._plain.detach() - low) / (high - low)).cpu()
        self._frozen: tuple[Tensor, _Frozen] | None = None

    def density(self, x: int, y: int, *, size: int = 1) -> FloatArray:
        """The gradient's magnitude in each pixel of the input frames.

        Args:
            x: column of the output pixel.
            y: its row.
            size: side of a square patch around it, which is traced as a whole; at the borders only its part inside.

        Returns:
            ``(T, H, W)``: the derivatives of the mean of the output's colors by the input's colors, their magnitudes
            summed over the latter.

        Raises:
            InputError: there is no such pixel, ``size`` isn't positive, or the output doesn't depend on the input by
                any differentiable path.
        """
        target = self._pixel(self._plain, x, y, size)
        (gradient,) = torch.autograd.grad(target, self._inputs, retain_graph=True)
        return _array(gradient[0].abs().sum(0))

    def samples(self, x: int, y: int, *, size: int = 1, limit: int | None = 2000) -> SamplingPoints:
        """The samples that an output pixel is made of, see the module.

        Args:
            x: column of the output pixel.
            y: its row.
            size: side of a square patch around it, which is traced as a whole; at the borders only its part inside.
            limit: the number of samples to return, the strongest ones; None for all.

        Raises:
            InputError: as ``density``.
        """
        if self._frozen is None:
            recorder = _Frozen(self._network)
            with torch.enable_grad(), recorder:
                self._frozen = self._run(), recorder
        output, recorder = self._frozen
        target = self._pixel(output, x, y, size)
        leaves = [self._inputs, *(leaf for _, leaf in recorder.direct)]
        gradients = torch.autograd.grad(target, leaves, retain_graph=True, allow_unused=True)
        found = [] if gradients[0] is None else [_pixel_samples(gradients[0][0])]
        for (call, _), gradient in zip(recorder.direct, gradients[1:], strict=True):
            if gradient is not None:
                found.append(_direct_samples(call, gradient, self.frames.shape[-2:]))
        return _merge(torch.cat(found), limit)

    def motion(self) -> Tensor:
        """The motion ``(2, H, W)`` at each pixel of the input's size, (dy, dx) in pixels to the next input frame.

        It is found by matching (``ls3d.ops.bilateral_motion``): for interpolation as seen from the time of the output,
        otherwise from the middle frame to the next one.
        """
        traits = self._network.traits
        first = traits.frames_before
        second = min(first + 1, self.frames.shape[1] - 1)
        time = self._arguments[0][0] if traits.times else 0.0
        motion = bilateral_motion(self.frames[None, :, first], self.frames[None, :, second], [time])[:, 0]
        height, width = self.frames.shape[-2:]
        return F.interpolate(motion, scale_factor=2.0, mode="bilinear")[0, :, :height, :width].cpu()

    def _run(self) -> Tensor:
        """The output frame ``(3, scale * H, scale * W)``, in the network's range of values."""
        parameters = {name: parameter.detach() for name, parameter in self._network.named_parameters()}
        tiler = Tiler(multiple=self._network.traits.size_multiple, scale=self.scale)
        output: Tensor = tiler(
            lambda part: functional_call(self._network, parameters, (part, *self._arguments)), self._inputs
        )[0]
        return output[:, 0 if output.shape[1] == 1 else self._index]

    def _pixel(self, output: Tensor, x: int, y: int, size: int) -> Tensor:
        """The mean color of a square patch around a pixel, or of its part inside the output."""
        if size < 1:
            raise InputError(f"{size}: expected at least 1", argument="size")
        height, width = output.shape[-2:]
        for name, value, side in (("x", x, width), ("y", y, height)):
            if not 0 <= value < side:
                raise InputError(
                    f"{value}: expected 0 to {side - 1}, as the output has {width}x{height} pixels", argument=name
                )
        if not output.requires_grad:
            raise InputError(f"{self._network.name} can't be differentiated, so its pixels can't be traced")
        top, left = y - (size - 1) // 2, x - (size - 1) // 2
        with torch.enable_grad():
            return output[:, max(0, top) : top + size, max(0, left) : left + size].mean()


def trace(
    network: EnhancementNetwork,
    frames: Tensor,
    *,
    time: float = 0.5,
    sigma: float | None = None,
    device: str | torch.device = "auto",
) -> Trace:
    """Compute an output frame so that its pixels can be traced back to the input frames.

    Args:
        network: is moved to the device, converted to float32 and set to evaluation mode.
        frames: ``(3, T, H, W)`` in [0, 1]: the two frames to interpolate between, or the window around the frame to
            restore, ``T = frames_before + 1 + frames_after``.
        time: of the output between two frames; a multiple of 1/4 where the network makes no other. Ignored by
            restoration.
        sigma: standard deviation of the noise in units of [0, 1], for networks that take it; None is estimated.
        device: as for ``ls3d.inference.Enhancer``.

    Raises:
        InputError: the network needs another number of frames, can't make a frame at this time, or ``sigma`` is not in
            [0, 1].
    """
    traits = network.traits
    length = traits.frames_before + 1 + traits.frames_after
    if frames.dim() != 4 or frames.shape[:2] != (3, length):
        raise InputError(f"{tuple(frames.shape)}: {network.name} takes (3, {length}, H, W)", argument="frames")
    if traits.times and ((traits.times == "quarters" and time not in QUARTERS) or not 0 <= time <= 1):
        raise InputError(f"{time:g}: {network.name} makes frames at {traits.times} times", argument="time")
    if sigma is not None and not 0 <= sigma <= 1:
        raise InputError(f"{sigma:g}: expected 0 to 1", argument="sigma")
    place = resolve_device(device)
    arguments: list[Any] = []
    if traits.times:
        arguments = [[time]]
    elif traits.takes_sigma:
        low, high = traits.value_range
        level = estimate_sigma(frames[:, traits.frames_before]) if sigma is None else sigma
        arguments = [torch.tensor([level * (high - low)], device=place)]
    return Trace(
        network.eval().to(place, torch.float32), frames.to(place, torch.float32), arguments, traits.frames_before
    )


def trace_samples(
    network: EnhancementNetwork,
    frames: Tensor,
    x: int,
    y: int,
    *,
    time: float = 0.5,
    sigma: float | None = None,
    size: int = 1,
    limit: int | None = 2000,
    device: str | torch.device = "auto",
) -> SamplingPoints:
    """The samples of the input frames that one output pixel is made of: ``trace(...).samples(...)``.

    The arguments are those of :func:`trace` and :meth:`Trace.samples`.
    """
    return trace(network, frames, time=time, sigma=sigma, device=device).samples(x, y, size=size, limit=limit)


class _Plain(CallRecorder):
    """Computes gradients also where a network switches them off, which only saves it time and memory."""

    def call_other(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call any other function of torch."""
        return None if func is torch._C._set_grad_enabled else func(*args, **kwargs)


class _Frozen(_Plain):
    """Takes offsets, masks and warps as constants.

    Attributes:
        direct: the operator's calls that sample the network's input, with their outputs, at which the graph begins.
    """

    def __init__(self, network: EnhancementNetwork) -> None:
        super().__init__(network)
        self.direct: list[tuple[SampledCall, Tensor]] = []

    def call_operator(self, func: Callable[..., Any], args: tuple[Any, ...]) -> Tensor:
        """Call the operator without gradients of offsets and masks."""
        call = self.record(args)
        if call.margin is None or call.geometry.groups > 1 or call.geometry.offset_groups > 1:
            output: Tensor = func(args[0], call.offset, call.mask, *args[3:])
            return output
        with torch.no_grad():
            output = func(*args)
        self.direct.append((call, output.detach().requires_grad_()))
        return self.direct[-1][1]

    def call_other(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call any other function of torch; where a warp samples is a constant."""
        if func is F.grid_sample:
            image, grid, *rest = args
            return func(image, grid.detach(), *rest, **kwargs)
        return super().call_other(func, args, kwargs)


def _pixel_samples(gradient: Tensor) -> Tensor:
    """Rows (frame, y, x, weight of each color) of the pixels of a gradient ``(3, T, H, W)`` that isn't zero."""
    places = (gradient != 0).any(0).nonzero()
    times, rows, columns = places.unbind(1)
    return torch.cat([places.double(), gradient[:, times, rows, columns].mT.double()], dim=1).cpu()


def _direct_samples(call: SampledCall, gradient: Tensor, size: Sequence[int]) -> Tensor:
    """Rows (frame, y, x, weight of each color) of an operator's samples; ``gradient`` is that of its output.

    Beyond its input, the operator samples zeros. Between the input's border and that of the frames, which have this
    ``size``, the frames' borders are repeated.
    """
    times, rows, columns = (gradient != 0).any(1)[0].nonzero().unbind(1)
    position = call.positions()[0, 0][:, :, times, rows, columns].permute(2, 0, 1)
    mask = call.masks()[0, 0][:, times, rows, columns].mT
    frame = call.frames()[:, times].mT
    weight = torch.einsum("op,ocn->pnc", gradient[0][:, times, rows, columns], call.weight.flatten(2))
    inside = 1 - (position - _clamped(position, call.input.shape[-2:], call.margin or 0)).abs()
    weight = weight * (mask * inside.clamp_min(0).prod(2)).unsqueeze(2)
    used = (frame >= 0) & (frame < call.input.shape[2]) & (weight != 0).any(2)
    return torch.cat([frame.unsqueeze(2), _clamped(position, size), weight], dim=2)[used].double().cpu()


def _clamped(position: Tensor, size: Sequence[int], margin: int = 0) -> Tensor:
    """Positions ``(..., 2)`` moved into a frame of this size, whose origin is ``margin`` pixels before theirs."""
    last = position.new_tensor([size[0] - 1 - margin, size[1] - 1 - margin])
    return position.clamp(torch.full_like(last, -margin), last)


def _merge(rows: Tensor, limit: int | None) -> SamplingPoints:
    """Add up samples at the same position; order them by their weight."""
    frames, *places = (rows[:, :3] / rows.new_tensor([1, _SAME_POSITION, _SAME_POSITION])).round().long().unbind(1)
    keys = (frames << 2 * _POSITION_BITS) + (places[0] << _POSITION_BITS) + places[1]
    _, index = keys.unique(return_inverse=True)
    count = int(index.max()) + 1 if len(index) else 0
    positions = rows.new_zeros(count, 3).index_copy(0, index, rows[:, :3])
    weight = rows.new_zeros(count, rows.shape[1] - 3).index_add(0, index, rows[:, 3:]).abs().sum(1)
    order = weight.argsort(descending=True, stable=True)[:limit]
    frame, y, x = (_array(column) for column in positions[order].unbind(1))
    return SamplingPoints(x, y, frame.astype(np.int64), _array(weight[order]), float(weight.sum()))


def _array(tensor: Tensor) -> FloatArray:
    return tensor.detach().cpu().double().numpy()
