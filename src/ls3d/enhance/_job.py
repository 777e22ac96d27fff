"""What a job is, described by data: a job can be pickled, and its segments made in any process."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from ls3d.enhance._arguments import NoiseLevel, UnusableModelError
from ls3d.enhance._filters import SourceFilters
from ls3d.enhance._frame_tasks import FrameTask, FrameTensors, Interpolate, Restore
from ls3d.enhance._plan import Segmentation
from ls3d.enhance._workspace import Workspace
from ls3d.errors import InputError
from ls3d.files import fingerprint
from ls3d.inference import Enhancer, Precision, resolve_device
from ls3d.models import EnhancementNetwork, load_enhancement_model
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
        """Everything that the frames depend on besides the name, as JSON."""
        return {
            "on_error": self.on_error,
            "max_pixels": self.max_pixels,
            "filters": self.filters.conditions(),
            "decoder": self.decoder_device,
            **self.fingerprint,
        }


def _fingerprint(path: Path) -> dict[str, Any]:
    if path.is_dir():
        return fingerprint(images_in_order(path))
    check_file(path)
    return fingerprint([path])


@dataclass(frozen=True)
class NetworkReference:
    """A network that can be loaded again.

    Attributes:
        model: its name or the path of its weights file, or the network itself.
        task: what it must be for.
        name: for messages and the job file.
        digest: of its class, configuration and weights.
    """

    model: str | EnhancementNetwork
    task: str
    name: str
    digest: str

    def load(self) -> EnhancementNetwork:
        """Load the network.

        Raises:
            InputError: there is no such network, or its weights have changed since this reference was made.
        """
        network = load_network(self.model, self.task)
        if network_digest(network) != self.digest:
            raise InputError(f"{self.name}: the weights have changed since the job began; start the job over")
        return network


def load_network(model: str | EnhancementNetwork, task: str) -> EnhancementNetwork:
    """The network itself, or the one with this name or weights file.

    Raises:
        UnusableModelError: there is no such network, its weights can't be read, or it is for another task.
    """
    if isinstance(model, str):
        try:
            return load_enhancement_model(model, task)
        except InputError as error:
            raise UnusableModelError(error.message, argument=error.argument) from error
        except FileNotFoundError as error:
            raise UnusableModelError(str(error)) from error
    if model.traits.task != task:
        raise UnusableModelError(f"{model.name}: its task is {model.traits.task}, expected {task}", argument="model")
    return model


def network_digest(network: EnhancementNetwork) -> str:
    """SHA-256 of everything that a network's output depends on: class, traits, arguments and weights."""
    arguments = {} if network.config is None else network.config.arguments
    digest = hashlib.sha256(f"{type(network).__name__} {network.traits} {arguments}".encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Job:
    """What to do. Relative paths refer to the working directory of the process that uses the job.

    Attributes:
        source: where frames come from; None for a pipe, whose job can't be divided among processes.
        info: of the source.
        network: what is run.
        device: on which device.
        precision: of the network.
        tile: maximum side of a tile in source pixels, None for whole frames.
        sigma: noise level for networks that take one, otherwise None.
        segmentation: where segments end, and at which times output frames are shown.
        settings: of the encoder.
        container: FFmpeg's name of the output format, ``"y4m"`` or ``"images"``.
        target: the output file or folder of images; None for a pipe.
    """

    source: SourceFile | None
    info: VideoInfo
    network: NetworkReference
    device: str
    precision: Precision
    tile: int | None
    sigma: NoiseLevel | None
    segmentation: Segmentation
    settings: EncoderSettings
    container: str
    target: Path | None

    def signature(self) -> dict[str, Any]:
        """Everything that the output depends on, as JSON: jobs with equal signatures have equal segments."""
        source = {} if self.source is None else self.source.conditions()
        return {
            "source": {"name": Path(self.info.name).name, **source},
            "model": {"name": self.network.name, "digest": self.network.digest},
            "precision": self.precision,
            "tile": self.tile,
            "sigma": self.sigma,
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
        return f"{info.name}: {given}; {target}: {made}; {self.network.name} on {resolve_device(self.device)}"

    def workspace(self) -> Workspace:
        """Where the segments are until they are joined.

        Raises:
            ValueError: the output is a pipe.
        """
        if self.target is None:
            raise ValueError("a job that writes to a pipe has no workspace")
        return Workspace(self.target)

    def enhancer(self) -> Enhancer:
        """Load the network onto its device.

        Raises:
            InputError: the network can't be loaded, or this machine has no such device.
        """
        return Enhancer(self.network.load(), self.device, self.precision, self.tile)

    def frame_task(self, enhancer: Enhancer) -> FrameTask:
        """What is done to the source's frames, given the job's network on its device."""
        tensors = FrameTensors(self.info.color, enhancer.device, self.settings.alpha)
        if enhancer.traits.task == "interpolation":
            return Interpolate(enhancer, tensors)
        return Restore(enhancer, tensors, (self.settings.height, self.settings.width), self.sigma)
