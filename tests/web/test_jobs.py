"""The queue: order, cancellation, limits of time and number, crashes; nothing of a job remains on disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers.videos import Clip, decode

from ls3d.web.folders import temporary_folder
from ls3d.web.jobs import JobQueue, JobStatus, NoSuchJobError, QueueFullError
from ls3d.web.options import Limits, ServeOptions
from ls3d.web.requests import SOURCE, EnhanceRequest

PATIENCE = 120  # seconds, on a busy machine


@contextmanager
def opened(folder: Path, **options: Any) -> Iterator[JobQueue]:
    jobs = JobQueue(folder, ServeOptions(device="cpu", **options))
    try:
        yield jobs
    finally:
        jobs.close()
        assert not list(folder.iterdir())


def submit(jobs: JobQueue, clip: Clip | None = None, request: EnhanceRequest | None = None) -> str:
    with jobs.reserve() as place:
        if clip is None:
            place.source.write_bytes(b"video")
        else:
            clip.write(place.folder / "in.mp4").rename(place.source)
        return jobs.submit(place, request or EnhanceRequest(factor=2)).id


def wait_until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def ended(jobs: JobQueue, id: str) -> JobStatus:
    wait_until(lambda: jobs.status(id).state in ("finished", "failed"))
    return jobs.status(id)


def children() -> list[int]:
    """The processes of jobs that this process has started and not yet waited for."""
    started = " ".join(path.read_text() for path in Path("/proc/self/task").glob("*/children")).split()
    return [int(pid) for pid in started if b"ls3d.web.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_job_and_what_remains_of_it(tmp_path: Path) -> None:
    with opened(tmp_path) as jobs:
        id = submit(jobs, Clip(4))
        status = ended(jobs, id)
        assert status.state == "finished", status
        assert status.progress is not None
        assert status.report is not None
        assert (status.progress["done"], status.report["frames_out"]) == (4, 8)
        found = jobs.result(id)
        assert found is not None
        path, media_type = found
        assert (len(decode(path)), media_type, status.size) == (8, "video/mp4", path.stat().st_size)
        assert str(tmp_path) not in str(status)
        jobs.delete(id)
        assert not list(tmp_path.iterdir())
        with pytest.raises(NoSuchJobError):
            jobs.status(id)


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_canceled_and_crashed_jobs_and_the_next_one(tmp_path: Path) -> None:
    with opened(tmp_path) as jobs:
        canceled = submit(jobs, Clip(200))
        wait_until(lambda: jobs.status(canceled).progress)
        (process,) = children()
        jobs.delete(canceled)
        assert process not in children()
        assert not list(tmp_path.iterdir())

        crashed = submit(jobs, Clip(200))
        wait_until(lambda: jobs.status(crashed).progress)
        (process,) = children()
        os.kill(process, signal.SIGKILL)
        assert ended(jobs, crashed).error == "the job ended unexpectedly"

        wait_until(lambda: len(children()) == 1 and process not in children())
        os.kill(children()[0], signal.SIGKILL)  # while it waits for a job
        wait_until(lambda: not children())
        assert ended(jobs, submit(jobs, Clip(2))).state == "finished"
    assert not children()


def test_a_job_that_takes_too_long(tmp_path: Path) -> None:
    with opened(tmp_path, limits=Limits(max_run=0.5)) as jobs:
        assert ended(jobs, submit(jobs, Clip(200))).error == "the job took longer than this server allows"


def test_order_places_and_cancellation_in_the_queue(tmp_path: Path, fake_process: Any) -> None:
    fake_process.may_end.clear()
    with opened(tmp_path, queue=4) as jobs:
        ids = [submit(jobs) for _ in range(4)]
        wait_until(lambda: jobs.status(ids[0]).state == "running")
        assert [jobs.status(id).ahead for id in ids] == [0, 0, 1, 2]
        with pytest.raises(QueueFullError, match="full"), jobs.reserve():
            pass
        jobs.delete(ids[1])
        assert jobs.result(ids[2]) is None
        with jobs.reserve() as place:  # an upload that fails gives its place back
            place.source.write_bytes(b"part")
            with pytest.raises(QueueFullError), jobs.reserve():
                pass
        last = submit(jobs)
        fake_process.may_end.set()
        for id in (ids[0], ids[2], ids[3], last):
            assert ended(jobs, id).state == "finished"
        assert fake_process.started == [ids[0], ids[2], ids[3], last]


@pytest.mark.usefixtures("fake_process")
def test_jobs_that_nobody_asks_for_are_deleted(tmp_path: Path) -> None:
    with opened(tmp_path, keep=0.3) as jobs:
        id = submit(jobs)
        ended(jobs, id)
        wait_until(lambda: not list(tmp_path.iterdir()))
        with pytest.raises(NoSuchJobError):
            jobs.status(id)


def test_a_running_job_that_nobody_asks_for_is_canceled(tmp_path: Path, fake_process: Any) -> None:
    fake_process.may_end.clear()
    with opened(tmp_path, keep=0.3) as jobs:
        submit(jobs)
        wait_until(lambda: not list(tmp_path.iterdir()))
        fake_process.may_end.set()
        assert ended(jobs, submit(jobs)).state == "finished"


def test_an_error_in_the_queue_fails_one_job_only(tmp_path: Path, fake_process: Any) -> None:
    fake_process.may_end.clear()
    with opened(tmp_path) as jobs:
        broken = submit(jobs)
        wait_until(lambda: jobs.status(broken).state == "running")
        (tmp_path / broken / SOURCE).unlink()
        (tmp_path / broken).rmdir()  # where the fake process writes its result
        fake_process.may_end.set()
        assert ended(jobs, broken).error == "the job ended unexpectedly"
        assert ended(jobs, submit(jobs)).state == "finished"


def test_the_queue_answers_while_no_process_can_be_started(
    tmp_path: Path, fake_process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, tried = threading.Event(), threading.Event()
    made = []

    class RefusedProcess(fake_process):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            if refused.is_set():
                tried.set()
                raise OSError("no memory")
            made.append(self)

        @property
        def ended(self) -> bool:
            return refused.is_set()

    monkeypatch.setattr("ls3d.web.jobs.JobProcess", RefusedProcess)
    monkeypatch.setattr("ls3d.web.jobs._SWEEP", 0.05)
    with opened(tmp_path) as jobs, ThreadPoolExecutor(1) as pool:
        assert ended(jobs, submit(jobs)).state == "finished"
        wait_until(lambda: len(made) == 2)
        refused.set()
        try:
            deleted = submit(jobs)
            assert tried.wait(PATIENCE)
            assert pool.submit(jobs.status, deleted).result(10).state == "running"
            jobs.delete(deleted)
        finally:
            refused.clear()
        assert ended(jobs, submit(jobs)).state == "finished"
        assert deleted not in fake_process.started


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_queue_is_closed_while_no_process_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = threading.Event()

    def refuse() -> None:
        tried.set()
        raise OSError("no memory")

    monkeypatch.setattr("ls3d.web.jobs.JobProcess", refuse)
    with opened(tmp_path):
        assert tried.wait(PATIENCE)


@pytest.mark.usefixtures("fake_process")
def test_the_number_of_finished_jobs_is_bounded(tmp_path: Path) -> None:
    with opened(tmp_path, queue=1, keep=100) as jobs:
        ids = []
        for _ in range(6):
            ids.append(submit(jobs))
            ended(jobs, ids[-1])
        wait_until(lambda: len(list(tmp_path.iterdir())) == 4)
        assert {path.name for path in tmp_path.iterdir()} == set(ids[2:])


def test_a_crashed_server_leaves_nothing_for_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """if True:
        import os
        from ls3d.web.folders import temporary_folder
        with temporary_folder() as folder:
            (folder / "upload").touch()
            os._exit(1)
    """
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    (left,) = tmp_path.iterdir()
    (tmp_path / "ls3d-serve-link").symlink_to(Path(__file__).parent)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_folder() as folder, temporary_folder() as other:
        assert folder.is_dir()  # another server that runs
        assert other.is_dir()
        assert not left.exists()
        assert folder.stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["ls3d-serve-link"]
    assert Path(__file__).exists()
