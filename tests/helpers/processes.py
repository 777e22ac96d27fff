"""Trainings in other processes: ``python processes.py FOLDER RECIPE...`` trains, with plain gradient descent."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

#: Trains recipes one after the other, because starting Python takes longer than a training, by plain gradient descent:
#: adaptive optimizers turn rounding errors of small gradients into large steps.
WITH_SGD = [os.fspath(Path(__file__))]

#: The program.
PROGRAM = ["-m", "ls3d", "train"]


def start_processes(count: int, program: list[str], *arguments: object) -> subprocess.Popen[str]:
    """Start a program by ``torchrun`` in ``count`` processes."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command = [sys.executable, *launcher, *program, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "1000"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run_processes(count: int, program: list[str], *arguments: object, timeout: float = 300) -> tuple[int, str]:
    """Run a program by ``torchrun`` in ``count`` processes: the exit status, and what it wrote."""
    with start_processes(count, program, *arguments) as process:
        output, _ = process.communicate(timeout=timeout)
    return process.returncode, output


def _sgd(parameters: Iterable[Any], lr: float = 0.1, **_options: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr)


if __name__ == "__main__":
    from ls3d.training import load_recipe, train

    torch.optim.Adam = torch.optim.AdamW = _sgd  # type: ignore[assignment, misc]
    for recipe in sys.argv[2:]:
        train(load_recipe(recipe, [f"output={sys.argv[1]}/{Path(recipe).stem}"]))
