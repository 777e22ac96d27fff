"""Training in several processes, started by ``torchrun``: each trains on its share of every batch.

Samples and noise are numbered for the whole batch, so the gradients are those of one process, and a training that was
interrupted can resume with another number of processes.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ls3d.errors import InputError

T = TypeVar("T")

#: Exit status of a process that stops because of an error in another one, which reports it.
_OTHER_FAILED = 2

_RELEASE_SECONDS = 0.1


@dataclass(frozen=True)
class Processes:
    """The processes of a training.

    Attributes:
        rank: index of this process.
        count: number of processes.
        local_count: number of those on this machine.
    """

    rank: int = 0
    count: int = 1
    local_count: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def share_size(self, batch: int, name: str) -> int:
        """The number of samples of each process.

        Args:
            batch: samples in a batch.
            name: what the error message calls them.

        Raises:
            InputError: they can't be divided evenly.
        """
        if batch % self.count:
            raise InputError(f"{name} is {batch}, expected a multiple of {self.count}, the number of processes")
        return batch // self.count

    def share(self, values: Tensor) -> Tensor:
        """This process's part of ``values (N, ...)`` for the samples of a whole batch."""
        return values.chunk(self.count)[self.rank] if self.count > 1 else values

    def validated(self, count: int) -> range:
        """The indices of the validation samples of this process; all of them if there are fewer than processes."""
        return range(self.rank, count, self.count) if count >= self.count else range(count)

    def gather(self, value: T) -> list[T]:
        """The values of all processes, in the order of their ranks."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def gather_samples(self, values: Tensor) -> Tensor:
        """The concatenated values ``(N, ...)`` of all processes, without gradients."""
        if self.count == 1:
            return values
        parts = [torch.empty_like(values, memory_format=torch.contiguous_format) for _ in range(self.count)]
        dist.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    def largest(self, value: int) -> int:
        """The largest value of all processes."""
        if self.count == 1:
            return value
        shared = torch.tensor(value)  # on the CPU, so that no GPU has to be waited for
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return int(shared)

    def average_(self, gradients: list[Tensor]) -> None:
        """Replace gradients by their means over all processes."""
        if self.count > 1:
            for gradient in gradients:
                dist.all_reduce(gradient)
                gradient /= self.count

    def run(self, action: Callable[[], T], main_first: bool = False) -> T:
        """Run ``action`` in every process. If it fails in one of them, all stop; only one reports the error.

        Warnings are those of the main process.

        Args:
            action: what to run; it must not communicate with other processes.
            main_first: the others wait until the main process is done, such as for files that it writes.

        Raises:
            SystemExit: the action has failed in another process.
        """
        if self.count == 1:
            return action()
        result: list[T] = []
        error: Exception | None = None
        for turn in (True, False) if main_first else (None,):
            if turn in (None, self.is_main):
                try:
                    result.append(self._run_quietly(action))
                except Exception as raised:
                    error = raised
            failed = self.gather(error is not None)
            if any(failed):
                if error is not None and failed.index(True) == self.rank:
                    raise error
                raise SystemExit(_OTHER_FAILED)
        return result[0]

    def _run_quietly(self, action: Callable[[], T]) -> T:
        """Run ``action``, without warnings unless this is the main process."""
        logger = logging.getLogger("ls3d")
        level = logger.level
        if not self.is_main:
            logger.setLevel(logging.ERROR)
        try:
            return action()
        finally:
            logger.setLevel(level)


#: A training in one process.
SINGLE = Processes()


def is_main_process() -> bool:
    """Whether this process writes files and prints results: all do, except those of ``torchrun`` after the first."""
    return not _is_launched() or int(os.environ["RANK"]) == 0


def _is_launched() -> bool:
    return dist.is_available() and dist.is_torchelastic_launched()


def _attempt() -> str:
    """A prefix for the keys by which processes find each other, after each restart another one.

    ``torchrun`` keeps its store when it restarts processes, and those that find the addresses of their predecessors
    wait forever (https://github.com/pytorch/pytorch/issues/135712). Machines count restarts differently.
    """
    return f"attempt {os.environ['TORCHELASTIC_RESTART_COUNT']}" if os.environ["GROUP_WORLD_SIZE"] == "1" else ""


def join_processes(on_cpu: bool = False) -> Processes:
    """Connect this process to those that ``torchrun`` has started with it; ``SINGLE`` without ``torchrun``.

    Args:
        on_cpu: train on the CPU, even if there is a GPU.
    """
    if not _is_launched() or int(os.environ["WORLD_SIZE"]) == 1:
        return SINGLE
    if not dist.is_initialized():
        import torch.distributed.nn.functional  # now, as its functions have the present group as default argument
        from torch.distributed.distributed_c10d import PrefixStore
        from torch.distributed.rendezvous import rendezvous

        on_gpu = not on_cpu and torch.cuda.is_available()
        if on_gpu:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
        store, rank, size = next(rendezvous("env://"))
        dist.init_process_group(backend, store=PrefixStore(_attempt(), store), rank=rank, world_size=size)
        atexit.register(_disconnect)
    return Processes(dist.get_rank(), dist.get_world_size(), int(os.environ["LOCAL_WORLD_SIZE"]))


def _disconnect() -> None:
    """Leave the processes. Then gloo's threads end, or have time to release the tensors of their last operations.

    A thread that has to take Python's lock for that when Python has begun to shut down aborts the process
    (https://github.com/pytorch/pytorch/issues/190489).
    """
    dist.destroy_process_group()
    gc.collect()  # the threads end with the last reference to their group
    time.sleep(_RELEASE_SECONDS)  # without the lock: DTensor's caches keep the groups of sharded networks
