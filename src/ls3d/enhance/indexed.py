"""Output frames by number, in any order, for programs that pull frames one at a time, such as VapourSynth.

The frames are those of ``interpolate_frames`` and the other functions for frames in memory, which need them in order.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from threading import Lock

from torch import Tensor

from ls3d.enhance._arguments import check_interpolation, exact_factor, read_noise_level
from ls3d.enhance._arrays import ArrayTensors, array_frame
from ls3d.enhance._frame_tasks import FrameTask, FrameTensors, Output, chain_task
from ls3d.enhance._loading import Model, StepRequest, load_step
from ls3d.enhance._size import SizeRequest, requested_size
from ls3d.enhance._steps import reach
from ls3d.enhance._timeline import Multiply, OutputClock
from ls3d.enhance._windows import windows
from ls3d.enhance.options import EnhanceOptions
from ls3d.video import Color, Frame, TimeRange, find_cuts
from ls3d.video.cuts import CUT_LOOKAHEAD
from ls3d.video.pixels import Plane, picture_of

__all__ = ["IndexedFrames", "SourceFormat", "denoised", "interpolated", "plane_frame", "tensor_frame", "upscaled"]

_KEPT = 16  # output frames that are kept after they were made, since threads ask for frames out of order


def plane_frame(number: int, planes: Sequence[Plane], color: Color) -> Frame:
    """Make a source frame of its samples.

    Args:
        number: of the frame, from 0.
        planes: in the order and with the sizes and types of ``color.layout``.
        color: how the samples represent colors.
    """
    return Frame(Fraction(number), Fraction(1), picture_of(planes, color.layout))


def tensor_frame(number: int, tensor: Tensor) -> Frame:
    """Make a source frame of R'G'B'.

    Args:
        number: of the frame, from 0.
        tensor: ``(3, H, W)`` in [0, 1].
    """
    return array_frame(number, tensor)


@dataclass(frozen=True)
class SourceFormat:
    """A sequence of source frames.

    Attributes:
        length: number of frames.
        size: height and width.
        color: how the samples represent colors; None for frames that ``tensor_frame`` makes.
    """

    length: int
    size: tuple[int, int]
    color: Color | None = None


def interpolated(
    source: SourceFormat, options: EnhanceOptions, model: Model, factor: Fraction | float
) -> IndexedFrames:
    """The frames of ``ls3d.enhance.interpolate_frames``.

    Raises:
        InputError: an argument is not what is expected.
    """
    check_interpolation(factor, None, slow_motion=False)
    return IndexedFrames([StepRequest(model, "interpolation")], options, source, factor=exact_factor(factor))


def upscaled(
    source: SourceFormat,
    options: EnhanceOptions,
    model: Model,
    scale: Fraction | float | None = None,
    width: int | None = None,
    height: int | None = None,
    fit: tuple[int, int] | None = None,
) -> IndexedFrames:
    """The frames of ``ls3d.enhance.upscale_frames``.

    Raises:
        InputError: an argument is not what is expected.
    """
    size = requested_size(scale, width, height, fit)
    return IndexedFrames([StepRequest(model, "super-resolution")], options, source, size)


def denoised(
    source: SourceFormat, options: EnhanceOptions, model: Model, sigma: float | str | None = None
) -> IndexedFrames:
    """The frames of ``ls3d.enhance.denoise_frames``.

    Raises:
        InputError: an argument is not what is expected.
    """
    level = None if sigma is None else read_noise_level(sigma)
    return IndexedFrames([StepRequest(model, "denoising", level)], options, source)


class IndexedFrames:
    """Makes each output frame of a sequence from the source frames around it.

    Args:
        requests: what is done to the frames, in order; interpolation must be the last step.
        options: of the networks and the cut detector.
        source: the source frames.
        size: of the output, if it is not the networks' own.
        factor: output frames for each source frame.

    Attributes:
        length: number of output frames.
        size: height and width of the output frames.
        factor: as given.

    Raises:
        InputError: there is no such network or device, or a noise level is given to a network that takes none.
    """

    def __init__(
        self,
        requests: Sequence[StepRequest],
        options: EnhanceOptions,
        source: SourceFormat,
        size: SizeRequest | None = None,
        factor: Fraction = Fraction(1),
    ) -> None:
        steps = [load_step(request, options) for request in requests]
        enhancers = [step.enhancer for step in steps]
        scale = math.prod(enhancer.traits.scale for enhancer in enhancers)
        device = enhancers[0].device
        tensors = ArrayTensors(device) if source.color is None else FrameTensors(source.color, device)
        horizontal, vertical = (0, 0) if source.color is None else source.color.layout.subsampling
        units = (1 << vertical, 1 << horizontal)
        self.length = math.ceil(source.length * factor)
        self.size = (size or SizeRequest(scale=Fraction(scale))).size(*source.size, units)
        self.factor = factor
        self._task: FrameTask = chain_task(tensors, enhancers, [step.sigma for step in steps], self.size)
        self._source_length = source.length
        self._reach = reach(enhancers)
        self._cut_threshold = options.cut_threshold
        self._lock = Lock()
        self._made: OrderedDict[int, Output] = OrderedDict()
        self._rest: Iterator[tuple[int, Output]] = iter(())
        self._next = -1  # number of the first output of ``_rest``
        self._end = -1  # number of the first output of the next source frame

    def source_of(self, number: int) -> int:
        """Number of the source frame that is shown at the time of an output frame, or last before it."""
        return math.floor(number / self.factor)

    def is_first(self, number: int) -> bool:
        """Whether an output frame is the first one of its source frame."""
        return number == math.ceil(self.source_of(number) * self.factor)

    def is_last(self, number: int) -> bool:
        """Whether an output frame is the last one of its source frame."""
        return number + 1 == math.ceil((self.source_of(number) + 1) * self.factor)

    def needed(self, number: int) -> range:
        """Numbers of the source frames from which an output frame is made."""
        current = self.source_of(number)
        before, after = self._reach
        first = current - before - (CUT_LOOKAHEAD if self._cut_threshold > 0 else 0)
        last = current + max(1, after) + (CUT_LOOKAHEAD if self._cut_threshold > 0 else 0)
        return range(max(0, first), min(last, self._source_length - 1) + 1)

    def make(self, number: int, frames: Mapping[int, Frame]) -> int | Tensor:
        """Make an output frame; several threads may call this.

        Args:
            number: of the output frame.
            frames: the source frames in ``needed(number)`` by their numbers, as ``plane_frame`` makes them, or
                ``tensor_frame`` if ``color`` is None.

        Returns:
            The number of a source frame that passes through as it is, or ``(3, H, W)`` R'G'B', not clamped.

        Raises:
            NetworkOutputError: a network returned something else than it should, such as NaN.
        """
        with self._lock:
            output = self._made.get(number) or self._pull(number, frames)
        return int(output.pixels.time) if isinstance(output.pixels, Frame) else output.pixels

    def _pull(self, number: int, frames: Mapping[int, Frame]) -> Output:
        if not self._next <= number < self._end:
            self._rest = self._outputs(self.source_of(number), frames)
        end, self._end = self._end, -1  # nothing can be taken from a generator that has failed
        for made, output in self._rest:
            self._next = made + 1
            self._made[made] = output
            if len(self._made) > _KEPT:
                self._made.popitem(last=False)
            if made == number:
                self._end = end
                return output
        raise ValueError(f"output frame {number} is not one of source frame {self.source_of(number)}")

    def _outputs(self, current: int, frames: Mapping[int, Frame]) -> Iterator[tuple[int, Output]]:
        """The output frames of a source frame, with their numbers; each is made when it is asked for."""
        factor = self.factor
        self._next, self._end = math.ceil(current * factor), math.ceil((current + 1) * factor)
        ordered = (frames[number] for number in sorted(frames))
        clock = OutputClock(Multiply(factor), TimeRange(), 1 / factor, index=current)
        scanned = find_cuts(ordered, self._cut_threshold)
        window = next(windows(scanned, *self._reach, Fraction(current), None, clock))
        numbers = range(self._next, self._end)

        def outputs() -> Iterator[tuple[int, Output]]:
            made = self._task.outputs(window)
            for number in numbers:
                yield number, next(made)

        return outputs()
