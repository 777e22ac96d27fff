"""Kills a job at every one of its file operations, and resumes it. Usage: ``crash_points.py JOB SOURCE FOLDER``.

Everything is imported once; each run is a forked child. ``sys.addaudithook`` reports the operations (creating, opening
for writing, renaming and deleting of files and folders) before they happen. Prints the number of operations.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ls3d.enhance import EnhanceOptions, interpolate
from ls3d.evaluation import evaluate
from ls3d.models import read_metadata
from ls3d.training import build_recipe, train

KILLED = 77
OPTIONS = EnhanceOptions(threads=1, segment_frames=3, overwrite=True)

Job = Callable[[Path, Path], object]


def _video(suffix: str) -> Job:
    return lambda source, folder: interpolate(source, folder / f"out{suffix}", model="blend", options=OPTIONS)


def _evaluation(source: Path, folder: Path) -> None:
    evaluate("blend", "folder-x2", source.parent, json_path=folder / "out.json", device="cpu")


def _training(source: Path, folder: Path) -> None:
    """Two epochs, so that both states are written."""
    values = {
        "kind": "interpolation",
        "model": {"name": "vfi_ls3d_plus_s", "arguments": {"width": 8}},
        "data": {"root": str(source.parent), "crop": 16, "scale": [1, 1], "held_out": 1},
        "optimization": {"steps": 2, "batch_size": 1, "warm_up": 1, "ema": 0.5},
        "steps_per_epoch": 1,
        "accelerator": "cpu",
        "output": str(folder),
    }
    train(build_recipe(values, "recipe"))


JOBS: dict[str, Job] = {
    "mp4": _video(".mp4"),
    "mkv": _video(".mkv"),
    "images": _video(""),
    "y4m": _video(".y4m"),
    "evaluation": _evaluation,
    "training": _training,
}

WEIGHTS = "weights.safetensors"


def _is_operation(event: str, arguments: tuple[Any, ...], folders: tuple[str, ...]) -> bool:
    """Whether an audit event changes something below one of the folders."""
    if event == "open":
        path, mode, flags = arguments
        writes = any(letter in str(mode or "") for letter in "wax+") or bool((flags or 0) & (os.O_WRONLY | os.O_RDWR))
        return writes and str(path).startswith(folders)
    changes = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate")
    return event in changes and str(arguments[0]).startswith(folders)


def run(job: Job, source: Path, folder: Path, kill_at: int | None) -> tuple[int, int]:
    """Run a job in a child that dies before operation ``kill_at``; its exit status and the number of operations."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        count = 0
        folders = (str(folder), os.environ["XDG_STATE_HOME"], os.environ["XDG_CACHE_HOME"])

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal count
            if _is_operation(event, arguments, folders):
                if count == kill_at:
                    os._exit(KILLED)
                count += 1

        status = 1
        try:
            sys.addaudithook(hook)
            job(source, folder)
            os.write(sender, str(count).encode())
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(sender)
    with open(receiver, "rb") as pipe:
        counted = pipe.read()
    _, raw = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(raw), int(counted or 0)


def contents(folder: Path, name: str) -> dict[str, object]:
    """All files below a folder; of a training, the digest of the weights, and the names of what is next to them."""
    if name == "training":
        names = dict.fromkeys((path.name for path in sorted(folder.iterdir())), None)
        return {**names, WEIGHTS: read_metadata(folder / WEIGHTS)["sha256"]}
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def main() -> None:
    """Kill and resume at every operation; an ``AssertionError`` names the one that fails."""
    name, source, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    os.fsync = lambda descriptor: None  # type: ignore[assignment]  # slow, and only a power failure would show it
    state, cache = folder.with_name("state"), folder.with_name("cache")
    os.environ |= {"XDG_STATE_HOME": str(state), "XDG_CACHE_HOME": str(cache)}
    job = JOBS[name]
    if name == "training":
        importlib.import_module("ls3d.training._trainer")  # otherwise each child would
        importlib.import_module("ls3d.training.enhancement.task")
    folder.mkdir()
    status, total = run(job, source, folder, None)
    assert status == 0
    expected = contents(folder, name)
    top = {Path(path).parts[0] for path in expected}
    for kill_at in range(total):
        for used in (folder, state, cache):
            shutil.rmtree(used, ignore_errors=True)
        folder.mkdir()
        assert run(job, source, folder, kill_at)[0] == KILLED, kill_at
        assert run(job, source, folder, None)[0] == 0, f"operation {kill_at} of {total}: doesn't resume"
        assert contents(folder, name) == expected, f"operation {kill_at} of {total}: other content"
        assert {path.name for path in folder.iterdir()} == top, kill_at
    sys.stdout.write(f"{total}\n")


if __name__ == "__main__":
    main()
