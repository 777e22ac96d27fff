"""``ls3d search``: compare recognition networks of different clips, depths and convolutions, trained alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ls3d.cli.train import Overrides, shown_stop, silence_notices
from ls3d.files import check_folder_of
from ls3d.terminal import console

if TYPE_CHECKING:
    from ls3d.reproduce import Search


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(search)


def search(
    data: Annotated[str, typer.Argument(help="Folder of videos by class, LABEL/VIDEO, or CSV file.")],
    overrides: Overrides = None,
    fps: Annotated[list[float] | None, typer.Option(help="Frames per second of clips; can be repeated.")] = None,
    size: Annotated[list[int] | None, typer.Option(help="Height and width of clips; can be repeated.")] = None,
    depth: Annotated[list[int] | None, typer.Option(help="Layers: 10, 16, 18 or 34; can be repeated.")] = None,
    convolution: Annotated[list[str] | None, typer.Option(help="Kind: 2d, mixed, 2.5d or 3d; can be repeated.")] = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames of a clip.")] = 8,
    seeds: Annotated[int, typer.Option(min=1, help="Number of trainings of each network.")] = 1,
    json: Annotated[Path | None, typer.Option(help="Write the result to this file.", dir_okay=False)] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw accuracy against cost to this file: .svg, .png, .pdf.", dir_okay=False)
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder of the trainings.")] = Path("runs/search"),
) -> None:
    """Train recognition networks with equal budgets, and print accuracy against multiply-adds and parameters.

    All combinations of the chosen values are trained. Without any, the four axes of the Res3D paper are varied one at
    a time. If interrupted, run the same command again to resume.

    Example: ls3d search videos --depth 10 --depth 18 --convolution 2d --convolution 3d optimization.steps=1000
    """
    from ls3d.evaluation.figure import check_figure_path
    from ls3d.reproduce import search_architectures
    from ls3d.training.processes import is_main_process

    if json is not None:
        check_folder_of(json, "json")
    if plot is not None:
        check_figure_path(plot)
    silence_notices()
    shown = console(stderr=True)
    with shown_stop():
        result = search_architectures(
            data,
            overrides or (),
            fps=fps or (),
            size=size or (),
            depth=depth or (),
            convolution=convolution or (),
            frames=frames,
            seeds=seeds,
            output=output,
            progress=lambda done, total, name: shown.print(f"training {done + 1} of {total}: {name}"),
        )
    if not is_main_process():
        return
    if json is not None:
        result.save(json)
    if plot is not None:
        result.plot(plot)
    _show(result)


def _show(result: Search) -> None:
    table = Table(title=f"{result.data}: {result.classes} classes", title_justify="left")
    table.add_column("kind")
    for heading in ("layers", "size", "fps", "parameters", "GMACs", "top-1", "top-5"):
        table.add_column(heading, justify="right")
    for row in result.results:
        point = row.architecture
        spread = "" if row.spread is None else f" ± {row.spread:.1f}"
        top5 = sum(row.top5.values()) / len(row.top5)
        costs = f"{row.parameters / 1e6:.2f} M", f"{row.macs / 1e9:.3f}"
        accuracy = f"{row.mean:.1f}{spread}", f"{top5:.1f}"
        table.add_row(point.convolution, str(point.depth), str(point.size), f"{point.fps:g}", *costs, *accuracy)
    shown = console()
    shown.print(table)
    shown.print(
        f"{result.steps} steps of {result.batch_size} clips of {result.frames} frames each; accuracy in % on the "
        f"validation videos, chance {100 / result.classes:.1f}.",
        style="dim",
    )
