"""``JobQueue``: jobs that wait, run in a process each, are canceled, and are deleted when nobody asks for them."""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ls3d.web.options import ServeOptions
from ls3d.web.processes import JobProcess
from ls3d.web.requests import SOURCE, JobRequest, Task

log = logging.getLogger(__name__)

_MOST_MESSAGES = 20  # of a job
_FINISHED = 4  # finished jobs that are kept, as a multiple of the queue's length
_SWEEP = 2.0  # seconds between two checks for abandoned jobs

State = Literal["queued", "running", "finished", "failed"]


class QueueFullError(Exception):
    """No further job is accepted now."""


class NoSuchJobError(KeyError):
    """There is no such job, or it has been deleted."""


@dataclass
class JobStatus:
    """A job as clients see it. ``docs/progress.schema.json`` describes the entries of ``progress`` and ``messages``.

    Attributes:
        id: its name, which can't be guessed.
        kind: ``"enhance"``, ``"classify"`` or ``"sampling"``.
        state: ``"queued"``, ``"running"``, ``"finished"`` or ``"failed"``.
        ahead: jobs that start before it; 0 once it runs.
        progress: the latest state of the work, as ``--progress json`` shows it.
        messages: the latest messages.
        report: what has been done, once an enhancement is finished.
        error: one sentence, once it has failed.
        size: of the result in bytes, once it is finished.
    """

    id: str
    kind: str
    state: State = "queued"
    ahead: int = 0
    progress: dict[str, Any] | None = None
    messages: list[dict[str, str]] = field(default_factory=list)
    report: dict[str, Any] | None = None
    error: str | None = None
    size: int | None = None


@dataclass(eq=False)
class _Job:
    """A job and what belongs to it.

    Attributes:
        status: what clients see.
        task: what its process gets.
        seen: when a client last asked for it, by ``time.monotonic``.
        process: the one that runs it.
    """

    status: JobStatus
    task: Task
    seen: float
    process: JobProcess | None = None


@dataclass
class Place:
    """A place in the queue, for a job whose upload is still being received.

    Attributes:
        id: of the future job.
        folder: for its upload, which becomes ``source``.
    """

    id: str
    folder: Path
    used: bool = False

    @property
    def source(self) -> Path:
        """Where the upload is to be written."""
        return self.folder / SOURCE


class JobQueue:
    """A bounded queue of jobs, in the order in which they were submitted.

    Args:
        folder: holds a folder for each job.
        options: of the server.
    """

    def __init__(self, folder: Path, options: ServeOptions) -> None:
        self._folder = folder
        self._options = options
        self._changed = threading.Condition()
        self._jobs: dict[str, _Job] = {}
        self._waiting: deque[_Job] = deque()
        self._places = 0
        self._closed = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(options.workers)]
        self._threads.append(threading.Thread(target=self._sweep, daemon=True))
        for thread in self._threads:
            thread.start()

    @contextmanager
    def reserve(self) -> Iterator[Place]:
        """Yield a place in the queue. Without ``submit``, it is free again at the end, and its files are deleted.

        Raises:
            QueueFullError: all places are taken, or the disk is almost full.
        """
        with self._changed:
            active = sum(job.status.state in ("queued", "running") for job in self._jobs.values())
            if active + self._places >= self._options.queue:
                raise QueueFullError("the queue is full; try again later")
            if shutil.disk_usage(self._folder).free < 2 * self._options.limits.max_size:
                raise QueueFullError("the server has no space for further uploads; try again later")
            self._places += 1
        place = Place(secrets.token_hex(16), Path())
        place.folder = self._folder / place.id
        try:
            place.folder.mkdir()
            yield place
        finally:
            if not place.used:
                with self._changed:
                    self._places -= 1
                shutil.rmtree(place.folder, ignore_errors=True)

    def submit(self, place: Place, request: JobRequest) -> JobStatus:
        """Add a job, whose upload is ``place.source``."""
        options = self._options
        task = Task(place.folder, request, options.limits, options.device, options.classifier)
        job = _Job(JobStatus(place.id, request.kind), task, time.monotonic())
        with self._changed:
            place.used = True
            self._places -= 1
            self._jobs[place.id] = job
            self._waiting.append(job)
            self._changed.notify_all()
            return self._snapshot(job)

    def source(self, id: str) -> Path:
        """Return the upload of a job, which other jobs may use too.

        Raises:
            NoSuchJobError: there is no such job.
        """
        with self._changed:
            return self._find(id).task.source

    def status(self, id: str) -> JobStatus:
        """Return the state of a job.

        Raises:
            NoSuchJobError: there is no such job.
        """
        with self._changed:
            return self._snapshot(self._find(id))

    def result(self, id: str) -> tuple[Path, str] | None:
        """Return the result of a job and its media type; None if it isn't finished.

        Raises:
            NoSuchJobError: there is no such job.
        """
        with self._changed:
            job = self._find(id)
            done = job.status.state == "finished"
            return (job.task.target, job.task.media_type) if done else None

    def delete(self, id: str) -> None:
        """Cancel a job and delete all of its files.

        Raises:
            NoSuchJobError: there is no such job.
        """
        with self._changed:
            job = self._find(id)
        self._delete(job)

    def close(self) -> None:
        """Cancel all jobs and end all threads and processes."""
        self._closed.set()
        with self._changed:
            jobs = list(self._jobs.values())
            self._changed.notify_all()
        for job in jobs:
            self._delete(job)
        for thread in self._threads:
            thread.join()

    def _find(self, id: str) -> _Job:
        if id not in self._jobs:
            raise NoSuchJobError(id)
        job = self._jobs[id]
        job.seen = time.monotonic()
        return job

    def _snapshot(self, job: _Job) -> JobStatus:
        status = job.status
        ahead = self._waiting.index(job) if status.state == "queued" else 0
        return JobStatus(**{**vars(status), "ahead": ahead, "messages": list(status.messages)})

    def _delete(self, job: _Job) -> None:
        with self._changed:
            self._jobs.pop(job.status.id, None)
            if job in self._waiting:
                self._waiting.remove(job)
            process = job.process
        if process is not None:
            process.kill()
        shutil.rmtree(job.task.folder, ignore_errors=True)

    def _work(self) -> None:
        """Run one job after the other, each in a process that was started before."""
        process = self._start_process()
        try:
            while process is not None and (job := self._next()) is not None:
                if process.ended:  # killed while it waited, for instance for want of memory
                    process.close()
                    process = self._start_process()
                if process is not None and self._assign(job, process):
                    self._run(job)
                    process = self._start_process()
        finally:
            if process is not None:
                process.close()

    def _start_process(self) -> JobProcess | None:
        """Start a process, as soon as the system allows it; None at the end. Must not be called with the lock held."""
        while True:
            try:
                return JobProcess()
            except OSError as error:
                log.error("a process can't be started: %s", error)
                if self._closed.wait(_SWEEP):
                    return None

    def _next(self) -> _Job | None:
        """Wait for a job, which is then running; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed.is_set())
            if self._closed.is_set():
                return None
            job = self._waiting.popleft()
            job.status.state = "running"
            return job

    def _assign(self, job: _Job, process: JobProcess) -> bool:
        """Give a job its process, unless it has been deleted."""
        with self._changed:
            exists = job.status.id in self._jobs
            if exists:
                job.process = process
            return exists

    def _run(self, job: _Job) -> None:
        process = job.process
        assert process is not None

        def handle(values: dict[str, Any]) -> None:
            with self._changed:
                _record(job.status, values)

        try:
            process.run(job.task.to_json(), handle, self._options.limits.max_run)
        except Exception:  # this thread has to do the next job
            log.exception("the process of job %s can't be followed", job.status.id)
            process.close()
        with self._changed:
            job.process = None
            job.seen = time.monotonic()
            deleted = job.status.id not in self._jobs
            if not deleted:
                _finish(job, process.timed_out)
        if deleted:  # while the process could still write
            shutil.rmtree(job.task.folder, ignore_errors=True)

    def _sweep(self) -> None:
        """Delete jobs that nobody has asked for, and the oldest of too many finished ones."""
        while not self._closed.wait(min(_SWEEP, self._options.keep)):
            with self._changed:
                jobs = sorted(self._jobs.values(), key=lambda job: job.seen)
                done = [job for job in jobs if job.status.state in ("finished", "failed")]
                abandoned = [job for job in jobs if time.monotonic() - job.seen > self._options.keep]
            for job in {job.status.id: job for job in abandoned + done[: -_FINISHED * self._options.queue]}.values():
                log.info("job %s is deleted: nobody has asked for it", job.status.id)
                self._delete(job)


def _record(status: JobStatus, values: dict[str, Any]) -> None:
    """Take over a line that the process of a job has written."""
    if "done" in values:
        status.progress = values
    elif "report" in values:
        status.report = values["report"]
    elif "error" in values:
        status.error = values["error"]
    elif "info" in values or "warning" in values:
        status.messages = [*status.messages, values][-_MOST_MESSAGES:]


def _finish(job: _Job, timed_out: bool) -> None:
    """Find out how a job has ended."""
    status = job.status
    target = job.task.target
    if timed_out:
        status.error = "the job took longer than this server allows"
    elif status.error is None and not target.is_file():
        status.error = "the job ended unexpectedly"
        log.error("the process of job %s ended without a result", status.id)
    status.state = "finished" if status.error is None else "failed"
    status.size = target.stat().st_size if status.state == "finished" else None
