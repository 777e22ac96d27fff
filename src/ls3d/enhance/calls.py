"""Calls of ``interpolate``, ``upscale``, ``denoise`` and ``enhance`` as data, which can be checked, written and run.

This module imports nothing heavy: what is wrong with the arguments themselves is found before PyAV and torch are
imported, which takes seconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, get_args

from ls3d._version import __version__
from ls3d.enhance._arguments import check_interpolation, check_source_name, check_target_name, read_noise_level
from ls3d.enhance._size import requested_size
from ls3d.enhance._wanted import Models, WantedSteps
from ls3d.enhance.options import EnhanceOptions
from ls3d.enhance.report import EnhanceReport
from ls3d.errors import InputError, first_line
from ls3d.progress import ProgressCallback

if TYPE_CHECKING:
    from ls3d.enhance.jobs import PreparedJob

PathLike = str | os.PathLike[str]

#: The functions of ``ls3d.enhance`` that do a job.
Function = Literal["interpolate", "upscale", "denoise", "enhance"]
FUNCTIONS: tuple[Function, ...] = get_args(Function)

#: Their arguments besides source, target, options and progress.
ARGUMENTS: Mapping[Function, frozenset[str]] = {
    "interpolate": frozenset({"factor", "fps", "slow_motion", "model"}),
    "upscale": frozenset({"scale", "width", "height", "fit", "model"}),
    "denoise": frozenset({"sigma", "model"}),
    "enhance": frozenset(
        {"sigma", "scale", "width", "height", "fit", "factor", "fps", "slow_motion"}
        | {"denoising_model", "super_resolution_model", "interpolation_model"}
    ),
}

#: Arguments and options that may be fractions, which JSON doesn't have.
_FRACTIONS = ("factor", "fps", "scale", "start", "duration", "image_rate")


@dataclass(frozen=True)
class EnhanceCall:
    """A call of one of the functions of ``ls3d.enhance``.

    Attributes:
        function: its name.
        source: its first argument.
        target: its second argument.
        arguments: its keyword arguments that are not None, besides ``options`` and ``progress``.
        options: its options.
    """

    function: Function
    source: PathLike | BinaryIO
    target: PathLike | BinaryIO
    arguments: Mapping[str, Any] = field(default_factory=dict)
    options: EnhanceOptions = field(default_factory=EnhanceOptions)

    def check(self) -> None:
        """Check the arguments as far as they can be without opening a file.

        Raises:
            FileNotFoundError: there is no source, or no folder for the target.
            InputError: an argument is not what is expected.
        """
        given = self.arguments
        if self.function == "interpolate":
            check_interpolation(given.get("factor"), given.get("fps"), bool(given.get("slow_motion")))
        elif self.function == "upscale":
            requested_size(*self._size)
        elif self.function == "denoise":
            if given.get("sigma") is not None:
                read_noise_level(given["sigma"])
        else:
            self.wanted_steps()
        if isinstance(self.source, (str, os.PathLike)):
            check_source_name(Path(self.source))
        if isinstance(self.target, (str, os.PathLike)):
            check_target_name(Path(self.target))

    def wanted_steps(self) -> WantedSteps:
        """The steps of a call of ``enhance``.

        Raises:
            InputError: see ``WantedSteps.of``.
        """
        given = self.arguments
        models = Models(*(given.get(f"{step}_model") for step in ("denoising", "super_resolution", "interpolation")))
        slow_motion = bool(given.get("slow_motion"))
        return WantedSteps.of(
            models, given.get("sigma"), self._size, given.get("factor"), given.get("fps"), slow_motion
        )

    @property
    def _size(self) -> tuple[Fraction | float | None, int | None, int | None, tuple[int, int] | None]:
        given = self.arguments
        return given.get("scale"), given.get("width"), given.get("height"), given.get("fit")

    def prepare(self) -> PreparedJob:
        """Check the call, open its source, and load its networks.

        Raises:
            InputError: see the function.
            OSError: a file can't be read or written.
        """
        self.check()
        # These modules import PyAV and torch.
        from ls3d.enhance import jobs

        if self.function == "enhance":
            return jobs.prepare_enhancement(self.source, self.target, self.wanted_steps(), self.options)
        preparations: dict[str, Callable[..., PreparedJob]] = {
            "interpolate": jobs.prepare_interpolation,
            "upscale": jobs.prepare_upscaling,
            "denoise": jobs.prepare_denoising,
        }
        return preparations[self.function](self.source, self.target, **self.arguments, options=self.options)

    def run(self, progress: ProgressCallback | None = None) -> EnhanceReport:
        """Do the job, or the part of it that ``options.shard`` chooses.

        Raises:
            InputError: see the function.
            OSError: a file can't be read or written.
        """
        if self.options.shard is None:
            return self.prepare().run(self.options.resume, progress)
        record = self.to_dict()
        prepared = self.prepare()
        from ls3d.enhance.shards import make_shard

        return make_shard(prepared, record, self.options.shard, progress)

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON; ``from_dict`` reads it. It has neither the target nor what concerns one run only.

        Raises:
            InputError: source or target is a pipe, or a network isn't given by its name or file.
        """
        if not isinstance(self.source, (str, os.PathLike)) or not isinstance(self.target, (str, os.PathLike)):
            raise InputError("a job that reads or writes a pipe can't be divided among processes")
        options = asdict(replace(self.options, shard=None, resume=True, overwrite=False))
        return {
            "function": self.function,
            "source": os.path.abspath(self.source),
            "arguments": {name: _written(name, value) for name, value in self.arguments.items()},
            "options": {name: _written(name, value) for name, value in options.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], target: PathLike) -> EnhanceCall:
        """Read what ``to_dict`` wrote.

        Args:
            values: from ``to_dict``.
            target: the output.

        Raises:
            InputError: a value is not what is expected, or another version of ls3d, with other names, has written them.
        """
        try:
            options = EnhanceOptions(**{name: _read(name, value) for name, value in values["options"].items()})
            arguments = {name: _read(name, value) for name, value in values["arguments"].items()}
            function, source = values["function"], values["source"]
            unknown = sorted(arguments.keys() - ARGUMENTS[function])
        except (KeyError, TypeError, AttributeError) as error:
            raise _other_version(target, first_line(error)) from error
        if unknown:
            raise _other_version(target, f"unknown argument {unknown[0]!r}")
        return cls(function, source, target, arguments, options)


def _other_version(target: PathLike, reason: str) -> InputError:
    message = f"{os.fspath(target)}: the call was written by another version of ls3d than {__version__} ({reason})"
    return InputError(f"{message}; use that version")


def without_none(**arguments: Any) -> dict[str, Any]:
    """The arguments that are not None."""
    return {name: value for name, value in arguments.items() if value is not None}


def _written(name: str, value: Any) -> Any:
    """The JSON of an argument."""
    if isinstance(value, Fraction):
        return str(value)
    if name.endswith("model"):
        if not isinstance(value, (str, os.PathLike)):
            raise InputError("a network in memory can't be divided among processes; expected its name or weights file")
        return os.path.abspath(value) if Path(value).is_file() else os.fspath(value)
    return dict(value) if isinstance(value, Mapping) else value


def _read(name: str, value: Any) -> Any:
    """Invert ``_written``."""
    if name in _FRACTIONS and isinstance(value, str):
        return Fraction(value)
    return tuple(value) if isinstance(value, list) else value
