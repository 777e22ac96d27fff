"""``Task``: what a client asks for, as data that is sent to the process of the job."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ls3d.enhance.options import Quality
from ls3d.errors import InputError
from ls3d.web.options import Limits

#: Name of the upload in the folder of its job.
SOURCE = "upload"

Format = Literal["mp4", "mkv"]

_MEDIA_TYPES = {"mp4": "video/mp4", "mkv": "video/x-matroska", "json": "application/json"}


@dataclass(frozen=True)
class EnhanceRequest:
    """A job of ``ls3d.enhance.enhance``, whose arguments these are.

    Attributes:
        sigma: level of the noise, or ``"auto"``; None for no denoising.
        scale: how many times larger; None for no enlargement.
        factor: how many times more frames; None with ``slow_motion`` is 2.
        fps: frames per second, instead of a factor.
        slow_motion: keep the frame rate, so that the video gets longer.
        quality: of new frames, as for ``ls3d interpolate``.
        preview: process the first seconds only.
        format: of the result.

    Raises:
        InputError: no step is asked for, or a factor and a rate.
    """

    kind: ClassVar[str] = "enhance"
    sigma: float | Literal["auto"] | None = None
    scale: float | None = None
    factor: float | None = None
    fps: float | None = None
    slow_motion: bool = False
    quality: Quality = "fast"
    preview: bool = False
    format: Format = "mp4"

    def __post_init__(self) -> None:
        if self.sigma is self.scale is self.factor is self.fps is None and not self.slow_motion:
            raise InputError("nothing to do: expected sigma, scale, factor or fps")
        if self.fps is not None and (self.factor is not None or self.slow_motion):
            raise InputError(f"{self.fps:g}: can't be combined with a factor or slow motion", argument="fps")

    @property
    def suffix(self) -> str:
        """Suffix of the result's name, without dot."""
        return self.format


@dataclass(frozen=True)
class ClassifyRequest:
    """A job of ``ls3d.recognition.classify_video``."""

    kind: ClassVar[str] = "classify"
    suffix: ClassVar[str] = "json"


@dataclass(frozen=True)
class SamplingRequest:
    """A job of ``ls3d.explain.trace``: the samples that a pixel of a new frame between two frames is made of.

    Attributes:
        time: of the first of the two frames, in seconds.
        x: column of the pixel, from 0 (left) to 1 (right).
        y: row of the pixel, from 0 (top) to 1 (bottom).
        quality: which network makes the new frame, as for ``ls3d interpolate``.
    """

    kind: ClassVar[str] = "sampling"
    suffix: ClassVar[str] = "json"
    time: float = 0
    x: float = 0.5
    y: float = 0.5
    quality: Quality = "fast"


JobRequest = EnhanceRequest | ClassifyRequest | SamplingRequest

_KINDS: tuple[type[JobRequest], ...] = (EnhanceRequest, ClassifyRequest, SamplingRequest)
_REQUESTS = {each.kind: each for each in _KINDS}


@dataclass(frozen=True)
class Task:
    """A job.

    Attributes:
        folder: holds the upload, and gets the result and all temporary files.
        request: what to do.
        limits: of the server.
        device: of the networks.
        classifier: weights file or name of the recognition network.
    """

    folder: Path
    request: JobRequest
    limits: Limits
    device: str
    classifier: str

    @property
    def source(self) -> Path:
        """The upload."""
        return self.folder / SOURCE

    @property
    def target(self) -> Path:
        """The result."""
        return self.folder / f"result.{self.request.suffix}"

    @property
    def media_type(self) -> str:
        """Media type of the result."""
        return _MEDIA_TYPES[self.request.suffix]

    def to_json(self) -> str:
        """One line of JSON."""
        request = {"kind": self.request.kind, **asdict(self.request)}
        return json.dumps({**asdict(self), "folder": os.fspath(self.folder), "request": request})

    @classmethod
    def from_json(cls, line: str) -> Task:
        """Read what ``to_json`` has returned."""
        values = json.loads(line)
        request = values.pop("request")
        return cls(
            folder=Path(values.pop("folder")),
            request=_REQUESTS[request.pop("kind")](**request),
            limits=Limits(**values.pop("limits")),
            **values,
        )
