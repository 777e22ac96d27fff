"""Tasks: what a worker keeps from one to the next, and the errors of encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.videos import Clip

from ls3d.cluster import tasks
from ls3d.cluster.executors import Failure, perform
from ls3d.cluster.storage import Place
from ls3d.cluster.tasks import JoinTask, PlanTask, PrepareTask, Resources, SegmentTask
from ls3d.enhance import EnhanceCall, EnhanceOptions
from ls3d.enhance._job import Job
from ls3d.enhance.engine import SegmentMaker
from ls3d.errors import InputError
from ls3d.video import FFmpegError


@pytest.fixture(autouse=True)
def empty() -> None:
    """What the worker, which is this process, has kept from other tests is forgotten."""
    tasks._makers.clear()
    tasks._networks.clear()


def segment_tasks(folder: Path, name: str, model: str) -> list[SegmentTask]:
    """Two segments, ready to be made."""
    source = Clip(4, (16, 16)).write(folder / f"{name}.mkv")
    target = folder / f"{name}_out.mkv"
    options = EnhanceOptions(threads=1, segment_frames=2)
    place = Place(str(source), str(target))
    job = PrepareTask(EnhanceCall("interpolate", source, target, {"model": model}, options), place).run()
    job.workspace().prepare(job.signature())
    return [SegmentTask(job, place, plan) for plan in PlanTask(job, place, None, 2).run()]


def test_a_worker_that_alternates_between_videos_loads_their_networks_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    enhancers = Job.enhancers

    def counted(job: Job) -> Any:
        loaded.extend(step.network.name for step in job.steps)
        return enhancers(job)

    first = segment_tasks(tmp_path, "a", "blend")
    second = segment_tasks(tmp_path, "b", "bilateral")
    monkeypatch.setattr(Job, "enhancers", counted)
    for pair in zip(first, second, strict=True):
        for task in pair:
            task.run()
    assert sorted(loaded) == ["bilateral", "blend"]


def failing(*_: Any, **__: Any) -> Any:
    raise FFmpegError(22, "Invalid argument")


def test_errors_of_the_encoder_are_not_bugs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *_ = segment_tasks(tmp_path, "a", "blend")
    monkeypatch.setattr(SegmentMaker, "make", failing)
    monkeypatch.setattr(tasks, "join", failing)
    for task in (first, JoinTask(first.job, first.place, (), False, 0.0, 0)):
        failure = perform(task)
        assert isinstance(failure, Failure)
        assert isinstance(failure.cause, InputError)
        assert failure.message == f"{first.place.target} can't be written with h264 (Invalid argument)"


@pytest.mark.parametrize("number", [-1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["cpus", "gpus"])
def test_resources_that_can_not_be_had(name: str, number: float) -> None:
    wrong: dict[str, Any] = {name: number}
    with pytest.raises(InputError, match=f"{name} {number:g}: expected a finite number, 0 or more"):
        Resources(**wrong)
