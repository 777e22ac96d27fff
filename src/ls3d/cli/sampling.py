"""``ls3d sampling``: where an output pixel comes from in the input frames."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from ls3d.errors import InputError
from ls3d.terminal import console

if TYPE_CHECKING:
    from ls3d.explain import PixelTrace


class Kind(StrEnum):
    """What is drawn on the input frames."""

    samples = "samples"
    density = "density"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(sampling)


def sampling(
    source: Annotated[str, typer.Argument(metavar="IN", help="A video, or a folder of images.")],
    at: Annotated[str, typer.Option(metavar="X,Y", help="The pixel of the output frame: column and row, from 0.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="File to write: a picture (.png, .svg, .pdf, .jpg), .npz, or a video.",
            dir_okay=False,
        ),
    ],
    frame: Annotated[
        int, typer.Option(min=0, help="Frame to restore, or the first of two to interpolate between.")
    ] = 0,
    frames: Annotated[int, typer.Option(min=1, help="Number of frames, for a video, .npz or --spread.")] = 1,
    model: Annotated[str, typer.Option(help="A network's name, or its weights file.")] = "vfi",
    compare: Annotated[
        list[str] | None, typer.Option(help="Another network of the same task, drawn below; may be repeated.")
    ] = None,
    time: Annotated[float, typer.Option(help="Time of the output between two frames, 0 to 1.")] = 0.5,
    sigma: Annotated[
        float | None, typer.Option(help="Noise level for denoising, 0 to 255; default: estimated.")
    ] = None,
    size: Annotated[int, typer.Option(min=1, help="Side of the square of output pixels that is traced.")] = 1,
    kind: Annotated[Kind, typer.Option(help="The samples, or the gradient by the input pixels.")] = Kind.samples,
    layers: Annotated[
        Path | None, typer.Option(help="Draw offsets and masks of the model's layers to this file.", dir_okay=False)
    ] = None,
    spread: Annotated[
        Path | None, typer.Option(help="Draw the spread of samples against motion to this file.", dir_okay=False)
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Show which pixels of the input frames an output pixel is made of, as in figures 1 and 3 of the LS3D paper.

    Example: ls3d sampling film.mkv --frame 120 --at 320,180 -o samples.png --compare blend
    """
    from ls3d.explain import explain_pixel

    x, y = _read_pixel(at)
    if sigma is not None and not 0 <= sigma <= 255:
        raise InputError(f"{sigma:g}: expected 0 to 255", argument="sigma")
    found = explain_pixel(
        source,
        output,
        x,
        y,
        frame=frame,
        frames=frames,
        models=[model, *(compare or ())],
        time=time,
        sigma=None if sigma is None else sigma / 255,
        size=size,
        kind=kind.value,
        layers=layers,
        spread=spread,
        device=device,
        overwrite=overwrite,
    )
    shown = console()
    for name, pixels in found.items():
        shown.print(_table(name, pixels[0]))
    written = ", ".join(str(path) for path in (output, layers, spread) if path is not None)
    shown.print(Text(f"written: {written}"), soft_wrap=True)


def _read_pixel(text: str) -> tuple[int, int]:
    column, _, row = text.partition(",")
    try:
        return int(column), int(row)
    except ValueError:
        raise InputError(f"{text}: expected a column and a row, such as 320,180", argument="at") from None


def _table(model: str, pixel: PixelTrace) -> Table:
    """Share and center of the samples in each input frame, relative to the pixel's own position."""
    table = Table(
        "frame", "weight", "samples", "center (x, y), from the pixel", title=model, title_justify="left", box=None
    )
    for column in table.columns:
        column.justify = "right"
    points = pixel.points
    for index, number in enumerate(pixel.numbers):
        own = points.frame == index
        if own.any():
            x, y = (there - here for there, here in zip(points.center(index), pixel.position, strict=True))
            share = points.weight[own].sum() / points.total
            table.add_row(str(number), f"{share:.0%}", str(own.sum()), f"{x:+.2f}, {y:+.2f}")
    return table
