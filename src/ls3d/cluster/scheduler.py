"""The order in which the tasks of many videos run, and what happens when workers are lost.

A few videos are in work at a time. Whenever a worker is free, it gets a task of the video that has the fewest tasks
running, and among those, the one that has been given the fewest so far: no video waits for another to end. A task whose
worker was lost runs again, before other tasks of its video. After several losses, the video fails: the task itself may
kill its workers. A video that fails doesn't stop the others.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from ls3d.cluster.executors import Executor, Outcome
from ls3d.cluster.tasks import Resources, Task
from ls3d.errors import InputError

log = logging.getLogger(__name__)


class Work(Protocol):
    """A video: a source of tasks.

    Attributes:
        name: for messages.
        waiting: tasks that can run now, in order; the scheduler removes them.
        is_finished: whether no task is left.
    """

    name: str
    waiting: deque[Task]

    @property
    def is_finished(self) -> bool: ...

    def complete(self, task: Task, result: Any) -> None:
        """Take the result of a task; may add further tasks to ``waiting``.

        Raises:
            InputError: the result shows that the input can't be used.
            OSError: a file can't be read or written.
        """
        ...

    def fail(self, error: Exception) -> None:
        """Give up."""
        ...


@dataclass
class _State:
    """What the scheduler knows of a video."""

    work: Work
    order: int
    running: int = 0
    given: int = 0


@dataclass
class _Running:
    """A task that was submitted."""

    state: _State
    task: Task


def active_videos(workers: int) -> int:
    """Number of videos in work at a time: enough that planning, one task at a time for each, keeps up with workers."""
    return max(8, 2 * workers)


class Scheduler:
    """Runs the tasks of videos on an executor.

    Args:
        executor: where tasks run.
        active: number of videos in work at a time; further ones are begun when one of them ends.
        attempts: how often a task is tried before its video fails.
    """

    def __init__(self, executor: Executor, active: int = 8, attempts: int = 4) -> None:
        self._executor = executor
        self._active_limit = active
        self._attempts = attempts
        self._active: list[_State] = []
        self._running: dict[int, _Running] = {}
        self._submitted = 0
        self._tries: dict[int, tuple[Task, int]] = {}  # by the identity of the task

    def run(self, works: Iterable[Work]) -> None:
        """Do all work. What fails is reported to the video itself.

        Args:
            works: is consumed when videos can be begun.
        """
        following = iter(works)
        while True:
            self._begin(following)
            self._fill()
            if not self._running:
                if self._active:
                    names = ", ".join(state.work.name for state in self._active)
                    raise RuntimeError(f"no task can run, but these videos are not finished: {names}")
                return
            for ended in self._executor.wait():
                self._take(ended)
            self._active = [state for state in self._active if state.running or not state.work.is_finished]

    def _begin(self, following: Iterator[Work]) -> None:
        while len(self._active) < self._active_limit:
            work = next(following, None)
            if work is None:
                return
            if not work.is_finished:
                self._active.append(_State(work, self._submitted + len(self._active)))

    def _fill(self) -> None:
        """Submit tasks while workers are free."""
        while True:
            room: dict[Resources, bool] = {}
            ready = []
            for state in self._active:
                if state.work.waiting:
                    needs = state.work.waiting[0].resources
                    if needs not in room:
                        room[needs] = self._executor.accepts(needs)
                    if room[needs]:
                        ready.append(state)
            if not ready:
                return
            state = min(ready, key=lambda each: (each.running, each.given, each.order))
            task = state.work.waiting.popleft()
            state.running += 1
            state.given += 1
            self._running[self._submitted] = _Running(state, task)
            self._executor.submit(self._submitted, task)
            self._submitted += 1

    def _take(self, ended: Outcome) -> None:
        running = self._running.pop(ended.number)
        state, task = running.state, running.task
        state.running -= 1
        if state.work.is_finished:  # it has failed meanwhile
            return
        if ended.lost is None and ended.failure is None:
            self._tries.pop(id(task), None)
            try:
                state.work.complete(task, ended.result)
            except (InputError, OSError) as error:
                state.work.fail(error)
            return
        _, tries = self._tries.get(id(task), (task, 1))
        is_final = ended.failure is not None and ended.failure.kind != "system"
        if tries < self._attempts and not is_final:
            reason = ended.lost or (ended.failure.message if ended.failure else "")
            log.warning(
                "%s: a task runs again, attempt %d of %d: %s", *(state.work.name, tries + 1, self._attempts, reason)
            )
            self._tries[id(task)] = (task, tries + 1)
            state.work.waiting.appendleft(task)
            return
        self._tries.pop(id(task), None)
        if ended.failure is not None:
            state.work.fail(ended.failure.error())
        else:
            state.work.fail(OSError(f"{state.work.name}: {self._attempts} workers were lost: {ended.lost}"))
