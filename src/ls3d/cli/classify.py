"""``ls3d classify``: the classes of videos and streams, and of their parts over time."""

from __future__ import annotations

import contextlib
import json as json_format
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer
from rich.progress import BarColumn, Progress, TextColumn

from ls3d.cli._console import SOME_FAILED, show_failure, terminable
from ls3d.cli.enhance import standard_stream
from ls3d.files import check_folder_of
from ls3d.terminal import console

if TYPE_CHECKING:
    from ls3d.inference import Classifier
    from ls3d.recognition import Annotation, TimeLine, Window
    from ls3d.video.streams import StreamAddress

_STANDARD_INPUT = "-"
_STANDARD_OUTPUT = "-"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(classify)


def classify(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEO...",
            help="Video files, or folders of them; or one stream: - for standard input, a camera such as /dev/video0, "
            "avfoundation:0 or dshow:video=NAME, or an address such as rtsp://HOST/PATH, http://, udp://.",
        ),
    ],
    model: Annotated[
        str, typer.Option(help="Weights file, as ls3d train writes it, or name of a recognition network with weights.")
    ] = "i3d_inception",
    top: Annotated[int, typer.Option(help="Number of classes to show.", min=1)] = 5,
    stride: Annotated[
        float | None, typer.Option(help="Seconds from one window to the next; default: half a clip.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the time lines to this file.", dir_okay=False)] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a row for each window to this file.", dir_okay=False)] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the time line of a video to this file: .svg, .png, .pdf.", dir_okay=False)
    ] = None,
    annotate: Annotated[
        Path | None, typer.Option(help="Write the video with its labels shown to this file.", dir_okay=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file of --annotate.")] = False,
    json_lines: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Streams: write each window as a line of JSON; - for standard output."),
    ] = None,
    device: Annotated[str, typer.Option(help="Device that runs the model: auto, cpu, cuda, cuda:1, ...")] = "auto",
) -> None:
    """Name the class of videos: the mean over a window that slides over each of them; of a stream, also each window.

    The default network knows the 400 actions of Kinetics; ls3d weights get i3d_inception downloads its weights.
    A stream is classified until it ends or Ctrl-C stops it.

    Example: ls3d classify holiday.mp4

    Example: ls3d classify --model weights.safetensors holiday.mp4 --top 3 --json holiday.json

    Example: ls3d classify holiday.mp4 --annotate labeled.mp4 --plot holiday.svg

    Example: ls3d classify rtsp://camera.local/stream --json-lines windows.jsonl
    """
    outputs = _Outputs(json, csv, plot, annotate, overwrite)
    stream = _find_stream(paths)
    with terminable():
        if stream is None:
            _classify_files([Path(path) for path in paths], model, device, top, stride, outputs, json_lines)
        else:
            outputs.refuse()
            _classify_stream(stream, _load(model, device), top, stride, json_lines)


@dataclass(frozen=True)
class _Outputs:
    """The files to write, as the options of ``classify`` name them."""

    json: Path | None
    csv: Path | None
    plot: Path | None
    annotate: Path | None
    overwrite: bool

    def named(self) -> dict[str, Path]:
        """The files by option."""
        wanted = {"json": self.json, "csv": self.csv, "plot": self.plot, "annotate": self.annotate}
        return {name: file for name, file in wanted.items() if file is not None}

    def refuse(self) -> None:
        """Check that there are none, for a stream.

        Raises:
            InputError: there is one.
        """
        from ls3d.errors import InputError

        for name, file in self.named().items():
            raise InputError(f"{file}: expected a video file, not a stream; use --json-lines", argument=name)

    def check(self, files: Sequence[Path]) -> Annotation | None:
        """Check that they can be written, before long work; returns the annotation if there is to be one.

        Raises:
            InputError: one can't be written, or is for a single video.
        """
        from ls3d.errors import InputError
        from ls3d.evaluation.figure import check_figure_path
        from ls3d.recognition import Annotation

        for name, file in self.named().items():
            check_folder_of(file, name)
            if name in ("plot", "annotate") and len(files) > 1:
                raise InputError(f"{file}: expected a single video, not {len(files)}", argument=name)
        if self.plot is not None:
            check_figure_path(self.plot)
        return None if self.annotate is None else Annotation(files[0], self.annotate, self.overwrite)

    def write(self, time_lines: Sequence[TimeLine], top: int) -> None:
        """Write all but the annotation."""
        from ls3d.recognition import plot_time_line, save_csv, save_json

        if self.json is not None:
            save_json(time_lines, self.json, top)
        if self.csv is not None:
            save_csv(time_lines, self.csv)
        if self.plot is not None:
            plot_time_line(time_lines[0], self.plot, top)


def _classify_files(
    paths: Sequence[Path],
    model: str,
    device: str,
    top: int,
    stride: float | None,
    outputs: _Outputs,
    json_lines: str | None,
) -> None:
    """Show the classes of each file, and write the outputs."""
    from ls3d.errors import InputError

    if json_lines is not None:
        raise InputError(f"{json_lines}: expected a stream; use --json for files", argument="json_lines")
    files = _find_videos(paths)
    annotation = outputs.check(files)
    found = []
    with _shown_time() as show:
        for file, time_line in _classify_all(_load(model, device), files, stride, show):
            console().print(f"{file}: {_listed(time_line.best(top))}", soft_wrap=True)
            found.append(time_line)
        if not found:
            raise InputError(f"none of {len(files)} videos could be classified")
        outputs.write(found, top)
        if annotation is not None:
            annotation.write(found[0], partial(show, f"writing {outputs.annotate}"))
    if failed := len(files) - len(found):
        console(stderr=True).print(f"{len(files)} files: {len(found)} classified, {failed} failed")
        raise SystemExit(SOME_FAILED)


def _load(model: str, device: str) -> Classifier:
    """Load a network.

    Raises:
        InputError: it can't be loaded, or is not for recognition.
    """
    from ls3d.inference import Classifier
    from ls3d.models import load_recognition_model

    return Classifier(load_recognition_model(model), device)


def _listed(best: dict[str, float]) -> str:
    return ", ".join(f"{name} {100 * value:.1f} %" for name, value in best.items())


def _find_stream(paths: Sequence[str]) -> StreamAddress | BinaryIO | None:
    """The stream that the arguments name; None for files.

    Raises:
        InputError: there are several, or files besides it.
    """
    from ls3d.errors import InputError
    from ls3d.video.streams import stream_address

    streams = [path for path in paths if path == _STANDARD_INPUT or stream_address(path) is not None]
    if not streams:
        return None
    if len(paths) > 1:
        raise InputError(f"{streams[0]} is a stream; expected no other video besides it")
    return standard_stream(sys.stdin, "input", "rb") if paths[0] == _STANDARD_INPUT else stream_address(paths[0])


def _classify_stream(
    source: StreamAddress | BinaryIO,
    classifier: Classifier,
    top: int,
    stride: float | None,
    json_lines: str | None,
) -> None:
    """Show each window as it comes, and at the end, also after Ctrl-C, the mean over all windows."""
    from ls3d.recognition import classify_stream
    from ls3d.recognition.classify import MeanProbabilities, best_classes

    mean = MeanProbabilities()
    try:
        with _window_writer(classifier.classes, top, json_lines) as write:
            for window in classify_stream(classifier, source, stride=stride):
                mean.add(window.probabilities)
                write(window)
    finally:
        if mean.count:
            # Lines of JSON on standard output are not followed by other text.
            shown = console(stderr=json_lines == _STANDARD_OUTPUT)
            best = best_classes(classifier.classes, mean.values, top)
            shown.print(f"mean of {mean.count} windows: {_listed(best)}", soft_wrap=True)


@contextlib.contextmanager
def _window_writer(classes: Sequence[str], top: int, json_lines: str | None) -> Iterator[Callable[[Window], None]]:
    """Yield a function that writes a window: text and, if wanted, a line of JSON, which replaces it on the same output.

    Raises:
        OSError: the file can't be written.
    """
    from ls3d.recognition.classify import best_classes, window_to_dict

    shown = console()
    with contextlib.ExitStack() as stack:
        file = None
        if json_lines == _STANDARD_OUTPUT:
            file = sys.stdout
        elif json_lines is not None:
            file = stack.enter_context(open(json_lines, "w", encoding="utf-8"))

        def write(window: Window) -> None:
            if file is not None:
                file.write(json_format.dumps(window_to_dict(window, classes, top)) + "\n")
                file.flush()
            if file is not sys.stdout:
                best = best_classes(classes, window.probabilities, top)
                shown.print(f"{window.start:.1f}-{window.end:.1f} s: {_listed(best)}", soft_wrap=True)

        yield write


def _find_videos(paths: Sequence[Path]) -> list[Path]:
    """The files, and those in the folders.

    Raises:
        InputError: there are none.
    """
    from ls3d.errors import InputError
    from ls3d.video.names import is_video

    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(file for file in path.rglob("*") if is_video(file))
        else:
            files.append(path)
    if not files:
        raise InputError(f"{', '.join(map(str, paths))}: expected videos, or folders that hold some")
    return files


@contextlib.contextmanager
def _shown_time() -> Iterator[Callable[[str, float], None]]:
    """Yield a function that shows what is done, and the time in the video in seconds, on a terminal."""
    shown = console(stderr=True)
    bar = Progress(TextColumn("{task.description}", markup=False), BarColumn(), console=shown, transient=True)
    with bar if shown.is_terminal else contextlib.nullcontext():
        task = bar.add_task("", total=None)
        yield lambda name, time: bar.update(task, description=f"{name} {time:.0f} s")


def _classify_all(
    classifier: Classifier, files: Sequence[Path], stride: float | None, show: Callable[[str, float], None]
) -> Iterator[tuple[Path, TimeLine]]:
    """Classify files; of several files, those that can't be decoded are named and left out."""
    from ls3d.errors import InputError
    from ls3d.recognition import classify_video

    for file in files:
        try:
            time_line = classify_video(classifier, file, stride=stride, progress=partial(show, file.name))
        except (InputError, OSError) as error:
            if len(files) == 1:
                raise
            show_failure(str(file), error)
        else:
            yield file, time_line
