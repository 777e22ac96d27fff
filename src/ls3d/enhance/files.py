"""Lists of videos: from a folder or a pattern to pairs of source and target, and one job for each pair.

This module imports nothing heavy, so that names can be checked before PyAV and torch are imported.
"""

from __future__ import annotations

import contextlib
import glob
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ls3d.enhance._arguments import NothingToDoError, UnusableModelError
from ls3d.enhance.report import EnhanceReport
from ls3d.errors import InputError, MissingExtraError
from ls3d.video.names import UnusableEncoderError, container_of, is_image, is_video, is_writable

log = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]

#: Arguments whose errors don't depend on the file: they stop the list.
_ARGUMENTS_OF_ALL = frozenset(
    {"factor", "fps", "scale", "width", "height", "fit", "sigma", "quality", "model", "device", "precision", "preset"}
    | {"denoising_model", "super_resolution_model", "interpolation_model", "stride"}
)

_NAMES_SHOWN = 5


@dataclass(frozen=True)
class FileResult:
    """What happened to one file of a list; exactly one of ``report`` and ``error`` is not None.

    Attributes:
        source: the source.
        target: the output.
        report: of the job.
        error: why the job failed.
    """

    source: Path
    target: Path
    report: EnhanceReport | None = None
    error: InputError | OSError | None = None

    @property
    def status(self) -> Literal["done", "already done", "failed"]:
        """In words, as the summary of ``ls3d`` shows it."""
        if self.report is None:
            return "failed"
        return "already done" if self.report.finished_before else "done"


def enhance_files(
    pairs: Iterable[tuple[PathLike, PathLike]], job: Callable[[Path, Path], EnhanceReport]
) -> Iterator[FileResult]:
    """Do the same job for several files, one after the other. A file that fails doesn't stop the others::

        job = functools.partial(enhance.upscale, scale=2, options=options)
        for result in enhance.enhance_files(pairs, job):
            print(result.source, result.status, result.error or "")

    The same call again resumes what is unfinished, and doesn't repeat what is finished.

    Args:
        pairs: sources and targets. The folder of a target is created if there is none.
        job: is called with a source and a target.

    Yields:
        A result after every file.

    Raises:
        InputError: an argument has a value that is wrong for all files, such as a model that doesn't exist.
    """
    for source, target in ((Path(source), Path(target)) for source, target in pairs):
        is_new = not target.parent.exists()
        try:
            target.parent.mkdir(exist_ok=True)
            result = FileResult(source, target, job(source, target))
        except (InputError, OSError) as error:
            if concerns_all(error):
                raise
            result = FileResult(source, target, error=error)
        finally:
            if is_new:
                with contextlib.suppress(OSError):  # it holds something
                    target.parent.rmdir()
        yield result


def concerns_all(error: Exception) -> bool:
    """Whether an error doesn't depend on the file, so that all files of a list would fail with it."""
    return isinstance(error, (NothingToDoError, UnusableModelError, UnusableEncoderError, MissingExtraError)) or (
        isinstance(error, InputError) and error.argument in _ARGUMENTS_OF_ALL
    )


def find_videos(source: PathLike) -> list[Path]:
    """The videos that a folder or a pattern stands for, by the suffixes of their names.

    Subfolders and hidden files are ignored. Files with other suffixes are passed over, which a warning says.

    Args:
        source: a folder with videos, or a pattern such as ``"clips/*.mp4"`` if no file has this very name.

    Returns:
        In the order of names; empty if ``source`` is a single file or a folder without videos, such as one of images.

    Raises:
        InputError: a folder holds videos and images, or no file that matches the pattern is a video.
    """
    path = Path(source)
    found = _files_of(path)
    videos = [file for file in found if is_video(file)]
    if path.is_dir():
        images = sum(is_image(file) for file in found)
        if videos and images:
            message = f"{path} holds videos ({len(videos)}) and images ({images}); expected one kind, or a pattern"
            raise InputError(f"{message} such as '{path / '*'}{videos[0].suffix}'")
    elif found and not videos:
        container_of(found[0])  # says which suffixes are those of videos
    others = [file.name for file in found if file not in videos]
    if videos and others:
        more = f" and {len(others) - _NAMES_SHOWN} more" if len(others) > _NAMES_SHOWN else ""
        log.warning("%s: passed over, no videos: %s%s", path, ", ".join(others[:_NAMES_SHOWN]), more)
    return videos


def pair_files(videos: Sequence[PathLike], folder: PathLike) -> list[tuple[Path, Path]]:
    """Pair videos with outputs of the same names in a folder.

    Where a format is only read, such as that of ``tape.mpg``, the output is Matroska: ``tape.mkv``.

    Args:
        videos: the sources.
        folder: for the outputs; it need not exist.

    Returns:
        Sources and targets.

    Raises:
        FileNotFoundError: there is no folder for ``folder``.
        InputError: it is not a folder, it is the one of a source, or two outputs would have the same name.
    """
    target = Path(folder)
    if (target.exists() and not target.is_dir()) or (not target.exists() and is_video(target)):
        raise InputError(f"{target}: expected a folder, for the outputs of {len(videos)} videos")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: there is no folder {target.parent}")
    sources: dict[Path, Path] = {}
    for video in map(Path, videos):
        if target.exists() and target.samefile(video.parent):
            raise InputError(f"{target} is the folder of the sources; expected another one")
        output = target / (video.name if is_writable(video) else f"{video.stem}.mkv")
        if output in sources:
            raise InputError(f"{sources[output]} and {video} would both become {output}; expected different names")
        sources[output] = video
    return [(video, output) for output, video in sources.items()]


def _files_of(source: Path) -> list[Path]:
    """The files in a folder, or those that match a pattern; none for a single file."""
    if source.is_dir():
        paths = list(source.iterdir())
    elif not source.exists() and glob.has_magic(os.fspath(source)):
        paths = [Path(name) for name in glob.glob(os.fspath(source))]
    else:
        return []
    return sorted(path for path in paths if path.is_file() and not path.name.startswith("."))
