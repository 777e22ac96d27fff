"""Workers and drivers that are killed in the middle of a job, with processes of this machine and with Ray."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.videos import Clip

from ls3d.enhance import EnhanceCall, EnhanceOptions
from ls3d.enhance._workspace import Workspace

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")

FLAGS = ["--model", "bilateral", "--threads", "1", "--segment-frames", "3", "--progress", "none"]
OPTIONS = EnhanceOptions(threads=1, segment_frames=3)

#: Starts a local cluster of ``sys.argv[1]`` single cores, and interpolates. Ray's own files are in ``sys.argv[2]``.
WITH_RAY = """
import sys
from ls3d.cluster import Resources, run_batch
from ls3d.cluster.ray_executor import RayExecutor
from ls3d.enhance import EnhanceCall, EnhanceOptions

count, temporary, source, target = sys.argv[1:]
options = dict(num_cpus=int(count), object_store_memory=80 << 20, _temp_dir=temporary)
executor = RayExecutor("local", **options)
call = EnhanceCall("interpolate", source, target, {"model": "bilateral"}, EnhanceOptions(threads=1, segment_frames=3))
(result,) = run_batch([call], executor)
executor.close()
if result.error is not None:
    raise result.error
print(result.report.segments, result.report.resumed)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Thirty segments of three frames."""
    return Clip(90, (64, 96), shot_length=40, audio=["eng"]).write(tmp_path / "in.mp4")


@pytest.fixture
def expected(source: Path, tmp_path: Path) -> bytes:
    target = tmp_path / "whole.mp4"
    EnhanceCall("interpolate", source, target, {"model": "bilateral"}, OPTIONS).run()
    return target.read_bytes()


def start(*arguments: object) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def wait_for_segments(target: Path, count: int, process: subprocess.Popen[str]) -> None:
    workspace = Workspace(target)
    while len(workspace.described()) < count:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def descendants(process_id: int) -> list[tuple[int, str]]:
    """Process ids and commands of all processes that a process has started."""
    parents: dict[int, list[int]] = {}
    commands: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                commands[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    waiting = [process_id]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return [(each, commands.get(each, "")) for each in found]


def kill(process: subprocess.Popen[str], matches: Callable[[str], bool]) -> None:
    """Kill the first descendant whose command matches; workers are sometimes idle, and then wait for the next one."""
    victims: list[int] = []
    while not victims:
        assert process.poll() is None, process.communicate()[0]
        victims = [number for number, command in descendants(process.pid) if matches(command)]
    os.kill(victims[0], signal.SIGKILL)


def end_group(process: subprocess.Popen[str]) -> None:
    """Kill what is left of the session that a process has led."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_a_killed_process_is_replaced(count: int, source: Path, expected: bytes, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    process = start("-m", "ls3d", "interpolate", source, target, *FLAGS, "--cluster", count)
    wait_for_segments(target, 3, process)
    kill(process, lambda command: "spawn_main" in command)
    output = finish(process)
    assert "a task runs again, attempt 2 of 4: process" in output
    assert target.read_bytes() == expected


@pytest.mark.slow
def test_the_driver_of_processes_is_killed(source: Path, expected: bytes, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    process = start("-m", "ls3d", "interpolate", source, target, *FLAGS, "--cluster", 2)
    wait_for_segments(target, 3, process)
    workers = [number for number, command in descendants(process.pid) if "spawn_main" in command]
    assert len(workers) == 2
    process.kill()
    process.communicate()
    finish(start("-m", "ls3d", "interpolate", source, target, *FLAGS, "--cluster", 2))
    assert target.read_bytes() == expected
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert not Workspace(target).folder.exists()


@needs_ray
def test_ray_gives_the_bytes_of_one_process(tmp_path: Path, short_folder: Path) -> None:
    source = Clip(12, (32, 48)).write(tmp_path / "in.mp4")
    whole, target = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    EnhanceCall("interpolate", source, whole, {"model": "bilateral"}, OPTIONS).run()
    process = start("-c", WITH_RAY, 2, short_folder, source, target)
    try:
        assert finish(process).splitlines()[-1] == "4 0"
    finally:
        end_group(process)
    assert target.read_bytes() == whole.read_bytes()


@pytest.fixture
def short_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for Ray's sockets, whose paths may have 107 characters at most."""
    folder = Path(f"/tmp/ls3d-ray-{os.getpid()}")
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.slow
@needs_ray
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("victim", ["worker", "driver", "raylet"])
def test_killed_parts_of_a_ray_cluster(
    victim: str, count: int, source: Path, expected: bytes, tmp_path: Path, short_folder: Path
) -> None:
    target = tmp_path / "out.mp4"
    arguments = ("-c", WITH_RAY, count, short_folder, source, target)
    process = start(*arguments)
    wait_for_segments(target, 3, process)
    if victim == "driver":
        process.kill()
    elif victim == "raylet":
        kill(process, lambda command: "/raylet/raylet " in command)
    else:
        kill(process, lambda command: command.startswith("ray::perform") or command.startswith("ray::SegmentTask"))
    try:
        output, _ = process.communicate(timeout=120)
        if victim == "worker":
            assert process.returncode == 0, output
    except subprocess.TimeoutExpired:
        assert victim != "worker"
    finally:
        end_group(process)
    if process.returncode != 0:
        again = start(*arguments)
        try:
            finish(again)
        finally:
            end_group(again)
    assert target.read_bytes() == expected
    assert not Workspace(target).folder.exists()
