"""The order in which the tasks of many videos run, and what happens when workers are lost.

A few videos are in work at a time. Whenever a worker is free, it gets a task of the video that has the fewest tasks
running, and among those, the one that has been given the fewest so far: no video waits for another to end. A task whose
worker was lost runs again, before other tasks of its video. After several losses, the video fails: the task itself may
kill its workers. A video that fails doesn't stop the others.
"""

from __future__ import annotations

import heapq
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from ls3d.cluster.executors import Executor, Failure, Outcome
from ls3d.cluster.tasks import Resources, Task
from ls3d.errors import InputError

log = logging.getLogger(__name__)

#: Errors of the system that another attempt can't avoid.
_FINAL = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


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

    @property
    def rank(self) -> tuple[int, int]:
        """The video with the lowest is next."""
        return self.running, self.given


@dataclass
class _Running:
    """A task that was submitted."""

    state: _State
    task: Task


def active_videos(workers: int) -> int:
    """Number of videos in work at a time: enough that planning, one task at a time for each, keeps up with workers."""
    return max(8, 2 * workers)


def _is_final(failure: Failure) -> bool:
    """Whether the task would fail again."""
    return not isinstance(failure.cause, OSError) or isinstance(failure.cause, _FINAL)


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
        self._active: dict[int, _State] = {}  # by their order
        self._ready: dict[Resources, list[tuple[int, int, int]]] = {}  # heaps of ranks and orders; some are outdated
        self._begun = 0
        self._running: dict[int, _Running] = {}
        self._submitted = 0
        self._tries: dict[int, tuple[Task, int]] = {}  # by the identity of the task

    def run(self, works: Iterable[Work], is_useless: Callable[[], bool] = lambda: False) -> None:
        """Do all work. What fails is reported to the video itself.

        Args:
            works: is consumed when videos can be begun.
            is_useless: whether what is left need not be done; asked after every task.
        """
        following = iter(works)
        while not is_useless():
            self._begin(following)
            self._fill()
            if not self._running:
                if self._active:
                    names = ", ".join(state.work.name for state in self._active.values())
                    raise RuntimeError(f"no task can run, but these videos are not finished: {names}")
                return
            for ended in self._executor.wait():
                state = self._take(ended)
                if state.work.is_finished and not state.running:
                    del self._active[state.order]
                else:
                    self._queue(state)

    def _begin(self, following: Iterator[Work]) -> None:
        while len(self._active) < self._active_limit:
            work = next(following, None)
            if work is None:
                return
            if not work.is_finished:
                state = self._active[self._begun] = _State(work, self._begun)
                self._begun += 1
                self._queue(state)

    def _queue(self, state: _State) -> None:
        """Sort a video among those whose next task needs the same."""
        if state.work.waiting:
            needs = state.work.waiting[0].resources
            heapq.heappush(self._ready.setdefault(needs, []), (*state.rank, state.order))

    def _fill(self) -> None:
        """Submit tasks while workers are free."""
        while True:
            firsts = []
            for needs, queue in self._ready.items():
                while queue and not self._is_current(queue[0], needs):
                    heapq.heappop(queue)
                if queue and self._executor.accepts(needs):
                    firsts.append((queue[0], needs))
            if not firsts:
                return
            (_, _, order), needs = min(firsts, key=lambda each: each[0])
            heapq.heappop(self._ready[needs])
            self._submit(self._active[order])

    def _is_current(self, entry: tuple[int, int, int], needs: Resources) -> bool:
        """Whether a video is still where it was sorted."""
        running, given, order = entry
        state = self._active.get(order)
        if state is None or not state.work.waiting or state.rank != (running, given):
            return False
        return state.work.waiting[0].resources == needs

    def _submit(self, state: _State) -> None:
        task = state.work.waiting.popleft()
        state.running += 1
        state.given += 1
        self._running[self._submitted] = _Running(state, task)
        self._executor.submit(self._submitted, task)
        self._submitted += 1
        self._queue(state)

    def _take(self, ended: Outcome) -> _State:
        """What has happened to a task; returns the state of its video."""
        running = self._running.pop(ended.number)
        state, task = running.state, running.task
        state.running -= 1
        if state.work.is_finished:  # it has failed meanwhile
            return state
        if ended.lost is None and ended.failure is None:
            self._tries.pop(id(task), None)
            try:
                state.work.complete(task, ended.result)
            except (InputError, OSError) as error:
                state.work.fail(error)
            return state
        _, tries = self._tries.get(id(task), (task, 1))
        is_final = ended.failure is not None and _is_final(ended.failure)
        if tries < self._attempts and not is_final:
            reason = ended.lost or (ended.failure.message if ended.failure else "")
            log.warning(
                "%s: a task runs again, attempt %d of %d: %s", *(state.work.name, tries + 1, self._attempts, reason)
            )
            self._tries[id(task)] = (task, tries + 1)
            state.work.waiting.appendleft(task)
            return state
        self._tries.pop(id(task), None)
        if ended.failure is not None:
            state.work.fail(ended.failure.error())
        else:
            state.work.fail(OSError(f"{state.work.name}: {self._attempts} workers were lost: {ended.lost}"))
        return state
