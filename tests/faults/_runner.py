"""Runs rows of the table of faults, each in a forked child with limits. Usage: ``_runner.py PLAN OUTCOMES``.

The imports that take seconds happen once, before the first fork. The limit of memory counts from there.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

_WALL_PER_CPU = 10  # on a busy machine


def main() -> None:
    """Run the plan."""
    plan, outcomes = map(Path, sys.argv[1:])
    entries = json.loads(plan.read_text())
    _import_modules({entry["call"][0].partition(":")[0] for entry in entries})
    outcomes.write_text(json.dumps([_run(entry) for entry in entries]))


def _import_modules(targets: set[str]) -> None:
    """Import what the commands and functions of the rows import when they run."""
    import torch

    torch.set_num_threads(1)
    modules = ["ls3d.cli.main", "ls3d.enhance.api", "ls3d.enhance.jobs", "ls3d.models.checkpoints"]
    if targets & {"train", "reproduce", "ls3d.training"}:
        modules += ["ls3d.training", "ls3d.training._trainer", "ls3d.training.enhancement.task"]
    if "evaluate" in targets:
        modules += ["ls3d.evaluation"]
    for module in modules:
        importlib.import_module(module)


def _run(entry: dict[str, Any]) -> dict[str, Any]:
    """Fork, wait until the child ends or its time is over, and describe how it ended."""
    folder = Path(entry["folder"])
    outputs = [folder.with_name(f"{folder.name}.{name}") for name in ("stdout", "stderr")]
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        _child(entry, outputs)
    status = None
    # Processor time is limited in the child; this is for children that wait.
    while status is None and time.monotonic() - start < _WALL_PER_CPU * entry["seconds"]:
        found, raw = os.waitpid(child, os.WNOHANG)
        status = os.waitstatus_to_exitcode(raw) if found else None
        time.sleep(0 if found else 0.01)
    if status is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        status = -signal.SIGKILL
    stdout, stderr = (path.read_text(encoding="utf-8", errors="backslashreplace") for path in outputs)
    return {"status": status, "stdout": stdout, "stderr": stderr, "seconds": time.monotonic() - start}


def _child(entry: dict[str, Any], outputs: list[Path]) -> NoReturn:
    """Run one row; never return to the loop of the parent."""
    status = 70
    try:
        os.chdir(entry["folder"])
        os.environ.update(entry["environment"])
        for path, number in zip(outputs, (1, 2), strict=True):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        _limit(entry["memory"], entry["seconds"])
        status = _call(entry["call"])
    except BaseException:  # a bug, as at the top of any program: shown with its traceback
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _limit(budget: int, seconds: float) -> None:
    """Limit memory beyond what the process has already, and processor time."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + budget
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _call(call: list[str]) -> int:
    """Run a command, or a function of the library, whose errors are shown as the command line shows them."""
    from ls3d.cli.main import main as command_line

    target, *arguments = call
    if ":" not in target:
        sys.argv = ["ls3d", *call]
        return _status(command_line)
    module, name = target.split(":")
    function = getattr(importlib.import_module(module), name)
    from ls3d.errors import InputError, MissingExtraError

    try:
        function(*arguments)
    except (InputError, MissingExtraError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _status(run: Callable[[], object]) -> int:
    """The exit status of a program that ends by ``SystemExit``."""
    try:
        run()
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        sys.stderr.write(f"{error.code}\n")
        return 1
    return 0


if __name__ == "__main__":
    main()
