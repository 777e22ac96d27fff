"""Videos as sources of tasks: their state in the driver, which can be computed again from the workspace at any time."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ls3d.cluster.executors import reported
from ls3d.cluster.storage import Place, RemoteWorkspace
from ls3d.cluster.tasks import ClassifyTask, JoinTask, PlanTask, PrepareTask, Resources, SegmentTask, Task
from ls3d.enhance import EnhanceCall, EnhanceReport
from ls3d.enhance._job import Job
from ls3d.enhance._plan import SegmentPlan
from ls3d.enhance._segments import Segment
from ls3d.enhance._workspace import Workspace
from ls3d.enhance.engine import expected_frames, explained
from ls3d.errors import InputError

log = logging.getLogger(__name__)

#: Segments that are planned in one task, and planned segments that may wait. A task decodes one segment twice.
PLANNED_AT_ONCE = 16


class EnhanceWork:
    """A video that is enhanced.

    Args:
        call: what to do.
        place: where source and output are.
        resources: what making a segment needs; other tasks need one core.
        on_change: is called after every task.
    """

    def __init__(self, call: EnhanceCall, place: Place, resources: Resources, on_change: Callable[[], None]) -> None:
        self.name = place.source
        self.place = place
        self.call = call
        self.report: EnhanceReport | None = None
        self.error: Exception | None = None
        self.waiting: deque[Task] = deque([PrepareTask(call, place)])
        self.expected: int | None = None
        self._resources = resources
        self._on_change = on_change
        self._job: Job | None = None
        self._segments: dict[int, Segment] = {}
        self._resumed = 0
        self._last: SegmentPlan | None = None
        self._is_planning = False
        self._begun = time.monotonic()
        self._lock = contextlib.ExitStack()
        self._remote = RemoteWorkspace(place) if place.is_remote else None

    @property
    def is_finished(self) -> bool:
        """Whether it is done, or has failed."""
        return self.report is not None or self.error is not None

    @property
    def frames_in(self) -> int:
        """Source frames of the finished segments."""
        if self.report is not None:
            return self.report.frames_in
        return sum(segment.counts.frames_in for segment in self._segments.values())

    @property
    def frames_out(self) -> int:
        """Output frames of the finished segments."""
        if self.report is not None:
            return self.report.frames_out
        return sum(segment.counts.frames_out for segment in self._segments.values())

    def complete(self, task: Task, result: Any) -> None:
        """Take the result of a task."""
        try:
            self._advance(task, result)
        except Exception as error:  # the packages for URLs have errors of their own
            self.fail(reported(error))
        else:
            self._on_change()

    def _advance(self, task: Task, result: Any) -> None:
        if isinstance(task, PrepareTask):
            self._enter(result)
        elif isinstance(task, PlanTask):
            self._add_plans(result)
        elif isinstance(task, SegmentTask):
            self._segments[result.plan.index] = result
        else:
            self._finish(result)
        if not self.is_finished:
            self._plan_or_join()

    def fail(self, error: Exception) -> None:
        """Give up; what is finished is kept."""
        self.error = error
        self.waiting.clear()
        self._lock.close()
        self._on_change()

    def close(self) -> None:
        """Release the lock."""
        self._lock.close()

    def _enter(self, job: Job) -> None:
        """Find out what is finished, from the workspace."""
        self._job = job = replace(job, target=self.place.local_target())
        self.expected = expected_frames(job)
        workspace = job.workspace()
        options = self.call.options
        if self._remote is None:
            self._lock.enter_context(workspace.locked())
            finished = workspace.finished_report(job.signature()) if options.resume else None
        else:
            finished = self._remote.finished(job.signature()) if options.resume else None
        if finished is not None:
            self._delete(workspace)
            self._finish(replace(finished, finished_before=True))
            return
        with explained(self.place.target, job.settings):
            if self._remote is None:
                workspace.check_target(options.replaces_output)
                workspace.prepare(job.signature(), options.resume)
            else:
                self._enter_remote(self._remote, workspace, job)
        self._take_known(workspace)

    def _enter_remote(self, remote: RemoteWorkspace, workspace: Workspace, job: Job) -> None:
        remote.check_target(job.signature(), self.call.options.replaces_output)
        remote.pull(workspace)
        is_same = workspace.is_of(job.signature())
        workspace.prepare(job.signature(), self.call.options.resume)
        if not is_same or not self.call.options.resume:
            remote.empty()
            remote.push(workspace, "job.json")

    def _take_known(self, workspace: Workspace) -> None:
        """Take over plans and segments of earlier runs."""
        known = workspace.plans()
        for plan in known:
            segment = workspace.finished(plan) if self._remote is None else workspace.described_segment(plan)
            if segment is not None:
                self._segments[plan.index] = segment
        self._resumed = len(self._segments)
        self._add_segment_tasks(known)

    def _add_plans(self, plans: list[SegmentPlan]) -> None:
        self._is_planning = False
        assert self._job is not None
        if not plans:
            raise InputError(f"{self.name} ends earlier than when it was planned; start the job over")
        workspace = self._job.workspace()
        for plan in plans:
            workspace.save_plan(plan)
            if self._remote is not None:
                self._remote.push(workspace, f"{plan.index:06d}.plan.json")
        self._add_segment_tasks(plans)

    def _add_segment_tasks(self, plans: list[SegmentPlan]) -> None:
        assert self._job is not None
        for plan in plans:
            if plan.index not in self._segments:
                self.waiting.append(SegmentTask(self._job, self.place, plan, self._resources))
            self._last = plan

    def _plan_or_join(self) -> None:
        assert self._job is not None
        if self._last is None or not self._last.is_last:
            if not self._is_planning and len(self.waiting) < PLANNED_AT_ONCE:
                self._is_planning = True
                self.waiting.appendleft(PlanTask(self._job, self.place, self._last, PLANNED_AT_ONCE))
        elif len(self._segments) == self._last.index + 1:
            segments = tuple(self._segments[index] for index in range(len(self._segments)))
            seconds = time.monotonic() - self._begun
            overwrite = self.call.options.replaces_output
            self.waiting.append(JoinTask(self._job, self.place, segments, overwrite, seconds, self._resumed))

    def _finish(self, report: EnhanceReport) -> None:
        self.report = replace(report, target=self.place.target)
        assert self._job is not None
        if self._remote is None and not report.finished_before:
            self._job.workspace().remember(self._job.signature(), report)
        self._lock.close()

    def _delete(self, workspace: Workspace) -> None:
        if self._remote is None:
            workspace.delete()
        else:
            self._remote.delete()


class ClassifyWork:
    """A video that is classified: one task.

    Args:
        task: what to do.
        on_change: is called after the task.
    """

    def __init__(self, task: ClassifyTask, on_change: Callable[[], None]) -> None:
        self.name = task.place.source
        self.place = task.place
        self.waiting: deque[Task] = deque([task])
        self.windows: int | None = None
        self.finished_before = False
        self.error: Exception | None = None
        self._on_change = on_change

    @property
    def is_finished(self) -> bool:
        """Whether it is done, or has failed."""
        return self.windows is not None or self.finished_before or self.error is not None

    def is_done_before(self) -> bool:
        """Find out whether the output exists; it was written by an earlier run then."""
        self.finished_before = self.place.target_exists()
        return self.finished_before

    def complete(self, task: Task, result: Any) -> None:
        """Take the number of windows."""
        self.windows = result
        self._on_change()

    def fail(self, error: Exception) -> None:
        """Give up."""
        self.error = error
        self.waiting.clear()
        self._on_change()
