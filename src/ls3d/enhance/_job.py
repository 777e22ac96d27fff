"""What a job is, described by data: a job can be pickled, and its segments made in any process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from ls3d.enhance._filters import SourceFilters
from ls3d.enhance._frame_tasks import FrameTask, FrameTensors, chain_task
from ls3d.enhance._plan import Segmentation
from ls3d.enhance._steps import Step
from ls3d.enhance._workspace import Workspace
from ls3d.errors import InputError
from ls3d.files import fingerprint
from ls3d.inference import Enhancer, Precision, resolve_device
from ls3d.video import EncoderSettings, ImageSequence, OnError, Source, VideoFile, VideoInfo
from ls3d.video.image_source import images_in_order
from ls3d.video.names import check_file


@dataclass(frozen=True)
class SourceFile:
    """A source that can be opened again, by any process that sees its path.

    Attributes:
        path: a video file or a folder of images.
        on_error: what to do where frames can't be decoded.
        image_rate: frames per second of a folder of images.
        max_pixels: larger pictures are refused.
        fingerprint: see ``ls3d.files.fingerprint``; for a folder, of its images.
        filters: what is done to its frames before anything else.
        decoder_device: kind of device that decodes; None for software.
    """

    path: Path
    on_error: OnError
    image_rate: Fraction
    max_pixels: int
    fingerprint: dict[str, Any]
    filters: SourceFilters = field(default_factory=SourceFilters)
    decoder_device: str | None = None

    @classmethod
    def of(cls, path: Path, on_error: OnError, image_rate: Fraction, max_pixels: int) -> SourceFile:
        """Describe a file or folder as it is now.

        Raises:
            OSError: there is none, or it can't be read.
            InputError: it is something else, such as a device.
        """
        return cls(path, on_error, image_rate, max_pixels, _fingerprint(path))

    def open(self) -> Source:
        """Open the source.

        Raises:
            FileNotFoundError: there is no such file.
            InputError: it can't be decoded, or has changed since this description was made.
        """
        if _fingerprint(self.path) != self.fingerprint:
            raise InputError(f"{self.path} has changed since the job began; start the job over")
        source: Source
        if self.path.is_dir():
            source = ImageSequence(self.path, self.image_rate, self.on_error, self.max_pixels)
        else:
            source = VideoFile(self.path, self.on_error, self.max_pixels, self.decoder_device)
        return self.filters.apply(source)

    def conditions(self) -> dict[str, Any]:
        """Everything that the frames and their times depend on besides the name, as JSON."""
        rate = {"image_rate": str(self.image_rate)} if self.path.is_dir() else {}
        return {
            "on_error": self.on_error,
            "max_pixels": self.max_pixels,
            "filters": self.filters.conditions(),
            "decoder": self.decoder_device,
            **rate,
            **self.fingerprint,
        }


def _fingerprint(path: Path) -> dict[str, Any]:
    if path.is_dir():
        return fingerprint(images_in_order(path))
    check_file(path)
    return fingerprint([path])


@dataclass(frozen=True)
class Job:
    """What to do. Relative paths refer to the working directory of the process that uses the job.

    Attributes:
        source: where frames come from; None for a pipe, whose job can't be divided among processes.
        info: of the source.
        steps: the networks that the frames pass through, in order.
        device: on which device they are run.
        precision: of the networks.
        segmentation: where segments end, and at which times output frames are shown.
        settings: of the encoder.
        container: FFmpeg's name of the output format, ``"y4m"`` or ``"images"``.
        target: the output file or folder of images; None for a pipe.
    """

    source: SourceFile | None
    info: VideoInfo
    steps: tuple[Step, ...]
    device: str
    precision: Precision
    segmentation: Segmentation
    settings: EncoderSettings
    container: str
    target: Path | None

    def signature(self) -> dict[str, Any]:
        """Everything that the output depends on, as JSON: jobs with equal signatures have equal segments."""
        source = {} if self.source is None else self.source.conditions()
        return {
            "source": {"name": Path(self.info.name).name, **source},
            "steps": [step.conditions() for step in self.steps],
            "precision": self.precision,
            "segmentation": repr(self.segmentation),
            "settings": repr(self.settings),
            "container": self.container,
        }

    def describe(self) -> str:
        """One line: what comes in, what goes out, and what is run where."""
        info, settings = self.info, self.settings
        frames = "" if info.frames is None else f", {info.frames} frames"
        given = f"{info.width} x {info.height}, {float(info.rate):.5g} fps{frames}"
        made = f"{settings.width} x {settings.height}, {float(settings.rate):.5g} fps, {settings.codec}"
        target = "standard output" if self.target is None else self.target
        networks = ", then ".join(step.network.name for step in self.steps) or "no network"
        return f"{info.name}: {given}; {target}: {made}; {networks} on {resolve_device(self.device)}"

    def workspace(self) -> Workspace:
        """Where the segments are until they are joined.

        Raises:
            ValueError: the output is a pipe.
        """
        if self.target is None:
            raise ValueError("a job that writes to a pipe has no workspace")
        return Workspace(self.target)

    def enhancers(self) -> list[Enhancer]:
        """Load the networks onto their device.

        Raises:
            InputError: a network can't be loaded, or this machine has no such device.
        """
        return [Enhancer(step.network.load(), self.device, self.precision, step.tile) for step in self.steps]

    def frame_task(self, enhancers: Sequence[Enhancer]) -> FrameTask:
        """What is done to the source's frames, given the job's networks on their device."""
        tensors = FrameTensors(self.info.color, resolve_device(self.device), self.settings.alpha)
        levels = [step.sigma for step in self.steps]
        return chain_task(tensors, enhancers, levels, (self.settings.height, self.settings.width))
