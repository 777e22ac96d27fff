"""The engine: a source, a stage, a target; segment by segment.

Decoding, inference and encoding run side by side. Every segment is finished for good before the next begins,
so that a job that is killed goes on where it stood, with the same result as if nothing had happened.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import torch

from ls3d.enhance._segments import Segment, SegmentWriter, Workspace
from ls3d.enhance._stages import Output, Stage, Window
from ls3d.enhance._threads import Worker, prefetch
from ls3d.errors import InputError
from ls3d.video import (
    EncodedSegment,
    Encoder,
    EncoderSettings,
    Frame,
    Mark,
    Packet,
    ScannedFrame,
    Source,
    TimeRange,
    find_cuts,
    from_rgb,
    to_rgb,
    write_container,
    write_images,
    write_y4m,
    y4m_header,
)
from ls3d.video.cuts import CUT_LOOKAHEAD

log = logging.getLogger(__name__)

_DECODED_AHEAD = 4
_ENCODED_BEHIND = 8


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        done: source frames finished, those of earlier runs included.
        total: source frames in all, None where the source doesn't say.
        written: output frames.
        fps: output frames per second of this run.
        remaining: seconds to go, None while unknown.
        phase: ``"frames"`` or ``"joining"``.
    """

    done: int
    total: int | None
    written: int
    fps: float
    remaining: float | None
    phase: str = "frames"


@dataclass
class Report:
    """What became of a job.

    Attributes:
        target: the output.
        frames_in: source frames.
        frames_out: output frames.
        segments: in all.
        resumed: segments that an earlier run had finished.
        cuts: hard cuts found.
        held: output frames for which no network was asked.
        lost: packets that could not be decoded.
        retimed: frames whose own time could not be used.
        notes: sentences on streams that the output can't hold as they are.
        seconds: of this run.
    """

    target: str
    frames_in: int = 0
    frames_out: int = 0
    segments: int = 0
    resumed: int = 0
    cuts: int = 0
    held: int = 0
    lost: int = 0
    retimed: int = 0
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Job:
    """What to do.

    Attributes:
        source: where frames come from.
        path: of the source's file, for its other streams; None copies none.
        stage: what is done to them.
        settings: of the encoder.
        container: FFmpeg's name of the output format, ``"y4m"`` or ``"images"``.
        span: the part of the source that is wanted.
        threshold: of the cut detector; 0 finds no cuts.
        longest: most source frames of a segment.
        shortest: fewest source frames of a segment that ends at a cut.
        signature: what else the output depends on, as JSON.
    """

    source: Source
    path: Path | None
    stage: Stage
    settings: EncoderSettings
    container: str
    span: TimeRange
    threshold: float
    longest: int = 128
    shortest: int = 32
    signature: dict[str, Any] = field(default_factory=dict)


class _Meter:
    """Turns finished frames into ``Progress``."""

    def __init__(self, total: int | None, show: Callable[[Progress], None] | None) -> None:
        self.total, self._show = total, show
        self.done = self.written = self._before = self._done_before = 0
        self._begin = time.monotonic()

    def resume(self, segments: Iterable[Segment]) -> None:
        """Count what earlier runs did."""
        for segment in segments:
            self.done += segment.frames_in
            self.written += segment.frames_out
        self._before, self._done_before = self.written, self.done

    def step(self, written: int) -> None:
        """One source frame is finished."""
        self.done += 1
        self.written += written
        self.show("frames")

    def show(self, phase: str) -> None:
        """Tell whoever wants to know."""
        if self._show is None:
            return
        seconds = self.seconds()
        fps = (self.written - self._before) / seconds if seconds > 0 else 0.0
        remaining, here = None, self.done - self._done_before
        if self.total is not None and here:
            remaining = max(0, self.total - self.done) * seconds / here
        self._show(Progress(self.done, self.total, self.written, fps, remaining, phase))

    def seconds(self) -> float:
        """Since the beginning of this run."""
        return time.monotonic() - self._begin


def run(job: Job, target: Path, resume: bool = True, progress: Callable[[Progress], None] | None = None) -> Report:
    """Do a job, or what is left of it; the target appears when it is complete.

    Args:
        job: what to do.
        target: the output file, or folder of images.
        resume: go on with an unfinished job of the same settings.
        progress: called after every source frame.

    Raises:
        InputError: no frame could be decoded, the source has changed, or the format can't hold this.
        OSError: the disk is full, the folder gone, ...; finished segments stay.
    """
    try:
        workspace = Workspace(target, _signature(job), resume)
        segments = workspace.finished()
        report = Report(str(target), resumed=len(segments))
        meter = _Meter(_expected_frames(job), progress)
        meter.resume(segments)
        if not (segments and segments[-1].last):
            segments += _make_segments(job, workspace, segments, meter)
        meter.show("joining")
        report.notes = _join(job, workspace, segments, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"{target}: {reason}; what is finished is kept, and the same command goes on") from error
    except av.FFmpegError as error:
        raise InputError(f"{target} can't be written with {job.settings.codec} ({error.strerror})") from error
    _count(report, segments)
    report.seconds = meter.seconds()
    return report


def run_to_pipe(job: Job, file: BinaryIO, progress: Callable[[Progress], None] | None = None) -> Report:
    """Do a job whose output is a y4m stream; nothing is kept, nothing can be resumed."""
    file.write(y4m_header(job.settings))
    meter = _Meter(_expected_frames(job), progress)
    segments = _work(job, [], _PipeSink(job, file), meter)
    file.flush()
    report = Report("standard output")
    _count(report, segments)
    report.segments, report.seconds = 0, meter.seconds()
    return report


def _signature(job: Job) -> dict[str, Any]:
    """What makes two jobs the same: the source's bytes, the stage and all settings."""
    source: dict[str, Any] = {"name": job.source.info.name}
    if job.path is not None:
        stat = job.path.stat()
        with job.path.open("rb") as file:
            head = hashlib.sha256(file.read(1 << 20)).hexdigest()
        source = {"size": stat.st_size, "modified": stat.st_mtime_ns, "head": head}
    return {
        "source": source,
        "settings": repr(job.settings),
        "container": job.container,
        "span": repr(job.span),
        "timeline": repr(job.stage.timeline),
        "threshold": job.threshold,
        "segment": [job.shortest, job.longest],
        **job.signature,
    }


def _expected_frames(job: Job) -> int | None:
    info, span = job.source.info, job.span
    if span.start == 0 and span.end is None:
        return info.frames
    if info.duration is None:
        return None
    end = info.duration if span.end is None else min(span.end, info.duration)
    return max(0, round((end - span.start) * info.rate))


def _count(report: Report, segments: Sequence[Segment]) -> None:
    report.segments = len(segments)
    for name in ("frames_in", "frames_out", "cuts", "held", "lost", "retimed"):
        setattr(report, name, sum(getattr(segment, name) for segment in segments))


def _make_segments(job: Job, workspace: Workspace, done: list[Segment], meter: _Meter) -> list[Segment]:
    if done and not job.source.info.seekable:
        raise InputError("a job that reads a pipe can't go on where it stood; use --restart")
    sink = _FileSink(workspace, job, done)
    try:
        return _work(job, done[-1].context if done else [], sink, meter)
    except BaseException:
        sink.abandon()
        raise


def _work(job: Job, context: Sequence[tuple[Mark, bool]], sink: _Sink, meter: _Meter) -> list[Segment]:
    """Make all segments after the context; decoding, inference and encoding each in a thread."""
    marks = [mark for mark, _ in context]
    with ExitStack() as stack:
        frames = job.source.frames(marks, job.span.start)
        if job.span.end is not None:
            end = job.span.end
            frames = itertools.takewhile(lambda frame: frame.time < end, frames)
        shots = stack.enter_context(prefetch(find_cuts(frames, job.threshold), _DECODED_AHEAD))
        worker = stack.enter_context(Worker(sink.handle, _ENCODED_BEHIND))
        stack.enter_context(torch.inference_mode())
        _infer(job, shots, [cut for _, cut in context], worker, meter)
    return sink.segments


def _infer(
    job: Job,
    shots: Iterator[ScannedFrame],
    known: Sequence[bool],
    worker: Worker[Output | tuple[Segment, Fraction]],
    meter: _Meter,
) -> None:
    """Run the stage over all windows, and say where segments end."""
    segment, recent = Segment(), deque[ScannedFrame](maxlen=_context_length(job))
    until: Fraction | None = None
    for shot, window in _windows(shots, job, known):
        if window is not None:
            if until is not None and _ends_segment(job, segment, recent[-1]):
                worker.send(_closed(segment, recent, until))
                segment = Segment()
            outputs = 0
            for output in job.stage.outputs(window):
                worker.send(output)
                segment.held += output.held
                outputs += 1
            _add(segment, shot, outputs)
            meter.step(outputs)
            until = window.until
        recent.append(shot)
    if until is None:
        raise InputError(f"{job.source.info.name}: no frame from {float(job.span.start):g} s on can be decoded")
    segment.lost += job.source.undecodable_at_end
    segment.last = True
    worker.send(_closed(segment, recent, until))


def _context_length(job: Job) -> int:
    """Source frames that the next segment must see again: what the cut detector and the stage look back on."""
    return max(CUT_LOOKAHEAD, job.stage.before)


def _windows(
    shots: Iterator[ScannedFrame], job: Job, known: Sequence[bool]
) -> Iterator[tuple[ScannedFrame, Window | None]]:
    """Every shot with its window, which ends where its shot ends; the first ``len(known)`` are done already.

    Args:
        shots: frames and the cuts between them.
        job: whose stage says how far a window reaches.
        known: whether a cut comes after each of the frames that are done.
    """
    before, after = job.stage.before, job.stage.after
    past: deque[Frame] = deque(maxlen=before)
    ahead = deque(itertools.islice(shots, max(1, after) + 1))
    for index in itertools.count():
        if not ahead:
            return
        shot = ahead.popleft()
        if index < len(known):
            shot = ScannedFrame(shot.frame, known[index])
            yield shot, None
        else:
            until = ahead[0].frame.time if ahead else shot.frame.time + shot.frame.duration
            if job.span.end is not None:
                until = min(until, job.span.end)
            yield shot, Window(tuple(past), shot.frame, _same_shot(shot, ahead)[:after], until)
        past.append(shot.frame)
        if shot.cut_after:
            past.clear()
        ahead.extend(itertools.islice(shots, 1))


def _same_shot(shot: ScannedFrame, following: Iterable[ScannedFrame]) -> list[Frame]:
    frames: list[Frame] = []
    for each in following:
        if shot.cut_after:
            break
        frames.append(each.frame)
        shot = each
    return frames


def _ends_segment(job: Job, segment: Segment, latest: ScannedFrame) -> bool:
    return segment.frames_in >= (job.shortest if latest.cut_after else job.longest)


def _add(segment: Segment, shot: ScannedFrame, outputs: int) -> None:
    segment.frames_in += 1
    segment.frames_out += outputs
    segment.cuts += shot.cut_after
    segment.lost += shot.frame.undecodable_packets
    segment.retimed += shot.frame.retimed


def _closed(segment: Segment, recent: Iterable[ScannedFrame], until: Fraction) -> tuple[Segment, Fraction]:
    segment.context = [(shot.frame.mark(), shot.cut_after) for shot in recent]
    return segment, until


class _Sink:
    """Takes output frames and ends of segments, in the encoding thread.

    Attributes:
        segments: those that are finished.
    """

    def __init__(self, job: Job) -> None:
        self.segments: list[Segment] = []
        self._job, self._source = job, job.source.info.color
        self._latest = -(1 << 62)

    def handle(self, item: Output | tuple[Segment, Fraction]) -> None:
        """Encode a frame, or finish a segment of which the end's time is given."""
        with torch.inference_mode():
            if isinstance(item, Output):
                self._write(item)
            else:
                segment, until = item
                segment.end = max(self._ticks(self._job.stage.timeline.end(until)), self._latest + 1)
                self.segments.append(self._finish(segment))

    def _write(self, output: Output) -> None:
        raise NotImplementedError

    def _finish(self, segment: Segment) -> Segment:
        raise NotImplementedError

    def _ticks(self, time: Fraction) -> int:
        span = self._job.span
        return round((time - span.start) * span.stretch / self._job.settings.time_base)

    def _next_pts(self, time: Fraction) -> int:
        """Ticks of a frame; they increase even where the container's clock is coarser than the source's."""
        self._latest = max(self._ticks(time), self._latest + 1)
        return self._latest

    def _picture(self, pixels: av.VideoFrame | torch.Tensor) -> av.VideoFrame:
        """Pixels as the encoder wants them; a source frame's own samples where they fit."""
        target = self._job.settings.color
        if isinstance(pixels, av.VideoFrame):
            if target == self._source:
                return pixels
            pixels = to_rgb(pixels, self._source)
        return from_rgb(pixels, target, dither=self._source.layout.depth > target.layout.depth)


class _FileSink(_Sink):
    """Finishes segments in the workspace."""

    def __init__(self, workspace: Workspace, job: Job, done: Sequence[Segment]) -> None:
        super().__init__(job)
        self._workspace, self._index = workspace, len(done)
        self._latest = done[-1].end - 1 if done else self._latest
        self._encoder: Encoder | None = None
        self._writer: SegmentWriter | None = None

    def _write(self, output: Output) -> None:
        if self._encoder is None or self._writer is None:
            self._encoder = Encoder(self._job.settings)
            self._writer = self._workspace.create(self._index)
        picture = self._picture(output.pixels)
        for packet in self._encoder.encode(picture, self._next_pts(output.time)):
            self._writer.write(packet)

    def _finish(self, segment: Segment) -> Segment:
        if self._encoder is None or self._writer is None:  # no output frame falls into it
            self._writer = self._workspace.create(self._index)
        else:
            for packet in self._encoder.flush():
                self._writer.write(packet)
        segment.index = self._index
        finished = self._writer.close(segment)
        self._index, self._encoder, self._writer = self._index + 1, None, None
        return finished

    def abandon(self) -> None:
        """Throw the unfinished segment away."""
        if self._writer is not None:
            self._writer.abandon()


class _PipeSink(_Sink):
    """Writes y4m frames as they come."""

    def __init__(self, job: Job, file: BinaryIO) -> None:
        super().__init__(job)
        self._file, self._encoder = file, Encoder(job.settings)

    def _write(self, output: Output) -> None:
        write_y4m(self._file, self._encoder.encode(self._picture(output.pixels), self._next_pts(output.time)))

    def _finish(self, segment: Segment) -> Segment:
        return segment


def _join(job: Job, workspace: Workspace, segments: Sequence[Segment], target: Path) -> list[str]:
    """Write the output beside its name and give it the name; what could not be copied, in sentences."""
    part = workspace.part("joined")
    pieces = [workspace.piece(segment) for segment in segments]
    notes: list[str] = []
    if job.container == "images":
        write_images(part, _all_packets(pieces))
    elif job.container == "y4m":
        with part.open("wb") as file:
            file.write(y4m_header(job.settings))
            write_y4m(file, _all_packets(pieces))
    else:
        copied = write_container(part, job.container, job.settings, pieces, job.source.info, job.path, job.span)
        notes = copied.notes
    if part.is_file():
        with part.open("rb+") as file:
            os.fsync(file.fileno())
    elif target.is_dir():
        target.rmdir()  # an empty folder that waits for the images
    os.replace(part, target)
    workspace.remove()
    return notes


def _all_packets(pieces: Iterable[EncodedSegment]) -> Iterator[Packet]:
    for piece in pieces:
        yield from piece.read()
