"""An executor on a Ray cluster. Ray chooses the machine; the scheduler repeats tasks whose workers were lost."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Sequence
from typing import Any

import ray

from ls3d.cluster.executors import Failure, Outcome, outcome, perform
from ls3d.cluster.tasks import Resources, Task
from ls3d.errors import InputError

log = logging.getLogger(__name__)

_ASK_EVERY = 1.0  # seconds between questions about the size of the cluster


class RayExecutor:
    """Runs tasks on a Ray cluster.

    Args:
        address: ``"auto"`` for the cluster that the environment variable ``RAY_ADDRESS`` names, or that ``ray start``
            began on this machine, or else a new one on this machine; ``"local"`` for a new one in any case; otherwise
            an address such as ``"ray://HOST:10001"``.
        options: further arguments of ``ray.init``, which count only where a new cluster is started.

    Raises:
        InputError: there is no cluster at the address.
    """

    def __init__(self, address: str = "auto", **options: Any) -> None:
        self._was_connected = ray.is_initialized()
        if not self._was_connected:
            self._connect(address, options)
        exceptions = ray.exceptions
        # Those of RayError that are not about the task itself.
        self._lost = (
            exceptions.WorkerCrashedError,
            exceptions.NodeDiedError,
            exceptions.OutOfMemoryError,
            exceptions.ObjectLostError,
            exceptions.LocalRayletDiedError,
            exceptions.RaySystemError,
        )
        self._perform = ray.remote(perform)
        self._total: dict[str, float] = {}
        self._asked = -math.inf
        self._running: dict[Any, tuple[int, Resources]] = {}  # by reference

    def _connect(self, address: str, options: dict[str, Any]) -> None:
        quiet = {"logging_level": logging.WARNING, "log_to_driver": False}
        new = {"address": "local", "include_dashboard": False, **quiet, **options}
        try:
            if address == "auto":
                # Ray's own "auto" also finds the private cluster of another program, which ends with that program.
                ray.init(include_dashboard=False, **quiet)
            else:
                ray.init(**(new if address == "local" else {"address": address, **quiet}))
        except (ConnectionError, ValueError, RuntimeError) as error:
            address = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
            if address:
                raise InputError(f"{address}: {error}", argument="cluster") from error
            log.warning("the Ray cluster of this machine can't be used (%s); a new one is started", error)
            ray.init(**new)

    @property
    def gpus(self) -> float:
        """Number of GPUs in the cluster."""
        return float(ray.cluster_resources().get("GPU", 0))

    @property
    def workers(self) -> int:
        """Number of cores in the cluster."""
        return max(1, int(ray.cluster_resources().get("CPU", 1)))

    def accepts(self, resources: Resources) -> bool:
        """Whether the cluster has room for such a task; always if nothing is running, as clusters may grow."""
        if not self._running:
            return True
        now = time.monotonic()
        if now - self._asked > _ASK_EVERY:
            self._total = ray.cluster_resources()
            self._asked = now
        total = self._total
        cpus = sum(each.cpus for _, each in self._running.values()) + resources.cpus
        gpus = sum(each.gpus for _, each in self._running.values()) + resources.gpus
        return bool(cpus <= total.get("CPU", 0) and gpus <= total.get("GPU", 0))

    def submit(self, number: int, task: Task) -> None:
        """Run a task."""
        needs = task.resources
        remote = self._perform.options(
            num_cpus=needs.cpus, num_gpus=needs.gpus, memory=needs.memory, max_retries=0, name=type(task).__name__
        )
        self._running[remote.remote(task)] = (number, needs)

    def wait(self) -> Sequence[Outcome]:
        """Wait until at least one task has ended."""
        references = list(self._running)
        done, _ = ray.wait(references, num_returns=1)
        ended, _ = ray.wait(references, num_returns=len(references), timeout=0)
        return [self._outcome(reference) for reference in dict.fromkeys([*done, *ended])]

    def _outcome(self, reference: Any) -> Outcome:
        number, _ = self._running.pop(reference)
        try:
            return outcome(number, ray.get(reference))
        except self._lost as error:
            return Outcome(number, lost=" ".join(str(error).split())[:200])
        except ray.exceptions.RayError as error:  # the node can't import ls3d, for example
            return Outcome(number, failure=Failure.of(error))

    def close(self) -> None:
        """Cancel what is running, and disconnect; a cluster that was started for this executor ends."""
        for reference in self._running:
            ray.cancel(reference, force=True)
        self._running.clear()
        if not self._was_connected:
            ray.shutdown()
