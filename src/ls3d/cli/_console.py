"""What commands write to standard error: progress, warnings and reports."""

from __future__ import annotations

import json
import logging
import signal
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from ls3d.enhance.options import WORKSPACE_SUFFIX
from ls3d.enhance.report import EnhanceReport
from ls3d.progress import JsonMessages, JsonProgress, Progress, ProgressCallback, format_duration
from ls3d.terminal import console, one_line

#: Exit status if files of a list failed.
SOME_FAILED = 3

#: Exit status after Ctrl-C, as shells have it.
INTERRUPTED = 130

#: Exit status after SIGTERM.
TERMINATED = 143


class TerminatedError(SystemExit):
    """The process has got SIGTERM; without a handler, it exits with ``TERMINATED``."""

    def __init__(self) -> None:
        super().__init__(TERMINATED)


@contextmanager
def terminable() -> Iterator[None]:
    """Raise ``TerminatedError`` at SIGTERM, so that everything is left in order, as after Ctrl-C."""

    def stop(*_: object) -> None:
        raise TerminatedError

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class ProgressStyle(StrEnum):
    """How progress is shown."""

    bar = "bar"
    json = "json"
    none = "none"


def show_failure(name: str, error: Exception, style: ProgressStyle = ProgressStyle.none) -> None:
    """Write that a video of several failed, and why."""
    from ls3d.cli.main import sentence  # which imports this module

    reason = sentence(error)
    if style is ProgressStyle.json:
        typer.echo(json.dumps({"source": name, "error": reason}), err=True)
        return
    text = reason if name in reason else f"{name}: {reason}"
    console(stderr=True).print(Text.assemble(("error:", "bold red"), " ", one_line(text)), soft_wrap=True)


def show_summary(statuses: Sequence[str], total: str, unfinished: int, style: ProgressStyle) -> None:
    """Write how many videos are done, were done already, failed, and were not begun or not finished.

    Args:
        statuses: of those that have ended.
        total: the number of all, with its noun.
        unfinished: the number of the others.
        style: how progress is shown.
    """
    counts = Counter(statuses)
    counts["unfinished"] = unfinished
    summary = {name: counts[name] for name in ("done", "already done", "failed", "unfinished")}
    if style is ProgressStyle.json:
        typer.echo(json.dumps({"summary": summary}), err=True)
    elif style is ProgressStyle.bar:
        parts = [f"{count} {name}" for name, count in summary.items() if count]
        console(stderr=True).print(f"{total}: {', '.join(parts)}", soft_wrap=True)


@contextmanager
def shown_warnings(shown: Console) -> Iterator[None]:
    """Show the library's warnings, one line each, and each only once."""
    logger = logging.getLogger("ls3d")
    handler = _WarningHandler(shown, set())
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def shown_progress(
    style: ProgressStyle, messages: set[str], source: str | None = None
) -> Iterator[ProgressCallback | None]:
    """Yield a callback that shows progress on standard error; the library's messages are shown next to it.

    Args:
        style: how.
        messages: those that have been shown, which are not shown again; new ones are added.
        source: the file of a list, which JSON lines name; None for a single one.
    """
    shown = console(stderr=True)
    write = partial(_write_json, source=source)
    handler: logging.Handler = (
        JsonMessages(write, messages) if style is ProgressStyle.json else _WarningHandler(shown, messages)
    )
    logger = logging.getLogger("ls3d")
    levels = {each: each.level for each in map(logging.getLogger, ("ls3d.enhance", "ls3d.cli"))}
    states = JsonProgress(write) if style is ProgressStyle.json else None
    outer = list(logger.handlers)
    logger.handlers = [handler]
    if style is not ProgressStyle.none:
        for each in levels:
            each.setLevel(logging.INFO)
    try:
        if style is ProgressStyle.bar:
            with _bar(shown) as show:
                yield show
        else:
            yield states
    finally:
        if states is not None:
            states.finish()
        logger.handlers = outer
        for each, level in levels.items():
            each.setLevel(level)


def show_report(
    report: EnhanceReport, style: ProgressStyle, messages: Collection[str] = (), source: str | None = None
) -> None:
    """Show the result of a job on standard error.

    Args:
        report: the result.
        style: how progress was shown.
        messages: those that have been shown, among them most notes of the report.
        source: the file of a list, which JSON lines name; None for a single one.
    """
    if style is ProgressStyle.json:
        _write_json({"report": asdict(report)}, source)
        return
    shown = console(stderr=True)
    for sentence in report.notes:
        if sentence not in messages and not report.finished_before:
            _note(shown, sentence)
    if report.undecodable_packets:
        _note(shown, f"undecodable packets: {report.undecodable_packets}")
    if report.retimed_frames:
        _note(shown, f"frames without a usable timestamp: {report.retimed_frames}")
    if style is ProgressStyle.none:
        return
    if report.finished_before:
        shown.print(f"{one_line(report.target)}: finished by an earlier run; nothing was done", soft_wrap=True)
        return
    dropped = f" ({_count(report.duplicates, 'duplicate')} dropped)" if report.duplicates else ""
    resumed = f", {report.resumed} of them from an earlier run" if report.resumed else ""
    part = f"shard {report.shard}: " if report.shard else ""
    shown.print(
        f"{one_line(report.target)}: {part}{_count(report.frames_in, 'frame')}{dropped} became {report.frames_out} "
        f"in {report.seconds:.1f} s; {_count(report.cuts, 'cut')}, {_count(report.segments, 'segment')}{resumed}",
        soft_wrap=True,
    )
    if report.missing:
        shown.print(f"{_count(report.missing, 'segment')} of other shards not finished yet", soft_wrap=True)
    elif report.shard:
        shown.print(f"all segments are finished; to join them: ls3d join {one_line(report.target)}", soft_wrap=True)


def show_interruption(target: str, style: ProgressStyle) -> None:
    """Say what is kept of a job that was interrupted, and how to resume it.

    Args:
        target: the output as it was typed.
        style: how progress was shown.
    """
    folder = Path(f"{target.rstrip('/')}{WORKSPACE_SUFFIX}")
    if folder.is_dir():
        finished = _count(len(list(folder.glob("*.packets"))), "finished segment")
        kept = f"{finished} kept in {folder}: run the same command again to resume, or delete the folder"
    else:
        kept = f"nothing of {target} is kept"
    if style is ProgressStyle.json:
        _write_json({"interrupted": kept}, None)
    else:
        console(stderr=True).print(f"interrupted; {one_line(kept)}", soft_wrap=True)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _note(shown: Console, sentence: str) -> None:
    shown.print(Text.assemble(("note:", "yellow"), " ", one_line(sentence)), soft_wrap=True)


@contextmanager
def _bar(shown: Console) -> Iterator[ProgressCallback]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames, {task.fields[fps]} fps, ETA {task.fields[eta]}", markup=False),
        TimeElapsedColumn(),
    )
    bar = Bar(*columns, console=shown)
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


class _WarningHandler(logging.Handler):
    """Shows the library's messages: one line each, warnings as notes, and each only once."""

    def __init__(self, shown: Console, messages: set[str]) -> None:
        super().__init__(logging.INFO)
        self._console = shown
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message in self._messages:
            return
        self._messages.add(message)
        if record.levelno >= logging.WARNING:
            _note(self._console, message)
        else:
            self._console.print(one_line(message), soft_wrap=True)


def _write_json(values: Mapping[str, Any], source: str | None) -> None:
    """Write a line to standard error; it names the source if there are several."""
    typer.echo(json.dumps(values if source is None else {"source": source, **values}), err=True)
