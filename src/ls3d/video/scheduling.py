"""Keeps encoders from changing how the system schedules this process."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TASKS = "/proc/self/task"


@contextmanager
def unchanged_scheduling() -> Iterator[None]:
    """Let an encoder that is opened within the block make no thread of this process a real-time thread.

    SVT-AV1, run by root, does so with the calling thread and its own ones (``SCHED_FIFO``, priority 99). They, and all
    processes started later, would take the processors from everything else on the machine. Linux only.
    """
    if sys.platform != "linux" or not os.path.isdir(_TASKS):
        yield
        return
    before = _policies()
    own = os.sched_getscheduler(0)
    try:
        yield
    finally:
        for thread, policy in _policies().items():
            wanted = before.get(thread, own)
            if _is_real_time(policy) and not _is_real_time(wanted):
                with contextlib.suppress(ProcessLookupError):  # it has ended
                    os.sched_setscheduler(thread, wanted, os.sched_param(0))


def _policies() -> dict[int, int]:
    """The policy of each thread of this process."""
    policies = {}
    for name in os.listdir(_TASKS):
        with contextlib.suppress(ProcessLookupError):
            policies[int(name)] = os.sched_getscheduler(int(name))
    return policies


def _is_real_time(policy: int) -> bool:
    return policy & ~os.SCHED_RESET_ON_FORK in (os.SCHED_FIFO, os.SCHED_RR)
