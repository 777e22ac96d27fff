"""Shards: several processes make parts of a job's segments in one workspace, without a coordinator.

Shard ``i/n`` makes the segments whose index is i modulo n. All shards use the plans that were written first, so they
may run in any order and at the same time, and each skips what is finished. ``join_shards`` joins the segments.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ls3d.enhance._plan import SegmentPlan, plan_segments
from ls3d.enhance._progress import ProgressMeter
from ls3d.enhance._segments import Segment
from ls3d.enhance._setup import PreparedJob
from ls3d.enhance._threads import prefetch
from ls3d.enhance._workspace import Workspace
from ls3d.enhance.calls import EnhanceCall
from ls3d.enhance.engine import PLANNED_AHEAD, SegmentMaker, expected_frames, explained, find_notes, join
from ls3d.enhance.report import EnhanceReport
from ls3d.errors import InputError
from ls3d.progress import ProgressCallback

log = logging.getLogger(__name__)

_SHOWN = 8  # missing segments that an error names


def make_shard(
    prepared: PreparedJob, call: dict[str, Any], shard: str, progress: ProgressCallback | None = None
) -> EnhanceReport:
    """Make the segments of one shard that are not finished yet.

    Args:
        prepared: the job.
        call: the arguments of the call, from ``EnhanceCall.to_dict``; the first shard writes them into the workspace.
        shard: such as ``"0/3"``.
        progress: is called after every source frame.

    Returns:
        The report of the shard's segments, those that had been finished before included.

    Raises:
        OutputExistsError: the target exists and is not to be overwritten.
        InputError: the workspace holds another job, or a process that makes all segments is working on it.
        OSError: a file can't be read or written; finished segments are kept.
    """
    job = prepared.job
    index, count = map(int, shard.split("/"))
    workspace = job.workspace()
    finished_job = workspace.finished_report(job.signature())
    if finished_job is not None:
        return replace(finished_job, finished_before=True)
    workspace.check_target(prepared.overwrite)
    with explained(workspace.target, job.settings), workspace.shared(job.signature(), call):
        log.info("%s; shard %s", job.describe(), shard)
        notes = find_notes(job)
        for note in notes:
            log.warning("%s", note)
        plans: list[SegmentPlan] = []
        finished: list[Segment] = []
        known = workspace.plans()
        for plan in known:
            segment = workspace.finished(plan) if plan.index % count == index else None
            if segment is not None:
                finished.append(segment)
        indices = {segment.plan.index for segment in finished}

        def wanted() -> Iterator[SegmentPlan]:
            for plan in _plan_together(prepared, known):
                plans.append(plan)
                if plan.index % count == index and plan.index not in indices:
                    yield plan

        frames = expected_frames(job)
        total = None if frames is None else max(frames // count, sum(each.counts.frames_in for each in finished))
        meter = ProgressMeter(total, progress, finished, job.segmentation.max_frames)
        with prefetch(wanted(), PLANNED_AHEAD, "ls3d-plan") as planned:
            made = SegmentMaker(job, prepared.enhancers).make(planned, meter.step)
        report = EnhanceReport.of(str(job.target), [*finished, *made], meter.seconds())
        report.resumed = len(finished)
        report.notes = notes
        report.shard = shard
        report.missing = len({plan.index for plan in plans} - workspace.described())
        return report


def _plan_together(prepared: PreparedJob, known: Sequence[SegmentPlan]) -> Iterator[SegmentPlan]:
    """All plans of a job, in order; other processes may plan it at the same time.

    The first plan of a segment that is written counts. It is the same in all processes, unless the source is damaged
    and was decoded differently; then planning restarts after it.
    """
    yield from known
    last = known[-1] if known else None
    workspace = prepared.job.workspace()
    while last is None or not last.is_last:
        for plan in plan_segments(prepared.source, prepared.job.segmentation, last):
            if last is not None and plan.index <= last.index:
                continue
            last = workspace.add_plan(plan)
            yield last
            if last != plan:
                break


def join_shards(target: str | os.PathLike[str], overwrite: bool = False) -> EnhanceReport:
    """Join the segments that the shards of a job have made into its output.

    Args:
        target: the output.
        overwrite: whether to replace a target that exists.

    Raises:
        OutputExistsError: the target exists and is not to be overwritten.
        InputError: there is no such job, a segment is missing, a shard is at work, or source or weights have changed.
        OSError: a file can't be read or written.
    """
    workspace = Workspace(Path(target))
    record = workspace.call()
    if record is None:
        delivery = workspace.delivered()
        if delivery is None:
            raise InputError(f"{workspace.target}: no shards of it are in {workspace.folder}")
        return replace(delivery.report, finished_before=True)
    call = EnhanceCall.from_dict(record, target)
    if call.options.max_memory is None:  # otherwise, the size of tiles is found on the device
        call = replace(call, options=replace(call.options, device="cpu"))
    call = replace(call, options=replace(call.options, overwrite=overwrite))
    job = call.prepare().job
    with explained(workspace.target, job.settings), workspace.locked():
        finished = workspace.finished_report(job.signature())
        if finished is not None:
            workspace.delete()
            return replace(finished, finished_before=True)
        workspace.check_target(overwrite)
        if not workspace.is_of(job.signature()):
            raise InputError(f"{workspace.target}: source or weights have changed since the shards were made")
        return join(job, _all_segments(workspace), overwrite=overwrite)


def _all_segments(workspace: Workspace) -> list[Segment]:
    """The finished segments of a job.

    Raises:
        InputError: one is missing.
    """
    plans = workspace.plans()
    if not plans or not plans[-1].is_last:
        raise InputError(f"{workspace.target}: not all segments are planned; run a shard to its end first")
    segments = {plan.index: workspace.finished(plan) for plan in plans}
    missing = [str(index) for index, segment in segments.items() if segment is None]
    if missing:
        names = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        raise InputError(f"{workspace.target}: {len(missing)} of {len(plans)} segments are not finished: {names}")
    return [segment for segment in segments.values() if segment is not None]
