"""The engine: the segments of a job are planned, made and joined.

``run`` makes them one after the other in this process. Several processes can share the work: ``plan_job`` yields plans
in one of them, each is passed with the job to ``make_segment`` in any of them, and ``join`` joins what that returns.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from ls3d.enhance._job import Job
from ls3d.enhance._plan import SegmentPlan, plan_segments, scan_segments
from ls3d.enhance._progress import ProgressMeter
from ls3d.enhance._segment_maker import SegmentMaker, make_segment, process
from ls3d.enhance._segments import Segment
from ls3d.enhance._sinks import PipeSink, SegmentSink
from ls3d.enhance._threads import prefetch
from ls3d.enhance.report import EnhanceReport
from ls3d.errors import InputError
from ls3d.inference import Enhancer
from ls3d.progress import ProgressCallback
from ls3d.video import (
    EncodedSegment,
    EncoderSettings,
    FFmpegError,
    Packet,
    Source,
    container_notes,
    write_container,
    write_images,
    write_y4m,
    y4m_header,
)
from ls3d.video.encoder_trial import try_encoder
from ls3d.video.mux import plain_notes
from ls3d.video.settings import pixel_notes
from ls3d.video.y4m import write_all

__all__ = ["SegmentMaker", "expected_frames", "join", "make_segment", "plan_job", "run", "run_to_pipe"]

log = logging.getLogger(__name__)

#: Plans that may wait for their turn.
PLANNED_AHEAD = 2


def run(
    job: Job,
    source: Source,
    enhancers: Sequence[Enhancer] | None = None,
    resume: bool = True,
    progress: ProgressCallback | None = None,
    overwrite: bool = False,
) -> EnhanceReport:
    """Do a job, or the rest of it. The target appears when it is complete.

    Args:
        job: what to do.
        source: the job's source, opened.
        enhancers: the job's networks on their device, if they are loaded already.
        resume: continue an unfinished job with the same signature; False starts over.
        progress: is called after every source frame.
        overwrite: whether to replace a target that exists. A job that is finished already is not done again, unless
            ``resume`` is false.

    Raises:
        OutputExistsError: the target exists and is not to be overwritten.
        InputError: no frame can be decoded, the source has changed, the format can't hold this, or another process
            works on the same target.
        OSError: a file can't be read or written; finished segments are kept.
    """
    workspace = job.workspace()
    with explained(workspace.target, job.settings), workspace.locked():
        finished = workspace.finished_report(job.signature()) if resume and job.source is not None else None
        if finished is not None:
            workspace.delete()
            return replace(finished, finished_before=True)
        workspace.check_target(overwrite)
        return _make_and_join(job, source, enhancers, resume, progress, overwrite)


def _make_and_join(
    job: Job,
    source: Source,
    enhancers: Sequence[Enhancer] | None,
    resume: bool,
    progress: ProgressCallback | None,
    overwrite: bool,
) -> EnhanceReport:
    workspace = job.workspace()
    log.info("%s", job.describe())
    notes = find_notes(job)
    for note in notes:
        log.warning("%s", note)
    if job.source is None and resume and workspace.exists():
        log.warning("%s is made from a pipe, so its unfinished job can't be resumed; starting over", job.target)
        resume = False
    workspace.prepare(job.signature(), resume)
    known = workspace.plans()
    finished = [segment for plan in known if (segment := workspace.finished(plan)) is not None]
    meter = ProgressMeter(expected_frames(job), progress, finished, job.segmentation.max_frames)
    enhancers = job.enhancers() if enhancers is None else enhancers
    if job.source is None:
        sink = SegmentSink(job.settings, job.info.color, workspace)
        made = process(scan_segments(source, job.segmentation), job.frame_task(enhancers), sink, meter.step)
    else:
        indices = {segment.plan.index for segment in finished}
        plans = (plan for plan in plan_job(job, source, known) if plan.index not in indices)
        with prefetch(plans, PLANNED_AHEAD, "ls3d-plan") as planned:
            made = SegmentMaker(job, enhancers).make(planned, meter.step)
    meter.show("joining")
    report = EnhanceReport.of(str(job.target), [*finished, *made], meter.seconds())
    report.resumed = len(finished)
    report.notes = notes
    join(job, [*finished, *made], report, overwrite)
    return report


def run_to_pipe(
    job: Job,
    source: Source,
    file: BinaryIO,
    enhancers: Sequence[Enhancer] | None = None,
    progress: ProgressCallback | None = None,
) -> EnhanceReport:
    """Do a job whose output is a y4m stream. Nothing is kept, so it can't be resumed.

    Args:
        job: what to do.
        source: the job's source, opened.
        file: the pipe.
        enhancers: the job's networks on their device, if they are loaded already.
        progress: is called after every source frame.
    """
    log.info("%s", job.describe())
    notes = find_notes(job)
    for note in notes:
        log.warning("%s", note)
    write_all(file, y4m_header(job.settings))
    meter = ProgressMeter(expected_frames(job), progress, segment_frames=job.segmentation.max_frames)
    sink = PipeSink(job.settings, job.info.color, file)
    task = job.frame_task(job.enhancers() if enhancers is None else enhancers)
    segments = process(scan_segments(source, job.segmentation), task, sink, meter.step)
    file.flush()
    report = EnhanceReport.of("standard output", segments, meter.seconds())
    report.segments = 0
    report.notes = notes
    return report


def plan_job(job: Job, source: Source, known: Sequence[SegmentPlan] = ()) -> Iterator[SegmentPlan]:
    """All plans of a job, in order; new ones are saved in its workspace.

    Args:
        job: its workspace must exist.
        source: the job's source, opened; is read from the last known segment on.
        known: the first plans, from the workspace.
    """
    workspace = job.workspace()
    yield from known
    if known and known[-1].is_last:
        return
    last = known[-1] if known else None
    for plan in plan_segments(source, job.segmentation, last):
        if last is None or plan.index > last.index:
            workspace.save_plan(plan)
            yield plan


def join(
    job: Job, segments: Iterable[Segment], report: EnhanceReport | None = None, overwrite: bool = True
) -> EnhanceReport:
    """Join the finished segments of a job into its target, and delete the workspace.

    Args:
        job: what was done.
        segments: all segments, in any order.
        report: of the job, if it is known better than from the segments.
        overwrite: whether to replace a target that exists.

    Returns:
        The report; its notes say what the output format can't hold as it is.

    Raises:
        OutputExistsError: the target exists and is not to be overwritten.
        ValueError: a segment is missing.
    """
    workspace = job.workspace()
    ordered = sorted(segments, key=lambda segment: segment.plan.index)
    if [segment.plan.index for segment in ordered] != list(range(len(ordered))) or not ordered[-1].plan.is_last:
        raise ValueError(f"{job.target}: not all segments are finished")
    if report is None:
        report = EnhanceReport.of(str(job.target), ordered, seconds=0)
        report.notes = find_notes(job)
    temporary = workspace.temporary("joined")
    encoded = [workspace.encoded(segment) for segment in ordered]
    _write(job, encoded, temporary)
    workspace.deliver(temporary, job.signature(), report, overwrite)
    return report


def find_notes(job: Job) -> list[str]:
    """Sentences on what the output can't hold as it is, found out before the work."""
    container, info = job.container, job.info
    if container in ("images", "y4m"):
        if job.settings.requested:
            try_encoder(job.settings)
        return [*plain_notes(container, info), *pixel_notes(info, job.settings)]
    notes = container_notes(container, job.settings, info, _other_streams(job), job.segmentation.span)
    if job.source is None:
        others = [each for each in info.streams if each.index != info.index]
        notes += [f"{each.title} left out: only the video of {info.name} is read" for each in others]
    return notes


def _other_streams(job: Job) -> Path | None:
    """The file whose other streams are copied."""
    return job.source.path if job.source is not None and job.source.path.is_file() else None


def _write(job: Job, encoded: Sequence[EncodedSegment], path: Path) -> None:
    if job.container == "images":
        write_images(path, _packets(encoded))
    elif job.container == "y4m":
        with path.open("wb") as file:
            file.write(y4m_header(job.settings))
            write_y4m(file, _packets(encoded))
    else:
        span = job.segmentation.span
        write_container(path, job.container, job.settings, encoded, job.info, _other_streams(job), span)


def _packets(encoded: Iterable[EncodedSegment]) -> Iterator[Packet]:
    for segment in encoded:
        yield from segment.read()


def expected_frames(job: Job) -> int | None:
    """Number of source frames that a job will process, as far as the source states it."""
    info = job.info
    span = job.segmentation.span
    if span.start == 0 and span.end is None:
        return info.frames
    if info.duration is None:
        return None
    end = info.duration if span.end is None else min(span.end, info.duration)
    return max(0, round((end - span.start) * info.rate))


@contextmanager
def explained(target: Path | str, settings: EncoderSettings) -> Iterator[None]:
    """Name the output in errors of the system and of FFmpeg."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"{target}: {reason}; finished segments are kept, run the same command again to resume"
        raise OSError(message) from error
    except FFmpegError as error:
        raise InputError(f"{target} can't be written with {settings.codec} ({error.strerror})") from error
