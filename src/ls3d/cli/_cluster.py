"""Running calls on many workers: the option ``--cluster``, progress of all videos, results and the exit status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from ls3d.cli._console import (
    INTERRUPTED,
    SOME_FAILED,
    TERMINATED,
    ProgressStyle,
    TerminatedError,
    show_failure,
    show_report,
    show_summary,
    shown_progress,
    terminable,
)
from ls3d.errors import InputError, MissingExtraError, first_line
from ls3d.terminal import console, one_line

if TYPE_CHECKING:
    from ls3d.cluster import BatchResult, Call, Executor


def cluster_option(default: str = "") -> Any:
    """The option ``--cluster``.

    Args:
        default: what is done without it.
    """
    return typer.Option(
        metavar="auto|ADDRESS|N",
        help="Divide the work among workers: those of a Ray cluster (auto: of this machine, ray://HOST:10001, "
        f"HOST:6379), or N processes of this machine without Ray.{default}",
    )


def run_and_show(calls: Sequence[Call], cluster: str, style: ProgressStyle, cpus: float = 1, gpus: float = 0) -> None:
    """Do all calls, and show progress and results.

    Args:
        calls: the videos.
        cluster: the value of ``--cluster``.
        style: how progress is shown.
        cpus: cores that making a segment needs.
        gpus: GPUs that it needs; 0 takes one if there are any.

    Raises:
        InputError: see ``run_batch``, or it is the only video's.
        SystemExit: a video of several has failed, or the work was interrupted.
    """
    from ls3d.cluster import Resources, open_executor, run_batch
    from ls3d.cluster.executors import is_for_users

    messages: set[str] = set()
    results: list[BatchResult] = []

    def ended(result: BatchResult) -> None:
        results.append(result)
        if result.error is None or len(calls) > 1:  # that of a single one is raised
            _show_result(result, style, messages)

    def summarize() -> None:
        statuses = [result.status for result in results]
        show_summary(statuses, f"{len(calls)} videos", len(calls) - len(results), style)

    try:
        with terminable(), open_executor(cluster) as executor, shown_progress(style, messages) as show:
            needs = Resources(cpus, gpus or _gpu_share(executor, calls))
            run_batch(calls, executor, resources=needs, progress=show, on_result=ended)
    except (KeyboardInterrupt, TerminatedError) as stop:
        summarize()
        raise SystemExit(INTERRUPTED if isinstance(stop, KeyboardInterrupt) else TERMINATED) from stop
    except (InputError, MissingExtraError):
        if len(calls) > 1:
            summarize()
        raise
    if len(calls) > 1:
        summarize()
    errors = [result.error for result in results if result.error is not None]
    bugs = [error for error in errors if not is_for_users(error)]
    if bugs:
        raise bugs[0]
    if len(calls) == 1 and errors:
        raise errors[0]
    if errors:
        raise SystemExit(SOME_FAILED)


def _gpu_share(executor: Executor, calls: Sequence[Call]) -> float:
    """One GPU for each segment if there are any, and the networks are to run on one."""
    from ls3d.cluster import ClassifyCall

    devices = {call.device if isinstance(call, ClassifyCall) else call.options.device for call in calls}
    return 1.0 if executor.gpus and devices != {"cpu"} else 0.0


def _show_result(result: BatchResult, style: ProgressStyle, messages: set[str]) -> None:
    from ls3d.cluster.executors import is_for_users

    if result.report is not None:
        show_report(result.report, style, messages, result.source)
    elif result.error is not None:
        error = result.error
        if not is_for_users(error):  # its traceback is shown at the end
            error = RuntimeError(first_line(error))
        show_failure(result.source, error, style)
    elif style is ProgressStyle.bar:
        console(stderr=True).print(f"{one_line(result.target)}: {result.status}", soft_wrap=True)
