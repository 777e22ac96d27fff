"""The executor that a short text stands for, as the command line has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ls3d.cluster.executors import Executor, LocalExecutor
from ls3d.errors import InputError, require

_MOST_PROCESSES = 1024


@contextmanager
def open_executor(cluster: str) -> Iterator[Executor]:
    """Start workers, and stop them at the end.

    Args:
        cluster: a number of processes on this machine (0: one for each GPU, or one); ``"auto"`` for Ray; or the address
            of a Ray cluster.

    Raises:
        InputError: there is no such cluster, or the number is too large.
        MissingExtraError: Ray is not installed.
    """
    executor: Executor
    if cluster.isdecimal():
        gpus = torch.cuda.device_count()
        count = int(cluster) or max(1, gpus)
        if count > _MOST_PROCESSES:
            raise InputError(f"{cluster}: expected at most {_MOST_PROCESSES} processes", argument="cluster")
        executor = LocalExecutor(count, gpus)
    else:
        require("ray", "cluster")
        from ls3d.cluster.ray_executor import RayExecutor

        executor = RayExecutor(cluster)
    try:
        yield executor
    finally:
        executor.close()
