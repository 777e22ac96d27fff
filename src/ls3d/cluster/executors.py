"""Where tasks run: the protocol of executors, and one with processes of this machine."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from ls3d.cluster.tasks import Resources, Task
from ls3d.errors import InputError, MissingExtraError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """Why a task has failed; exceptions themselves don't always survive pickling.

    Attributes:
        message: of the exception.
        trace: the traceback.
        cause: an exception like it, if its message is for users; None for a bug.
    """

    message: str
    trace: str
    cause: Exception | None = None

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Describe an exception."""
        trace = "".join(traceback.format_exception(error))
        return cls(str(error), trace, _like(error) if is_for_users(error) else None)

    def error(self) -> Exception:
        """An exception like the one that was described."""
        return self.cause or RuntimeError(f"{self.message}\n{self.trace}")


def _like(error: Exception) -> Exception:
    """The exception itself if it is ours or Python's; for one of another package, one of its first such base."""
    kind = next(base for base in type(error).__mro__ if base.__module__.partition(".")[0] in ("ls3d", "builtins"))
    return error if kind is type(error) else kind(str(error))


def is_for_users(error: Exception) -> bool:
    """Whether an error's message is for users; all others are bugs, here or in another package."""
    return isinstance(error, (InputError, MissingExtraError, OSError))


def reported(error: Exception) -> Exception:
    """What a video fails with: the error itself if its message is for users, otherwise one that has the traceback."""
    return error if is_for_users(error) else Failure.of(error).error()


@dataclass(frozen=True)
class Outcome:
    """What has happened to a task.

    Attributes:
        number: of the task, as it was submitted.
        result: of the task; None if it failed or its worker was lost.
        failure: why it failed.
        lost: why its worker was lost.
    """

    number: int
    result: Any = None
    failure: Failure | None = None
    lost: str | None = None


class Executor(Protocol):
    """Runs tasks on workers."""

    @property
    def gpus(self) -> float:
        """Number of GPUs of all workers."""
        ...

    @property
    def workers(self) -> int:
        """Number of tasks that run at a time, about."""
        ...

    def accepts(self, resources: Resources) -> bool:
        """Whether a task that needs this could be submitted now."""
        ...

    def submit(self, number: int, task: Task) -> None:
        """Run a task."""
        ...

    def wait(self) -> Sequence[Outcome]:
        """Wait until at least one task that was submitted has ended; all that have."""
        ...

    def close(self) -> None:
        """Stop all workers, whatever they do."""
        ...


def perform(task: Task) -> Any:
    """Do a task: its result, or a ``Failure``."""
    try:
        return task.run()
    except Exception as error:
        return Failure.of(error)


def outcome(number: int, result: Any) -> Outcome:
    """The outcome of a task that ``perform`` has done."""
    if isinstance(result, Failure):
        return Outcome(number, failure=result)
    return Outcome(number, result)


class LocalExecutor:
    """Processes on this machine, one task at a time in each. Processes that die are replaced.

    Args:
        workers: number of processes.
        gpus: number of GPUs of this machine, among which the processes are divided; the first ones of those that
            ``CUDA_VISIBLE_DEVICES`` names, if it is set.
    """

    def __init__(self, workers: int, gpus: int = 0) -> None:
        self.gpus: float = gpus
        self._gpus = gpus
        self._workers = [_Worker(self._environment(index)) for index in range(workers)]

    @property
    def workers(self) -> int:
        """Number of processes."""
        return len(self._workers)

    def accepts(self, resources: Resources) -> bool:
        """Whether a process is idle."""
        return any(worker.number is None for worker in self._workers)

    def submit(self, number: int, task: Task) -> None:
        """Run a task in an idle process."""
        worker = next(worker for worker in self._workers if worker.number is None)
        worker.number = number
        try:
            worker.connection.send(task)
        except OSError:
            log.debug("worker %s has died", worker.process.pid)  # ``wait`` finds out

    def wait(self) -> Sequence[Outcome]:
        """Wait until at least one task has ended, or its process has."""
        busy = [worker for worker in self._workers if worker.number is not None]
        wait([each for worker in busy for each in (worker.connection, worker.process.sentinel)])
        outcomes = []
        for worker in busy:
            found = worker.poll()
            if found is not None:
                outcomes.append(found)
            if found is not None and found.lost:
                index = self._workers.index(worker)
                worker.kill()
                self._workers[index] = _Worker(self._environment(index))
        return outcomes

    def close(self) -> None:
        """Kill all processes; what they write is either complete or ignored."""
        for worker in self._workers:
            worker.kill()

    def _environment(self, index: int) -> dict[str, str]:
        if self._gpus <= 1:
            return {}
        given = os.environ.get("CUDA_VISIBLE_DEVICES")  # on a shared machine, the others belong to somebody else
        names = given.split(",")[: self._gpus] if given else [str(number) for number in range(self._gpus)]
        return {"CUDA_VISIBLE_DEVICES": names[index % len(names)].strip()}


class _Worker:
    """A process that performs tasks."""

    def __init__(self, environment: dict[str, str]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.number: int | None = None
        self.process: BaseProcess = context.Process(target=_serve, args=(other, environment), daemon=True)
        self.process.start()
        other.close()

    def poll(self) -> Outcome | None:
        """The outcome of the task, if it has ended or the process has."""
        assert self.number is not None
        number = self.number
        try:
            if self.connection.poll():
                result = self.connection.recv()
                self.number = None
                return outcome(number, result)
        except (EOFError, OSError):
            return Outcome(number, lost=self._end())
        if not self.process.is_alive():
            return Outcome(number, lost=self._end())
        return None

    def _end(self) -> str:
        self.process.join(1)
        return f"process {self.process.pid} ended with status {self.process.exitcode}"

    def kill(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(connection: Connection, environment: dict[str, str]) -> None:
    """Perform tasks until the other process ends."""
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the driver ends them
    try:
        while True:
            connection.send(perform(connection.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
