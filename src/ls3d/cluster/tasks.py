"""Tasks: what a worker does, described by data, so that any worker can do it again if one is lost.

A video is prepared (opened, its networks looked up), planned a few segments at a time, made segment by segment, and
joined. Nothing is communicated between tasks but their arguments and results.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from ls3d.cluster.storage import Place, RemoteWorkspace, upload
from ls3d.enhance import EnhanceCall, EnhanceReport
from ls3d.enhance._arguments import UnusableModelError
from ls3d.enhance._job import Job
from ls3d.enhance._plan import SegmentPlan, plan_segments
from ls3d.enhance._segments import Segment
from ls3d.enhance.engine import SegmentMaker, explained, find_notes, join
from ls3d.errors import InputError
from ls3d.inference import Classifier, Enhancer
from ls3d.models import load_recognition_model
from ls3d.recognition import classify_video, save_json

T = TypeVar("T")


@dataclass(frozen=True)
class Resources:
    """What a task needs while it runs.

    Attributes:
        cpus: processor cores.
        gpus: GPUs; may be a fraction, if several tasks share one.
        memory: bytes of main memory; None if unknown.
    """

    cpus: float = 1
    gpus: float = 0
    memory: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("cpus", self.cpus), ("gpus", self.gpus)):
            if not 0 <= value < math.inf:
                raise InputError(f"{value:g}: expected a finite number, 0 or more", argument=name)


class Task(Protocol):
    """Something that a worker does."""

    @property
    def resources(self) -> Resources:
        """What it needs."""
        ...

    def run(self) -> Any:
        """Do it; may be called again after it has failed anywhere."""
        ...


@dataclass(frozen=True)
class PrepareTask:
    """Opens a video and looks up the networks of its call.

    Attributes:
        call: what to do; its source and target are those of ``place``.
        place: where they are.
        resources: see ``Task``.
    """

    call: EnhanceCall
    place: Place
    resources: Resources = Resources()

    def run(self) -> Job:
        """The job. Its networks run on the device of the call, which this worker need not have."""
        options = self.call.options
        device = options.device if options.max_memory is not None else "cpu"
        call = replace(
            self.call,
            source=self.place.local_source(),
            target=self.place.local_target(),
            options=replace(options, device=device),
        )
        return replace(call.prepare().job, device=options.device)


@dataclass(frozen=True)
class PlanTask:
    """Plans the next segments of a video.

    Attributes:
        job: of the video.
        place: where its files are.
        last: the plan that was made last; None at the beginning.
        count: number of plans to make at most.
        resources: see ``Task``.
    """

    job: Job
    place: Place
    last: SegmentPlan | None
    count: int
    resources: Resources = Resources()

    def run(self) -> list[SegmentPlan]:
        """The next plans, in order."""
        job = self.place.localize(self.job)
        assert job.source is not None
        plans = plan_segments(job.source.open(), job.segmentation, self.last)
        return list(islice(plans, 0 if self.last is None else 1, self.count + (self.last is not None)))


@dataclass(frozen=True)
class SegmentTask:
    """Makes a segment, and writes it into the workspace.

    Attributes:
        job: of the video.
        place: where its files are.
        plan: of the segment.
        resources: see ``Task``.
    """

    job: Job
    place: Place
    plan: SegmentPlan
    resources: Resources = Resources()

    def run(self) -> Segment:
        """The finished segment."""
        job = self.place.localize(self.job)
        with explained(self.place.target, job.settings):
            if self.place.is_remote:
                job.workspace().folder.mkdir(parents=True, exist_ok=True)
            try:
                (segment,) = _maker(job).make([self.plan])
            except BaseException:
                _makers.clear()  # a reader that has failed can't be used again
                raise
            if self.place.is_remote:
                RemoteWorkspace(self.place).push_segment(job.workspace(), segment.plan.index)
        return segment


@dataclass(frozen=True)
class JoinTask:
    """Joins the segments of a video into its output.

    Attributes:
        job: of the video.
        place: where its files are.
        segments: all of them.
        overwrite: whether to replace an output that exists.
        seconds: duration of the work so far.
        resumed: number of segments that an earlier run finished.
        resources: see ``Task``.
    """

    job: Job
    place: Place
    segments: tuple[Segment, ...]
    overwrite: bool
    seconds: float
    resumed: int
    resources: Resources = Resources()

    def run(self) -> EnhanceReport:
        """The report of the job. A worker that was lost may have joined the segments already."""
        job = self.place.localize(self.job)
        workspace = job.workspace()
        remote = RemoteWorkspace(self.place) if self.place.is_remote else None
        finished = workspace.finished_report(job.signature()) if remote is None else remote.finished(job.signature())
        if finished is not None:
            (workspace if remote is None else remote).delete()
            return finished
        if remote is not None:
            remote.pull_segments(workspace, self.segments)
        report = EnhanceReport.of(self.place.target, self.segments, self.seconds)
        report.resumed = self.resumed
        with explained(self.place.target, job.settings):
            report.notes = find_notes(job)
            join(job, self.segments, report, self.overwrite or remote is not None)
            if remote is not None:
                remote.deliver(workspace.target, job.signature(), report, self.overwrite)
        return report


@dataclass(frozen=True)
class ClassifyTask:
    """Classifies a video, and writes its time line as JSON.

    Attributes:
        place: where video and output are.
        model: a recognition network: its name, or its weights file.
        stride: seconds from one window to the next; None is half a clip.
        device: that runs the network.
        resources: see ``Task``.
    """

    place: Place
    model: str
    stride: float | None
    device: str
    resources: Resources = Resources()

    def run(self) -> int:
        """The number of windows."""
        classifier = _classifiers.get((self.model, self.device), lambda: _load_classifier(self.model, self.device))
        time_line = classify_video(classifier, self.place.local_source(), stride=self.stride)
        target = self.place.local_target()
        save_json([time_line], target)
        if self.place.is_remote:
            upload(target, self.place.target)
        return len(time_line.windows)


def _load_classifier(model: str, device: str) -> Classifier:
    try:
        network = load_recognition_model(model)
    except InputError as error:
        raise UnusableModelError(error.message, argument=error.argument) from error
    except FileNotFoundError as error:
        raise UnusableModelError(str(error)) from error
    return Classifier(network, device)


class _Recent(Generic[T]):
    """The things that were used last, by key.

    Args:
        size: their number.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._things: dict[Any, T] = {}

    def get(self, key: Any, make: Callable[[], T]) -> T:
        """The thing with this key, made if it is not there."""
        thing = self._things.pop(key) if key in self._things else make()
        self._things[key] = thing
        while len(self._things) > self._size:
            del self._things[next(iter(self._things))]
        return thing

    def clear(self) -> None:
        """Forget all."""
        self._things.clear()


#: What a worker keeps from one task to the next: a worker that alternates between videos loads their networks once.
#: A maker keeps its networks, so only a new one asks for them.
_makers = _Recent[SegmentMaker](4)
_networks = _Recent[Sequence[Enhancer]](1)
_classifiers = _Recent[Classifier](1)


def _maker(job: Job) -> SegmentMaker:
    networks = json.dumps([*(step.conditions() for step in job.steps), job.device, job.precision])
    key = json.dumps([job.signature(), str(job.target)])
    return _makers.get(key, lambda: SegmentMaker(job, _networks.get(networks, job.enhancers)))
