"""The scheduler: fair order, lost workers, and a job of forty segments under random deaths of workers."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from helpers.marks import slow_except
from helpers.simulated import SimulatedExecutor
from helpers.videos import Clip

from ls3d.cluster import run_batch
from ls3d.cluster.executors import Outcome
from ls3d.cluster.scheduler import Scheduler
from ls3d.cluster.tasks import Resources, SegmentTask, Task
from ls3d.enhance import EnhanceCall, EnhanceOptions
from ls3d.errors import InputError

OPTIONS = EnhanceOptions(threads=1, segment_frames=1)


@dataclass(frozen=True)
class Step:
    """A task that returns its number, or raises an error."""

    video: str
    number: int
    error: Exception | None = None
    resources: Resources = field(default_factory=Resources)

    def run(self) -> int:
        if self.error is not None:
            raise self.error
        return self.number


class Steps:
    """A video of several steps that don't depend on each other."""

    def __init__(self, name: str, count: int, errors: dict[int, Exception] | None = None) -> None:
        self.name = name
        self.waiting: deque[Task] = deque(Step(name, number, (errors or {}).get(number)) for number in range(count))
        self.results: list[int] = []
        self.error: Exception | None = None
        self._count = count

    @property
    def is_finished(self) -> bool:
        return self.error is not None or len(self.results) == self._count

    def complete(self, task: Task, result: Any) -> None:
        self.results.append(result)

    def fail(self, error: Exception) -> None:
        self.error = error
        self.waiting.clear()


def test_a_short_video_does_not_wait_for_a_long_one() -> None:
    executor = SimulatedExecutor(workers=2)
    long, short = Steps("long", 40), Steps("short", 4)
    Scheduler(executor).run([long, short])
    order = [task.video for task in executor.started if isinstance(task, Step)]
    assert Counter(order[:8]) == {"long": 4, "short": 4}
    assert sorted(long.results) == list(range(40))


def test_all_videos_get_the_same_number_of_workers() -> None:
    executor = SimulatedExecutor(workers=6)
    videos = [Steps(name, 30) for name in "abc"]
    Scheduler(executor).run(videos)
    order = [task.video for task in executor.started if isinstance(task, Step)]
    for begin in range(0, 60, 6):
        counts = Counter(order[: begin + 6])
        assert max(counts.values()) - min(counts.values()) <= 6


def test_only_some_videos_are_in_work() -> None:
    executor = SimulatedExecutor(workers=4)
    begun: list[str] = []
    unfinished: list[int] = []
    videos = [Steps(str(number), 3) for number in range(20)]

    def begin() -> Any:
        for video in videos:
            unfinished.append(sum(not videos[int(name)].is_finished for name in begun))
            begun.append(video.name)
            yield video

    Scheduler(executor, active=5).run(begin())
    assert max(unfinished) == 4
    assert all(video.is_finished for video in videos)


@pytest.mark.parametrize("seed", range(5))
def test_tasks_of_lost_workers_run_again(seed: int) -> None:
    executor = SimulatedExecutor(workers=3, seed=seed, deaths=0.3)
    videos = [Steps(name, 20) for name in "abc"]
    Scheduler(executor, attempts=50).run(videos)
    assert executor.lost > 5
    for video in videos:
        assert sorted(video.results) == list(range(20))


def test_a_task_that_kills_its_workers_fails_its_video(caplog: pytest.LogCaptureFixture) -> None:
    class Deadly(SimulatedExecutor):
        def wait(self) -> list[Outcome]:
            number = min(self._running)
            task = self._running.pop(number)
            assert isinstance(task, Step)
            if task.video == "bad" and task.number == 2:
                return [Outcome(number, lost="out of memory")]
            return [Outcome(number, task.number)]

    bad, good = Steps("bad", 5), Steps("good", 5)
    Scheduler(Deadly()).run([bad, good])
    assert isinstance(bad.error, OSError)
    assert str(bad.error) == "bad: 4 workers were lost: out of memory"
    assert sorted(good.results) == list(range(5))
    assert caplog.text.count("bad: a task runs again") == 3


def test_errors_of_input_are_final_and_those_of_the_system_are_not() -> None:
    executor = SimulatedExecutor()
    wrong = Steps("wrong", 3, {1: InputError("3: expected 2", argument="factor")})
    broken = Steps("broken", 3, {1: OSError("disk full")})
    bug = Steps("bug", 1, {0: ZeroDivisionError("division by zero")})
    fine = Steps("fine", 10)
    Scheduler(executor).run([wrong, broken, bug, fine])
    assert isinstance(wrong.error, InputError)
    assert (wrong.error.message, wrong.error.argument) == ("3: expected 2", "factor")
    assert str(broken.error) == "disk full"
    assert isinstance(bug.error, RuntimeError)
    assert "Traceback" in str(bug.error)
    assert len(fine.results) == 10
    tried = Counter((task.video, task.number) for task in executor.started if isinstance(task, Step))
    assert (tried["wrong", 1], tried["broken", 1]) == (1, 4)


@pytest.mark.parametrize("kind", [FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError])
def test_errors_of_the_system_that_would_occur_again_are_final(kind: type[OSError]) -> None:
    executor = SimulatedExecutor()
    video = Steps("video", 1, {0: kind(1, "no", "in.mp4")})
    Scheduler(executor).run([video])
    assert len(executor.started) == 1
    assert isinstance(video.error, kind)
    assert video.error.filename == "in.mp4"


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A video of forty segments, and what one process makes of it."""
    folder = tmp_path_factory.mktemp("forty")
    source = Clip(40, (16, 16)).write(folder / "in.mkv")
    target = folder / "whole.mkv"
    assert EnhanceCall("interpolate", source, target, {"model": "blend"}, OPTIONS).run().segments == 40
    return source, target.read_bytes()


@pytest.mark.parametrize("seed", slow_except(range(50), range(4)))
def test_random_deaths_of_workers(seed: int, forty: tuple[Path, bytes], tmp_path: Path) -> None:
    """No segment is lost, none is there twice, and the bytes are those of one process."""
    source, expected = forty
    target = tmp_path / "out.mkv"
    executor = SimulatedExecutor(workers=1 + seed % 5, seed=seed, deaths=0.2)
    (result,) = run_batch([EnhanceCall("interpolate", source, target, {"model": "blend"}, OPTIONS)], executor)
    if result.error is not None:  # the same task was lost four times: the same call resumes
        assert "4 workers were lost" in str(result.error)
        executor = SimulatedExecutor(workers=2, seed=seed)
        (result,) = run_batch([EnhanceCall("interpolate", source, target, {"model": "blend"}, OPTIONS)], executor)
    assert executor.lost > 0 or result.report is not None
    assert result.report is not None
    assert (result.report.segments, result.report.frames_out) == (40, 80)
    assert target.read_bytes() == expected
    assert {path.name for path in tmp_path.iterdir()} == {"out.mkv"}
    assert {task.plan.index for task in executor.started if isinstance(task, SegmentTask)} <= set(range(40))
