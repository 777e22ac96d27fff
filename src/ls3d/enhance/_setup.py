"""From the arguments of a call to a job: opening the source, checking the target, choosing the encoder."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ls3d.enhance._arguments import check_target_name
from ls3d.enhance._filters import choose_filters
from ls3d.enhance._job import Job, SourceFile
from ls3d.enhance._plan import Segmentation
from ls3d.enhance._size import SizeRequest, check_pixels
from ls3d.enhance._steps import LoadedStep, reach
from ls3d.enhance._timeline import Timeline
from ls3d.enhance._workspace import Workspace
from ls3d.enhance.engine import run, run_to_pipe
from ls3d.enhance.options import EnhanceOptions
from ls3d.enhance.report import EnhanceReport
from ls3d.errors import InputError
from ls3d.inference import Enhancer
from ls3d.progress import ProgressCallback
from ls3d.video import (
    EncoderSettings,
    Source,
    TimeRange,
    VideoPipe,
    choose_settings,
    exact_rate,
)
from ls3d.video.hardware_decoding import DeviceUnusableError, usable_device
from ls3d.video.properties import has_variable_rate
from ls3d.video.settings import keeps_fields

log = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]

_MIN_SEGMENT_FRAMES = 32  # of a segment that ends at a cut, unless ``segment_frames`` is smaller
_DIVISIBLE = 4  # the chroma of any pixel format has half or a quarter of the size

_MAX_TIME_DENOMINATOR = 1_000_000

#: Frames per second of an output without times whose source has a variable rate.
_HIGHEST_CONSTANT_RATE = 240

#: Share of the source's frames per second below which it is said that frames are left out; 29.97 of 30 isn't.
_FEWER_FRAMES = Fraction(99, 100)

#: Formats that store no times of their own: their tick is one frame.
_COUNTING_FRAMES = ("avi", "y4m", "images")


@dataclass(frozen=True)
class OpenSource:
    """A source that was opened.

    Attributes:
        source: the source, filtered.
        file: how to open it again, None for a pipe.
        span: the part that is wanted.
        coded_rate: average frame rate of the source as it is stored.
    """

    source: Source
    file: SourceFile | None
    span: TimeRange
    coded_rate: Fraction


def open_source(source: PathLike | BinaryIO, options: EnhanceOptions) -> OpenSource:
    """Open a file, a folder of images, or a pipe.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it can't be decoded, or ends before ``options.start``.
    """
    file = None
    opened: Source
    if isinstance(source, (str, os.PathLike)):
        image_rate = exact_rate(options.image_rate, "image_rate")
        file = SourceFile.of(Path(source), options.on_error, image_rate, options.max_pixels)
        if options.hwaccel != "off" and file.path.is_file():
            file = replace(file, decoder_device=_decoder_device(file.path, options))
        opened = file.open()
    else:
        opened = VideoPipe(source, options.on_error, options.max_pixels)
    info = opened.info
    start = Fraction(options.start).limit_denominator(_MAX_TIME_DENOMINATOR)
    if info.duration is not None and 0 < info.duration <= start:
        raise InputError(
            f"{float(start):g}: expected less than the {float(info.duration):.3f} s of {info.name}", argument="start"
        )
    end = None
    if options.duration is not None:
        end = start + Fraction(options.duration).limit_denominator(_MAX_TIME_DENOMINATOR)
    span = TimeRange(start, end)
    filters = choose_filters(opened, file.path if file is not None and file.path.is_file() else None, span, options)
    if file is not None:
        file = replace(file, filters=filters)
    return OpenSource(filters.apply(opened), file, span, info.rate)


def _decoder_device(path: Path, options: EnhanceOptions) -> str | None:
    """The kind of device that decodes a file; None, after a warning, if there is none."""
    try:
        return usable_device(path, options.hwaccel, options.max_pixels)
    except DeviceUnusableError as error:
        log.warning("%s is decoded in software, not on a device (%s)", path, error)
        return None


@dataclass(frozen=True)
class Target:
    """Where the output goes.

    Attributes:
        container: FFmpeg's name of the format, ``"y4m"`` or ``"images"``.
        path: the file or folder, None for a pipe.
        pipe: the pipe, None for a file or folder.
    """

    container: str
    path: Path | None = None
    pipe: BinaryIO | None = None


def check_target(target: PathLike | BinaryIO, source: OpenSource, overwrite: bool) -> Target:
    """Find out the format of the output, and whether it can be written.

    An output that an earlier run of some job has finished is accepted here: whether it was this job is known only when
    the network is loaded.

    Raises:
        FileNotFoundError: there is no folder for it.
        OutputExistsError: the output exists and is not to be overwritten.
        InputError: its suffix is unknown, it is the source, a folder with files in it, or a device.
    """
    if not isinstance(target, (str, os.PathLike)):
        return Target("y4m", pipe=target)
    path = Path(target)
    container = check_target_name(path)
    if source.file is not None and path.exists() and path.samefile(source.file.path):
        raise InputError(f"{path} is the source itself; expected another name for the output")
    workspace = Workspace(path)
    if workspace.delivered() is None:
        workspace.check_target(overwrite)
    return Target(container, path)


@dataclass(frozen=True)
class PreparedJob:
    """A job with everything that is open and loaded already.

    Attributes:
        job: what to do.
        source: the job's source.
        enhancers: the job's networks on their device.
        pipe: where the output goes if not to ``job.target``.
        overwrite: whether to replace a target that exists.
    """

    job: Job
    source: Source
    enhancers: Sequence[Enhancer]
    pipe: BinaryIO | None
    overwrite: bool = False

    def run(self, resume: bool = True, progress: ProgressCallback | None = None) -> EnhanceReport:
        """Do the job in this process; see ``ls3d.enhance.engine.run``."""
        if self.pipe is not None:
            return run_to_pipe(self.job, self.source, self.pipe, self.enhancers, progress)
        return run(self.job, self.source, self.enhancers, resume, progress, self.overwrite)


def prepare_job(
    source: OpenSource,
    target: Target,
    steps: Sequence[LoadedStep],
    timeline: Timeline,
    options: EnhanceOptions,
    *,
    stretch: Fraction = Fraction(1),
    size: SizeRequest | None = None,
) -> PreparedJob:
    """Choose the encoder's settings and describe the job.

    Args:
        source: from ``open_source``.
        target: from ``check_target``.
        steps: from ``ls3d.enhance._loading.load_steps``.
        timeline: the times of output frames.
        options: of the call.
        stretch: how many times longer the output takes than the source.
        size: of the output, if it is not the networks' own.

    Raises:
        InputError: codec, quality and format don't fit together, or the output is larger than allowed.
    """
    enhancers = [step.enhancer for step in steps]
    scale = math.prod(enhancer.traits.scale for enhancer in enhancers)
    interpolates = any(enhancer.traits.task == "interpolation" for enhancer in enhancers)
    info = source.source.info
    same_lines = scale == 1 and not interpolates and size is None
    settings = _encoder_settings(source, target.container, scale, timeline, stretch, options, same_lines, size)
    if info.field_order:
        result = (
            "" if same_lines and keeps_fields(info, settings.codec) else ", and the output is marked as progressive"
        )
        log.warning("%s is interlaced; its frames are processed as if they were progressive%s", info.name, result)
    if interpolates and settings.rate < _FEWER_FRAMES * info.rate:
        rates = info.name, float(info.rate), float(settings.rate)
        log.warning("%s has %.5g fps, more than the %.5g fps of the output: frames are left out", *rates)
    frames_before, frames_after = reach(enhancers)
    segmentation = Segmentation(
        span=TimeRange(source.span.start, source.span.end, stretch),
        timeline=timeline,
        time_base=settings.time_base,
        cut_threshold=options.cut_threshold,
        max_frames=options.segment_frames,
        min_frames=min(_MIN_SEGMENT_FRAMES, options.segment_frames),
        frames_before=frames_before,
        frames_after=frames_after,
        every_tick=target.container in _COUNTING_FRAMES,
    )
    job = Job(
        source=source.file,
        info=info,
        steps=tuple(step.described() for step in steps),
        device=options.device,
        precision=enhancers[0].precision if enhancers else options.precision,
        segmentation=segmentation,
        settings=settings,
        container=target.container,
        target=target.path,
    )
    return PreparedJob(job, source.source, enhancers, target.pipe, options.replaces_output)


def _constant_rate(source: OpenSource) -> Fraction:
    """The rate at which a source is shown by formats that store no times.

    A variable rate becomes the one that represents all times, if FFmpeg's estimate of it is plausible.
    """
    info = source.source.info
    path = None if source.file is None or source.file.path.is_dir() else source.file.path
    is_variable = info.container != "avi" and path is not None and has_variable_rate(path, source.coded_rate)
    if not is_variable:
        return info.rate
    rate = info.base_rate if info.rate < info.base_rate <= _HIGHEST_CONSTANT_RATE else info.rate
    log.warning("%s has a variable frame rate; the output has a constant one, so frames are repeated", info.name)
    return rate


def _encoder_settings(
    source: OpenSource,
    container: str,
    scale: int,
    timeline: Timeline,
    stretch: Fraction,
    options: EnhanceOptions,
    same_lines: bool,
    size: SizeRequest | None,
) -> EncoderSettings:
    info = source.source.info
    counts = container in _COUNTING_FRAMES
    own_rate = _constant_rate(source) if counts else info.rate
    rate = timeline.rate(own_rate) / stretch

    choose = partial(
        choose_settings,
        info if size is None or not size.has_square_pixels else replace(info, sample_aspect_ratio=Fraction(1)),
        container,
        time_base=1 / rate if counts else timeline.time_base(info.time_base / stretch.denominator),
        rate=rate,
        codec=options.codec,
        crf=options.crf,
        threads=options.threads,
        fields=same_lines,
        encoder_options=options.encoder_options,
    )
    own_size = (info.height * scale, info.width * scale)
    if size is None or size.scale == scale:
        return choose(size=own_size)
    # The pixel format says by what the sides must be divisible; these are in any format.
    any_format = choose(size=size.size_of_video(info, container, (_DIVISIBLE, _DIVISIBLE)))
    horizontal, vertical = any_format.color.layout.subsampling
    exact_size = size.size_of_video(info, container, (1 << vertical, 1 << horizontal))
    if exact_size != own_size:
        check_pixels(exact_size, options.max_pixels)
    return choose(size=exact_size)
