"""Running a command on a list of files: progress and report of each, a summary, and the exit status."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ls3d.cli._console import ProgressStyle, show_failure, show_report, show_summary, shown_progress
from ls3d.enhance.files import enhance_files, find_videos, pair_files
from ls3d.enhance.report import EnhanceReport
from ls3d.errors import InputError
from ls3d.progress import ProgressCallback

Pairs = Sequence[tuple[Path, Path]]
Job = Callable[[str, str, ProgressCallback | None], EnhanceReport]


def find_pairs(source: str, target: str, style: ProgressStyle) -> Pairs | None:
    """The sources and targets that a folder or a pattern stands for; None for a single video or standard input.

    Raises:
        InputError: see ``ls3d.enhance.find_videos`` and ``pair_files``, or the target is standard output.
    """
    if source == "-":
        return None
    with shown_progress(style, set()):
        videos = find_videos(source)
    if not videos:
        return None
    if target == "-":
        raise InputError(f"-: expected a folder, for the outputs of {len(videos)} videos")
    return pair_files(videos, target)


def run_list(pairs: Pairs, job: Job, style: ProgressStyle) -> int:
    """Do the job for every file and show what happened.

    Args:
        pairs: sources and targets.
        job: is called with a source, a target and a callback that shows progress.
        style: how progress is shown.

    Returns:
        The number of files that failed.

    Raises:
        InputError: see ``ls3d.enhance.enhance_files``.
    """
    messages: set[str] = set()  # about the current file
    results = []

    def start(source: Path, target: Path) -> EnhanceReport:
        messages.clear()
        with shown_progress(style, messages, str(source)) as show:
            return job(str(source), str(target), show)

    try:
        for result in enhance_files(pairs, start):
            results.append(result)
            if result.report is not None:
                show_report(result.report, style, messages, str(result.source))
            else:
                assert result.error is not None
                show_failure(str(result.source), result.error, style)
    finally:
        total = "1 file" if len(pairs) == 1 else f"{len(pairs)} files"
        show_summary([result.status for result in results], total, len(pairs) - len(results), style)
    return sum(result.error is not None for result in results)
