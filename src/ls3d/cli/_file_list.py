"""Running a command on a list of files: progress and report of each, a summary, and the exit status."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from ls3d.cli._console import ProgressStyle, show_failure, show_report, shown_progress
from ls3d.enhance.files import FileResult, enhance_files, find_videos, pair_files
from ls3d.enhance.report import EnhanceReport
from ls3d.errors import InputError
from ls3d.progress import ProgressCallback
from ls3d.terminal import console

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
                _show_failure(result, style)
    finally:
        _show_summary(results, len(pairs), style)
    return sum(result.error is not None for result in results)


def _show_failure(result: FileResult, style: ProgressStyle) -> None:
    from ls3d.cli.main import sentence  # which imports this module

    assert result.error is not None
    name, reason = str(result.source), sentence(result.error)
    if style is ProgressStyle.json:
        typer.echo(json.dumps({"source": name, "error": reason}), err=True)
    else:
        show_failure(name, reason)


def _show_summary(results: Sequence[FileResult], total: int, style: ProgressStyle) -> None:
    """How many files are done, were done already, failed, and were not begun or not finished."""
    counts = Counter[str](result.status for result in results)
    counts["unfinished"] = total - len(results)
    summary = {name: counts[name] for name in ("done", "already done", "failed", "unfinished")}
    if style is ProgressStyle.json:
        typer.echo(json.dumps({"summary": summary}), err=True)
    elif style is ProgressStyle.bar:
        parts = [f"{count} {name}" for name, count in summary.items() if count]
        files = "1 file" if total == 1 else f"{total} files"
        console(stderr=True).print(f"{files}: {', '.join(parts)}", soft_wrap=True)
