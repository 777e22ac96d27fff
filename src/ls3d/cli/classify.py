"""``ls3d classify``: the classes of videos, and of their parts over time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn

from ls3d.terminal import console

if TYPE_CHECKING:
    from ls3d.inference import Classifier
    from ls3d.recognition import TimeLine


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(classify)


def classify(
    paths: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Video files, or folders of them.")],
    model: Annotated[str, typer.Option(help="Weights file of a recognition network, as ls3d train writes it.")],
    top: Annotated[int, typer.Option(help="Number of classes to show.", min=1)] = 5,
    stride: Annotated[
        float | None, typer.Option(help="Seconds from one window to the next; default: half a clip.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the time line to this file.", dir_okay=False)] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a row for each window to this file.", dir_okay=False)] = None,
    device: Annotated[str, typer.Option(help="Device that runs the model: auto, cpu, cuda, cuda:1, ...")] = "auto",
) -> None:
    """Name the class of videos: the mean over a window that slides over each of them.

    Example: ls3d classify --model weights.safetensors holiday.mp4 --top 3 --json holiday.json
    """
    from ls3d.errors import InputError
    from ls3d.inference import Classifier
    from ls3d.models import RecognitionNet, load_model
    from ls3d.recognition import save_csv, save_json

    for name, file in (("json", json), ("csv", csv)):
        if file is not None and not file.parent.is_dir():
            raise InputError(f"{file} can't be written: there is no folder {file.parent}", argument=name)
    network = load_model(model)
    if not isinstance(network, RecognitionNet):
        raise InputError(f"{model}: expected a network for recognition", argument="model")
    files = _find_videos(paths)
    found = []
    for file, time_line in _classify_all(Classifier(network, device), files, stride):
        best = ", ".join(f"{name} {100 * value:.1f} %" for name, value in time_line.best(top).items())
        console().print(f"{file}: {best}", soft_wrap=True)
        found.append(time_line)
    if json is not None:
        save_json(found, json, top)
    if csv is not None:
        save_csv(found, csv)
    if len(found) < len(files):
        raise InputError(f"{len(files) - len(found)} of {len(files)} videos could not be classified")


def _find_videos(paths: Sequence[Path]) -> list[Path]:
    """The files, and those in the folders.

    Raises:
        InputError: there are none.
    """
    from ls3d.data.labeled import VIDEO_SUFFIXES
    from ls3d.errors import InputError

    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(file for file in path.rglob("*") if file.suffix.lower() in VIDEO_SUFFIXES)
        else:
            files.append(path)
    if not files:
        raise InputError(f"{', '.join(map(str, paths))}: expected videos, or folders that hold some")
    return files


def _classify_all(
    classifier: Classifier, files: Sequence[Path], stride: float | None
) -> Iterator[tuple[Path, TimeLine]]:
    """Classify files; of several files, those that can't be decoded are named and left out."""
    from ls3d.errors import InputError
    from ls3d.recognition import classify_video

    shown = console(stderr=True)
    bar = Progress(TextColumn("{task.description}", markup=False), BarColumn(), console=shown, transient=True)
    with bar if shown.is_terminal else contextlib.nullcontext():
        task = bar.add_task("", total=None)
        for file in files:

            def progress(time: float, name: str = file.name) -> None:
                bar.update(task, description=f"{name} {time:.0f} s")

            progress(0)
            try:
                time_line = classify_video(classifier, file, stride=stride, progress=progress)
            except (InputError, OSError) as error:
                if len(files) == 1:
                    raise
                shown.print(f"left out: {error}", soft_wrap=True)
            else:
                yield file, time_line
