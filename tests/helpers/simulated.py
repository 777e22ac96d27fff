"""An executor whose workers are simulated: tasks run in this process, in random order, and workers die at random."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from ls3d.cluster.executors import Outcome, outcome, perform
from ls3d.cluster.tasks import PrepareTask, Resources, SegmentTask, Task


class SimulatedExecutor:
    """Runs one of the submitted tasks whenever it is waited for.

    Args:
        workers: tasks that can be submitted at a time.
        seed: of the order and of the deaths.
        deaths: probability that a worker dies, before its task, in the middle of it or after it.
    """

    gpus: float = 0

    def __init__(self, workers: int = 3, seed: int = 0, deaths: float = 0.0) -> None:
        self.started: list[Task] = []
        self.lost = 0
        self.workers = workers
        self._chance = random.Random(seed)
        self._deaths = deaths
        self._running: dict[int, Task] = {}

    def accepts(self, resources: Resources) -> bool:
        """Whether a worker is idle."""
        return len(self._running) < self.workers

    def submit(self, number: int, task: Task) -> None:
        """Give a task to a worker."""
        self.started.append(task)
        self._running[number] = task

    def wait(self) -> Sequence[Outcome]:
        """Do one task, or lose its worker."""
        number = self._chance.choice(sorted(self._running))
        task = self._running.pop(number)
        if self._chance.random() >= self._deaths:
            return [outcome(number, perform(task))]
        self.lost += 1
        moment = self._chance.choice(["before", "within", "after"])
        if moment == "after":
            perform(task)
        elif moment == "within" and not isinstance(task, PrepareTask):
            _leave_traces(task)
        return [Outcome(number, lost=f"died {moment} its task")]

    def close(self) -> None:
        """Do nothing."""


def _leave_traces(task: Task) -> None:
    """What a process that is killed while it writes a segment leaves: parts of files under temporary names."""
    if isinstance(task, SegmentTask):
        folder = Path(f"{task.place.local_target()}.ls3d")
        (folder / f"packets.{task.plan.index}.tmp").write_bytes(b"a part")
        (folder / f".{task.plan.index:06d}.json.1.tmp").write_text('{"values": {')
