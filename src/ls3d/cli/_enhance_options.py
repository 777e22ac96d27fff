"""Command-line options generated from ``EnhanceOptions``, so that names, defaults and help texts are stated once."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import Field, fields, replace
from functools import partial
from typing import Annotated, Any, get_type_hints

import typer

from ls3d.cli._cluster import cluster_option, run_and_show
from ls3d.cli._console import (
    INTERRUPTED,
    SOME_FAILED,
    TERMINATED,
    ProgressStyle,
    TerminatedError,
    show_interruption,
    show_report,
    shown_progress,
    terminable,
)
from ls3d.cli._file_list import find_pairs, run_list
from ls3d.enhance.calls import EnhanceCall
from ls3d.enhance.options import EnhanceOptions
from ls3d.enhance.report import EnhanceReport
from ls3d.enhance.texts import read_bytes, read_fraction
from ls3d.errors import InputError, OutputExistsError
from ls3d.progress import ProgressCallback
from ls3d.terminal import one_line
from ls3d.video.names import read_encoder_options

#: Options that are read as text here, because their numbers may be fractions or have units.
_METAVARS = {
    "max_memory": "BYTES[K|M|G|T]",
    "start": "SECONDS",
    "duration": "SECONDS",
    "image_rate": "FPS",
    "encoder_options": "KEY=VALUE,...",
    "shard": "I/N",
}

#: Options with a flag of another name.
_FLAGS = {"resume": "--resume/--restart"}


def with_enhance_options(command: Callable[..., EnhanceCall]) -> Callable[..., None]:
    """Make a command of a function that describes a job.

    Args:
        command: its arguments are those of the job, among them ``source`` and ``target``, and the keyword argument
            ``options: EnhanceOptions``.

    Returns:
        A function for ``typer`` that has one argument for each field of ``EnhanceOptions`` in place of ``options``,
        ``--preview``, ``--cluster``, and ``--progress`` for how progress is shown; it runs the job and shows the
        report. If the source is a folder of videos or a pattern, the job is done for each of them.
    """
    own = [
        parameter
        for name, parameter in inspect.signature(command, eval_str=True).parameters.items()
        if name != "options"
    ]

    def run(progress: ProgressStyle, cluster: str | None, **values: Any) -> None:
        options = _read_options(values)
        arguments = {each.name: values[each.name] for each in own}
        started = [values["target"]]  # outputs, of which the last is unfinished after an interruption

        def job(options: EnhanceOptions, source: str, target: str, show: ProgressCallback | None) -> EnhanceReport:
            started.append(target)
            return _run_call(describe(options, source, target), show)

        def describe(options: EnhanceOptions, source: str, target: str) -> EnhanceCall:
            return command(**{**arguments, "source": source, "target": target}, options=options)

        if cluster is not None:
            _run_on_cluster(partial(describe, options), values["source"], values["target"], cluster, progress)
            return
        pairs = find_pairs(values["source"], values["target"], progress)
        try:
            with terminable():
                if pairs is None:
                    _run_one(partial(job, source=values["source"], target=values["target"]), options, progress)
                elif run_list(pairs, partial(job, options), progress):
                    raise SystemExit(SOME_FAILED)
        except (KeyboardInterrupt, TerminatedError) as stop:
            show_interruption(started[-1], progress)
            raise SystemExit(INTERRUPTED if isinstance(stop, KeyboardInterrupt) else TERMINATED) from stop

    parameters = [*own, *_parameters()]
    run.__name__ = command.__name__
    run.__doc__ = command.__doc__
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _run_call(call: EnhanceCall, progress: ProgressCallback | None) -> EnhanceReport:
    """Call the function of ``ls3d.enhance``."""
    from ls3d import enhance

    functions: dict[str, Callable[..., EnhanceReport]] = {
        "interpolate": enhance.interpolate,
        "upscale": enhance.upscale,
        "denoise": enhance.denoise,
        "enhance": enhance.enhance,
    }
    run = functions[call.function]
    return run(call.source, call.target, **call.arguments, options=call.options, progress=progress)


def _run_on_cluster(
    describe: Callable[[str, str], EnhanceCall], source: str, target: str, cluster: str, style: ProgressStyle
) -> None:
    """Do the job, for one video or several, by many workers.

    Raises:
        InputError: source or target is a pipe, or only a shard is asked for.
    """
    if "-" in (source, target):
        raise InputError("-: a pipe can't be divided among workers; expected a file", argument="cluster")
    pairs = None if "://" in source else find_pairs(source, target, style)
    names = [(source, target)] if pairs is None else [(str(video), str(output)) for video, output in pairs]
    calls = [describe(*each) for each in names]
    if calls[0].options.shard is not None:
        raise InputError(f"{calls[0].options.shard}: can't be combined with a cluster", argument="shard")
    run_and_show(calls, cluster, style)


def _run_one(job: Callable[..., EnhanceReport], options: EnhanceOptions, style: ProgressStyle) -> None:
    """Do a job and show its report; if its output exists, the user is asked first."""
    messages: set[str] = set()

    def start(options: EnhanceOptions) -> EnhanceReport:
        with shown_progress(style, messages) as show:
            return job(options, show=show)

    try:
        report = start(options)
    except OutputExistsError as error:
        if not _may_overwrite(error):
            raise
        report = start(replace(options, overwrite=True))
    show_report(report, style, messages)


def _may_overwrite(error: OutputExistsError) -> bool:
    """Whether the user agrees, asked on a terminal; false elsewhere."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()):
        return False
    return typer.confirm(f"{one_line(os.fspath(error.path))} exists. Replace it?", err=True)


def _parameters() -> list[inspect.Parameter]:
    hints = get_type_hints(EnhanceOptions)
    preview = typer.Option(metavar="SECONDS", help="The same as --duration: --preview 5 processes the first 5 seconds.")
    progress = typer.Option(help="Show a bar, JSON lines for programs, or nothing, on standard error.")
    return [
        *(_parameter(option, hints[option.name]) for option in fields(EnhanceOptions)),
        _keyword("preview", str | None, None, preview),
        _keyword("cluster", str | None, None, cluster_option()),
        _keyword("progress", ProgressStyle, ProgressStyle.bar, progress),
    ]


def _parameter(option: Field[Any], hint: Any) -> inspect.Parameter:
    names = [_FLAGS[option.name]] if option.name in _FLAGS else []
    info = typer.Option(*names, metavar=_METAVARS.get(option.name), help=option.metadata["help"])
    if option.name in _METAVARS:
        return _keyword(option.name, str | None, None if option.default is None else str(option.default), info)
    return _keyword(option.name, hint, option.default, info)


def _keyword(name: str, annotation: Any, default: Any, info: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=Annotated[annotation, info])


def _read_options(values: dict[str, Any]) -> EnhanceOptions:
    """Convert what was typed.

    Raises:
        InputError: a value can't be read, or is out of range.
    """
    if values["preview"] is not None and values["duration"] is not None:
        raise InputError("--preview and --duration exclude each other; expected one of them")
    given = {option.name: values[option.name] for option in fields(EnhanceOptions)}
    preview = read_fraction(values["preview"], "preview")
    read = {name: read_fraction(given[name], name) for name in ("start", "duration", "image_rate")}
    if preview is not None:
        read["duration"] = preview
    text = given["encoder_options"]
    others = {
        "max_memory": read_bytes(given["max_memory"], "max_memory"),
        "encoder_options": None if text is None else read_encoder_options(text),
    }
    return EnhanceOptions(**{**given, **read, **others})
