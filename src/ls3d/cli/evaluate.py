"""``ls3d evaluate``: measure a network under a published protocol, or a classifier on labeled videos."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ls3d.terminal import console

#: As ``ls3d.evaluation.recognition.views.Convolutional``, which is not imported before the command runs.
Convolutional = Literal["crop", "frame"]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(evaluate)


def evaluate(
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
    from ls3d.evaluation import evaluate as run
    from ls3d.evaluation.figure import check_figure_path
    from ls3d.evaluation.recognition import ViewProtocol, evaluate_recognition, plot_confusion
    from ls3d.evaluation.table import show, show_protocols, show_recognition

    if list_protocols:
        show_protocols()
        return
    if model is None or data is None:
        raise InputError("expected ls3d evaluate MODEL --data DIR, and --protocol NAME; --list shows the protocols")
    if confusion is not None:
        check_figure_path(confusion, "confusion")
    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shown = console(stderr=True)
    bar = Progress(*columns, console=shown, transient=True)
    # Elsewhere than on a terminal, Rich shows an empty line instead of a bar.
    with bar if shown.is_terminal else contextlib.nullcontext():
        task = bar.add_task("opening", total=None)

        def progress(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=name)

        if protocol == "c3d-svm":
            from ls3d.recognition import evaluate_svm, extract_features

            if not group:
                raise InputError("is missing: the protocol c3d-svm tests the videos of a group", argument="group")
            features = extract_features(model, data, layer, device=device, progress=progress)
            rest = features.of_groups(train_group) if train_group else features.of_groups(group, inverted=True)
            machine = evaluate_svm(rest, features.of_groups(group), dimensions or ())
            if json is not None:
                machine.save(json)
            for count, top1 in {**machine.by_dimension, machine.dimensions: machine.top1}.items():
                console().print(f"{count} dimensions: top-1 {top1:.1f} %", soft_wrap=True)
            return
        if protocol is None:
            views = ViewProtocol(clips, crops, dense, convolutional)
            found = evaluate_recognition(
                model, data, views, groups=group, json_path=json, device=device, progress=progress
            )
            show_recognition(found)
            if confusion is not None:
                plot_confusion(found, confusion)
            return
        report = run(
            model,
            protocol,
            data,
            json_path=json,
            html_path=html,
            device=device,
            resume=not restart,
            progress=progress,
        )
    show(report)
