"""Many or long videos, on the processes of one machine or on a Ray cluster: ``run_batch``.

The segments of all videos are tasks. Each task depends on its arguments alone, so one whose worker was lost runs again
elsewhere, and the outputs are those of one machine, byte for byte. What is finished is in each output's workspace, so
the same call resumes after the death of any process.
"""

from ls3d.cluster.batch import BatchResult, Call, ClassifyCall, make_call, read_batch, run_batch
from ls3d.cluster.executors import Executor, LocalExecutor
from ls3d.cluster.opening import open_executor
from ls3d.cluster.tasks import Resources

__all__ = [
    "BatchResult",
    "Call",
    "ClassifyCall",
    "Executor",
    "LocalExecutor",
    "Resources",
    "make_call",
    "open_executor",
    "read_batch",
    "run_batch",
]
