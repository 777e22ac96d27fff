"""Making segments: decoding, inference and encoding, each in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack

import torch

from ls3d.enhance._frame_tasks import FrameTask, Output, make_outputs
from ls3d.enhance._job import Job
from ls3d.enhance._plan import SegmentPlan
from ls3d.enhance._reader import SegmentReader
from ls3d.enhance._segments import FrameCounts, Segment
from ls3d.enhance._sinks import EndOfSegment, SegmentSink, Sink
from ls3d.enhance._threads import Worker, prefetch
from ls3d.enhance._windows import Window
from ls3d.inference import Enhancer

_DECODED_AHEAD = 4
_ENCODED_BEHIND = 8


def make_segment(job: Job, plan: SegmentPlan) -> Segment:
    """Make one segment and write it into the job's workspace, which must exist.

    Opens the source and loads the networks itself. The result depends on the two arguments and on nothing else, so
    segments can be made in any order and in any process; a segment that exists is replaced. Machines with different
    numbers of cores write the same bytes only if the number of encoder threads is given.

    Raises:
        InputError: source or weights have changed since the job was planned.
        OSError: a file can't be read or written.
    """
    (segment,) = SegmentMaker(job).make([plan])
    return segment


class SegmentMaker:
    """Makes segments of a job as ``make_segment`` does, but opens the source and loads the networks only once.

    Args:
        job: its source must be seekable, and its workspace exist.
        enhancers: the job's networks on their device, if they are loaded already.

    Raises:
        InputError: source or weights have changed since the job was planned.
    """

    def __init__(self, job: Job, enhancers: Sequence[Enhancer] | None = None) -> None:
        if job.source is None:
            raise ValueError("a job that reads a pipe can't be divided among processes")
        self._job = job
        self._workspace = job.workspace()
        self._reader = SegmentReader(job.source.open(), job.segmentation)
        self._task = job.frame_task(job.enhancers() if enhancers is None else enhancers)

    def make(self, plans: Iterable[SegmentPlan], step: Callable[[int], None] | None = None) -> list[Segment]:
        """Make segments one after the other, each while the end of the previous one is still being encoded.

        Args:
            plans: may be an iterator, which is consumed in another thread, a little ahead of the work.
            step: is called after every source frame with the number of its output frames.
        """
        sink = SegmentSink(self._job.settings, self._job.info.color, self._workspace)
        return process(self._reader.read_all(plans), self._task, sink, step)


def process(
    windows: Iterator[tuple[Window, SegmentPlan | None]],
    task: FrameTask,
    sink: Sink,
    step: Callable[[int], None] | None = None,
) -> list[Segment]:
    """Make the output frames of all windows.

    Args:
        windows: with the last window of every segment, its plan; consumed in a thread.
        task: what is done to them; runs in the calling thread.
        sink: gets the output frames, in another thread.
        step: is called after every window with the number of its output frames.

    Returns:
        The segments that were finished.
    """
    try:
        with ExitStack() as stack:
            ready = stack.enter_context(prefetch(windows, _DECODED_AHEAD, "ls3d-decode"))
            worker: Worker[Output | EndOfSegment] = stack.enter_context(
                Worker(sink.handle, _ENCODED_BEHIND, sink.patience)
            )
            stack.enter_context(torch.inference_mode())
            counts = FrameCounts()
            for window, plan in ready:
                made = 0
                for output in make_outputs(task, window):
                    worker.send(output)
                    made += 1
                    counts.held_frames += output.held
                counts.frames_in += 1 + window.frame.duplicates
                counts.duplicates += window.frame.duplicates
                counts.frames_out += made
                if step is not None:
                    step(made)
                    for _ in range(window.frame.duplicates):
                        step(0)
                if plan is not None:
                    worker.send(EndOfSegment(plan, counts))
                    counts = FrameCounts()
    except BaseException:
        sink.abandon()
        raise
    return sink.segments
