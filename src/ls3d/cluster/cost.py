"""What a batch costs: lower bounds on paper, and a simulation in which the scheduler itself gives the orders.

The bounds say what limits a batch; the simulation adds what they leave out: the start of the workers, the beginning of
each video, and the end, when there are fewer segments than workers. Nothing is measured here: all times are given.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ls3d.cluster.executors import Outcome
from ls3d.cluster.scheduler import Scheduler, active_videos
from ls3d.cluster.tasks import Resources, Task
from ls3d.cluster.works import PLANNED_AT_ONCE

Kind = Literal["prepare", "plan", "segment", "join"]


@dataclass(frozen=True)
class Videos:
    """What is to be done.

    Attributes:
        frames: source frames of each video.
        segment_frames: source frames in a segment.
        bytes_in: of a source frame, compressed.
        bytes_out: of the output for a source frame, compressed.
    """

    frames: Sequence[int]
    segment_frames: int = 128
    bytes_in: float = 0
    bytes_out: float = 0

    @classmethod
    def of_hours(cls, hours: float, videos: int, rate: float = 25, **others: Any) -> Videos:
        """Videos of equal length.

        Args:
            hours: duration of all videos together.
            videos: their number.
            rate: frames per second.
            others: further attributes.
        """
        return cls([round(hours * 3600 * rate / videos)] * videos, **others)

    def segments(self, frames: int) -> int:
        """Number of segments of a video."""
        return max(1, math.ceil(frames / self.segment_frames))


@dataclass(frozen=True)
class Machines:
    """Where it is done. Times are in seconds, for one worker that has a core, or a GPU, for itself.

    Attributes:
        workers: segments that are made at the same time.
        frame: to decode, process and encode a source frame.
        segment: that each segment takes besides its frames: finding its beginning, and ending its encoder.
        plan_frame: to plan a source frame.
        prepare: to open a video and to look up its networks.
        start: from the start of a worker to its first task.
        load: that the first segment of a worker takes longer, while it loads the network.
        join_byte: to join a byte of output.
        order: that the driver takes to give a task to a worker.
        bandwidth: of the storage, in bytes per second; None is no limit.
        cores: that can be busy at the same time; None is one for each worker.
        planners: tasks other than segments that run at the same time beside them; 0 if they share the workers.
        active: videos in work at a time; None as ``run_batch`` chooses.
    """

    workers: int
    frame: float
    segment: float = 0
    plan_frame: float = 0
    prepare: float = 0
    start: float = 0
    load: float = 0
    join_byte: float = 0
    order: float = 0
    bandwidth: float | None = None
    cores: int | None = None
    planners: int = 0
    active: int | None = None


def bounds(videos: Videos, machines: Machines) -> dict[str, float]:
    """Seconds that the batch takes at least, by what limits it.

    Returns:
        ``"workers"``: all work, evenly divided; ``"planning"``: of the longest video, whose segments are found one
        after the other; ``"storage"``: reading the sources (for the plan and for the segments) and writing segments
        and outputs, the former read again to be joined; ``"driver"``: giving out all tasks.
    """
    frames = sum(videos.frames)
    segments = sum(videos.segments(each) for each in videos.frames)
    plans = sum(math.ceil(videos.segments(each) / PLANNED_AT_ONCE) for each in videos.frames)
    made = frames * machines.frame + segments * machines.segment
    other = frames * machines.plan_frame + len(videos.frames) * machines.prepare
    other += frames * videos.bytes_out * machines.join_byte
    work = made if machines.planners else made + other
    parallel = min(machines.workers, machines.cores or machines.workers)
    longest = max(videos.frames)
    moved = frames * (2 * videos.bytes_in + 3 * videos.bytes_out)
    tail = machines.segment + min(longest, videos.segment_frames) * machines.frame
    return {
        "workers": work / parallel,
        "planning": machines.prepare + longest * machines.plan_frame + tail,
        "storage": moved / machines.bandwidth if machines.bandwidth else 0.0,
        "driver": machines.order * (segments + plans + 2 * len(videos.frames)),
    }


@dataclass(frozen=True)
class Estimate:
    """The simulated course of a batch.

    Attributes:
        seconds: from its start to its end.
        busy: share of the workers' time in which they make segments.
        tasks: number of tasks.
        limit: the largest of the bounds, by name.
        bounds: see ``bounds``.
    """

    seconds: float
    busy: float
    tasks: int
    limit: str
    bounds: dict[str, float]


def simulate(videos: Videos, machines: Machines) -> Estimate:
    """Simulate a batch in virtual time, with the real scheduler."""
    executor = _VirtualExecutor(machines)
    active = machines.active or active_videos(machines.workers)
    Scheduler(executor, active).run(_Video(frames, videos, machines) for frames in videos.frames)
    lowest = bounds(videos, machines)
    limit = max(lowest, key=lambda name: lowest[name])
    busy = executor.segment_seconds / (machines.workers * executor.now) if executor.now else 0.0
    return Estimate(executor.now, busy, executor.count, limit, lowest)


@dataclass(frozen=True)
class _VirtualTask:
    """A task that takes time and moves bytes."""

    kind: Kind
    seconds: float
    bytes_moved: float
    resources: Resources
    count: int = 0

    def run(self) -> int:
        return self.count


class _Video:
    """A video in the simulation: the same order of tasks as in ``EnhanceWork``."""

    name = "video"

    def __init__(self, frames: int, videos: Videos, machines: Machines) -> None:
        self._videos = videos
        self._machines = machines
        self._frames = frames
        self._left = videos.segments(frames)
        self._unfinished = self._left
        self._is_planning = False
        self._needs = Resources(1, 1 if machines.planners else 0)
        self.is_finished = False
        self.waiting: deque[Task] = deque([_VirtualTask("prepare", machines.prepare, 0, Resources())])

    def complete(self, task: Task, result: Any) -> None:
        """Add the tasks that follow."""
        assert isinstance(task, _VirtualTask)
        if task.kind == "join":
            self.is_finished = True
            return
        if task.kind == "plan":
            self._is_planning = False
            self._left -= task.count
            self.waiting.extend(self._segment() for _ in range(task.count))
        elif task.kind == "segment":
            self._unfinished -= 1
        if self._left and not self._is_planning and len(self.waiting) < PLANNED_AT_ONCE:
            self._is_planning = True
            self.waiting.appendleft(self._plan())
        elif not self._unfinished:
            size = self._frames * self._videos.bytes_out
            self.waiting.append(_VirtualTask("join", size * self._machines.join_byte, 2 * size, Resources()))

    def fail(self, error: Exception) -> None:
        """Never called: virtual tasks don't fail."""
        raise error

    @property
    def _mean_frames(self) -> float:
        return self._frames / self._videos.segments(self._frames)

    def _plan(self) -> _VirtualTask:
        count = min(PLANNED_AT_ONCE, self._left)
        frames = self._mean_frames * count
        seconds = frames * self._machines.plan_frame
        return _VirtualTask("plan", seconds, frames * self._videos.bytes_in, Resources(), count)

    def _segment(self) -> _VirtualTask:
        frames = self._mean_frames
        seconds = frames * self._machines.frame + self._machines.segment
        moved = frames * (self._videos.bytes_in + self._videos.bytes_out)
        return _VirtualTask("segment", seconds, moved, self._needs)


@dataclass
class _VirtualWorker:
    """A worker, and when it can begin."""

    is_for_segments: bool
    is_loaded: bool = False
    starts: float = 0.0


@dataclass
class _VirtualExecutor:
    """Runs virtual tasks. Busy workers share the cores evenly; transfers follow one another.

    ``_work`` is the work that each busy worker has done since the beginning, in seconds of a core of its own: a task
    ends when it has grown by the task's length.
    """

    machines: Machines
    now: float = 0.0
    count: int = 0
    segment_seconds: float = 0.0
    gpus: float = 0.0
    _work: float = 0.0
    _driver: float = 0.0
    _storage: float = 0.0
    _computing: list[tuple[float, int]] = field(default_factory=list)
    _moving: list[tuple[float, int]] = field(default_factory=list)
    _tasks: dict[int, tuple[_VirtualTask, _VirtualWorker, float]] = field(default_factory=dict)
    _idle: dict[bool, list[_VirtualWorker]] = field(default_factory=dict)  # by whether they make segments

    def __post_init__(self) -> None:
        counts = {True: self.machines.workers, False: self.machines.planners}
        for kind, count in counts.items():
            self._idle[kind] = [_VirtualWorker(kind, starts=self.machines.start) for _ in range(count)]

    @property
    def workers(self) -> int:
        """Number of tasks at a time."""
        return self.machines.workers

    def accepts(self, resources: Resources) -> bool:
        """Whether a worker for this is idle."""
        return bool(self._suitable(resources))

    def submit(self, number: int, task: Task) -> None:
        """Give a task to a worker, when the driver has time for it."""
        assert isinstance(task, _VirtualTask)
        worker = self._suitable(task.resources).pop()
        self._driver = max(self._driver, self.now) + self.machines.order
        delay = max(0.0, self._driver - self.now) + max(0.0, worker.starts - self.now)
        seconds = task.seconds + (0 if worker.is_loaded or task.kind != "segment" else self.machines.load)
        worker.is_loaded = worker.is_loaded or task.kind == "segment"
        self._tasks[number] = (task, worker, self.now)
        heapq.heappush(self._computing, (self._work + delay + seconds, number))
        self.count += 1

    def wait(self) -> Sequence[Outcome]:
        """Advance the time to the end of a task."""
        while True:
            rate = min(1.0, (self.machines.cores or math.inf) / max(1, len(self._computing)))
            computed = self.now + (self._computing[0][0] - self._work) / rate if self._computing else math.inf
            moved = self._moving[0][0] if self._moving else math.inf
            then = min(computed, moved)
            self._work += (then - self.now) * rate
            self.now = then
            if moved <= computed:
                return [self._end(heapq.heappop(self._moving)[1])]
            number = heapq.heappop(self._computing)[1]
            size = self._tasks[number][0].bytes_moved
            if self.machines.bandwidth:
                self._storage = max(self._storage, self._tasks[number][2]) + size / self.machines.bandwidth
            if self._storage <= self.now or not size:
                return [self._end(number)]
            heapq.heappush(self._moving, (self._storage, number))

    def close(self) -> None:
        """Do nothing."""

    def _suitable(self, resources: Resources) -> list[_VirtualWorker]:
        """The idle workers for a task."""
        return self._idle[self.machines.planners == 0 or resources.gpus > 0]

    def _end(self, number: int) -> Outcome:
        task, worker, begun = self._tasks.pop(number)
        self._idle[worker.is_for_segments].append(worker)
        if task.kind == "segment":
            self.segment_seconds += self.now - begun
        return Outcome(number, task.run())
