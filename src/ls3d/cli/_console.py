"""What commands write to standard error: progress, warnings and reports."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum

import typer
from rich.console import Console

from ls3d.enhance.report import EnhanceReport
from ls3d.progress import Progress, ProgressCallback

_JSON_INTERVAL = 0.2  # seconds between two lines


class ProgressStyle(StrEnum):
    """How progress is shown."""

    bar = "bar"
    json = "json"
    none = "none"


@contextmanager
def shown_progress(style: ProgressStyle) -> Iterator[ProgressCallback | None]:
    """Yield a callback that shows progress on standard error; warnings of the library are shown next to it."""
    console = Console(stderr=True)
    handler = _WarningHandler(console)
    logging.getLogger("ls3d").addHandler(handler)
    try:
        if style is ProgressStyle.bar:
            with _bar(console) as show:
                yield show
        else:
            yield _JsonLines() if style is ProgressStyle.json else None
    finally:
        logging.getLogger("ls3d").removeHandler(handler)


def show_report(report: EnhanceReport, style: ProgressStyle) -> None:
    """Show the result of a job on standard error."""
    if style is ProgressStyle.json:
        typer.echo(json.dumps({"report": asdict(report)}), err=True)
        return
    if style is ProgressStyle.none:
        return
    console = Console(stderr=True)
    for sentence in report.notes:
        _note(console, sentence)
    if report.undecodable_packets:
        _note(console, f"undecodable packets: {report.undecodable_packets}")
    if report.retimed_frames:
        _note(console, f"frames without a usable timestamp: {report.retimed_frames}")
    resumed = f", {report.resumed} of them from an earlier run" if report.resumed else ""
    console.print(
        f"{report.target}: {report.frames_in} frames became {report.frames_out} in {report.seconds:.1f} s; "
        f"{report.cuts} cuts, {report.segments} segments{resumed}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _note(console: Console, sentence: str) -> None:
    console.print("[yellow]note:[/]", end=" ")
    console.print(sentence, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _bar(console: Console) -> Iterator[ProgressCallback]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames, {task.fields[fps]} fps, ETA {task.fields[eta]}"),
        TimeElapsedColumn(),
    )
    bar = Bar(*columns, console=console)
    task = bar.add_task("reading", total=None, fps="-", eta="unknown")

    def show(state: Progress) -> None:
        bar.start()  # not before, so that an error at the beginning is shown without a bar
        bar.update(
            task,
            description="joining" if state.phase == "joining" else "enhancing",
            completed=state.done,
            total=max(state.total, state.done) if state.total else None,
            fps=f"{state.fps:.1f}",
            eta=format_duration(state.remaining),
        )

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()


def format_duration(seconds: float | None) -> str:
    """Hours, minutes and seconds."""
    if seconds is None:
        return "unknown"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


class _JsonLines:
    """Writes progress to standard error as JSON, a few lines per second and one at the end of every phase."""

    def __init__(self) -> None:
        self._latest = float("-inf")

    def __call__(self, state: Progress) -> None:
        now = time.monotonic()
        if now - self._latest >= _JSON_INTERVAL or state.done == state.total:
            self._latest = now
            typer.echo(json.dumps(asdict(state)), err=True)


class _WarningHandler(logging.Handler):
    """Shows the library's warnings, one line each, and each only once."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console
        self._shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self._shown:
            self._shown.add(message)
            _note(self._console, message)
