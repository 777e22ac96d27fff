"""``ls3d evaluate``: measure a network under a published protocol, or a classifier on labeled videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ls3d.cli._typed import is_typed
from ls3d.files import check_folder_of
from ls3d.terminal import console

#: As ``ls3d.evaluation.recognition.views.Convolutional``, which is not imported before the command runs.
Convolutional = Literal["crop", "frame"]

#: The protocol that is none of the table.
_SVM = "c3d-svm"

#: The options that make a ``ViewProtocol``.
_VIEWS = ("clips", "crops", "dense", "convolutional")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(evaluate)


def evaluate(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(help="Name of a model (vfi, blend, bicubic, ...) or a weights file.", show_default=False),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Name of a protocol, such as ucf101 or vid4-bi-y (see --list), or c3d-svm.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the protocol's data set; without a protocol, videos by class, or a CSV file."),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the scores to this file.", dir_okay=False)] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures to this file.", dir_okay=False)] = None,
    device: Annotated[str, typer.Option(help="Device that runs the model: auto, cpu, cuda, cuda:1, ...")] = "auto",
    restart: Annotated[bool, typer.Option("--restart", help="Measure all clips again.")] = False,
    group: Annotated[
        list[str] | None, typer.Option(help="Labeled videos: only those of this group, such as test or S8.")
    ] = None,
    train_group: Annotated[
        list[str] | None, typer.Option(help="Protocol c3d-svm: groups to train on; default: all but --group.")
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Protocol c3d-svm: layer of the features, such as fc6.")] = None,
    dimensions: Annotated[
        list[int] | None, typer.Option(help="Protocol c3d-svm: also on this number of principal components.")
    ] = None,
    clips: Annotated[int, typer.Option(help="Labeled videos: clips of each, evenly spaced.")] = 10,
    crops: Annotated[int, typer.Option(help="Labeled videos: crops of each clip, 1 or 3.")] = 1,
    dense: Annotated[
        float | None, typer.Option(help="Labeled videos: a clip every so many seconds, instead of --clips.")
    ] = None,
    convolutional: Annotated[
        Convolutional | None,
        typer.Option(help="Labeled videos: apply the classifier at every position of a larger crop, or of the frame."),
    ] = None,
    confusion: Annotated[
        Path | None, typer.Option(help="Labeled videos: draw the confusion matrix: .svg, .png, .pdf.", dir_okay=False)
    ] = None,
    list_protocols: Annotated[bool, typer.Option("--list", help="List the protocols and their data sets.")] = False,
) -> None:
    """Measure a model as papers do, and print the published table with its row; or a classifier on labeled videos.

    With --json, an evaluation that was interrupted is resumed when the same command runs again.

    Example: ls3d evaluate vfi --protocol ucf101 --data ucf101_interp_ours --json vfi-ucf101.json

    Example: ls3d evaluate weights.safetensors --data videos --group test --clips 10 --crops 3

    Example: ls3d evaluate weights.safetensors --data videos --dense 1 --convolutional frame --confusion confusion.svg
    """
    from ls3d.errors import InputError
    from ls3d.evaluation.table import show_protocols

    if list_protocols:
        show_protocols()
        return
    if model is None or data is None:
        raise InputError("expected ls3d evaluate MODEL --data DIR, and --protocol NAME; --list shows the protocols")
    if json is not None:
        check_folder_of(json, "json")
    if protocol == _SVM:
        _refuse_others(context, "json", "device", "group", "train_group", "layer", "dimensions")
        _evaluate_svm(model, data, group, train_group, layer, dimensions or (), json, device)
    elif protocol is not None:
        _evaluate_protocol(context, model, protocol, data, json, html, device, not restart)
    else:
        _refuse_others(context, "json", "device", "group", "confusion", *_VIEWS)
        if dense is not None and is_typed(context, "clips"):
            raise InputError(f"{clips}: expected either --clips or --dense", argument="clips")
        _evaluate_videos(model, data, (clips, crops, dense, convolutional), group, confusion, json, device)


def _refuse_others(context: typer.Context, *names: str) -> None:
    """Refuse the options that were typed but are not those of this kind of test, which would do nothing.

    Raises:
        InputError: there is one.
    """
    from ls3d.errors import InputError

    protocol = context.params["protocol"]
    test = "a test without --protocol" if protocol is None else f"the protocol {protocol}"
    for name in context.params:
        if name not in ("model", "protocol", "data", *names) and is_typed(context, name):
            raise InputError(f"is not an option of {test}", argument=name)


def _evaluate_protocol(
    context: typer.Context,
    model: str,
    protocol: str,
    data: Path,
    json: Path | None,
    html: Path | None,
    device: str,
    resume: bool,
) -> None:
    """Measure a network under a protocol of the table."""
    from ls3d.evaluation import evaluate as run
    from ls3d.evaluation.registry import get_protocol
    from ls3d.evaluation.table import show

    chosen = get_protocol(protocol)
    _refuse_others(context, "json", "html", "device", "restart")
    with _shown_progress() as progress:
        report = run(
            model, chosen, data, json_path=json, html_path=html, device=device, resume=resume, progress=progress
        )
    show(report)


def _evaluate_videos(
    model: str,
    data: Path,
    views: tuple[int, int, float | None, Convolutional | None],
    groups: Sequence[str] | None,
    confusion: Path | None,
    json: Path | None,
    device: str,
) -> None:
    """Measure a classifier on labeled videos; ``views`` are the arguments of ``ViewProtocol``."""
    from ls3d.evaluation.figure import check_figure_path
    from ls3d.evaluation.recognition import ViewProtocol, evaluate_recognition, plot_confusion
    from ls3d.evaluation.table import show_recognition

    if confusion is not None:
        check_figure_path(confusion, "confusion")
    protocol = ViewProtocol(*views)
    with _shown_progress() as progress:
        found = evaluate_recognition(
            model, data, protocol, groups=groups, json_path=json, device=device, progress=progress
        )
    show_recognition(found)
    if confusion is not None:
        plot_confusion(found, confusion)


def _evaluate_svm(
    model: str,
    data: Path,
    groups: Sequence[str] | None,
    train_groups: Sequence[str] | None,
    layer: str | None,
    dimensions: Sequence[int],
    json: Path | None,
    device: str,
) -> None:
    """Measure features of a network by support vector machines."""
    from ls3d.errors import InputError
    from ls3d.recognition import evaluate_svm, extract_features

    if not groups:
        raise InputError(f"is missing: the protocol {_SVM} tests the videos of a group", argument="group")
    with _shown_progress() as progress:
        features = extract_features(model, data, layer, device=device, progress=progress)
    rest = features.of_groups(train_groups) if train_groups else features.of_groups(groups, inverted=True)
    machine = evaluate_svm(rest, features.of_groups(groups), dimensions)
    for count, top1 in {**machine.by_dimension, machine.dimensions: machine.top1}.items():
        console().print(f"{count} dimensions: top-1 {top1:.1f} %", soft_wrap=True)
    if json is not None:
        machine.save(json)


@contextmanager
def _shown_progress() -> Iterator[Callable[[int, int, str], None]]:
    """Yield a callback that shows the number of finished clips, of all clips, and a name, on a terminal."""
    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shown = console(stderr=True)
    bar = Progress(*columns, console=shown, transient=True)
    # Elsewhere than on a terminal, Rich shows an empty line instead of a bar.
    with bar if shown.is_terminal else nullcontext():
        task = bar.add_task("opening", total=None)

        def progress(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=name)

        yield progress
