"""The clips and crops of a video that a test classifies."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from ls3d.data.clip_times import ClipTiming
from ls3d.data.clips import Pixels
from ls3d.data.labeled import LabeledVideo
from ls3d.data.labeled_clips import Region, resize_region
from ls3d.errors import InputError
from ls3d.models import ClipFormat

#: Inputs of a fully convolutional test: a crop of the shape of the network's clips, or the whole frame.
Convolutional = Literal["crop", "frame"]


@dataclass(frozen=True)
class ViewProtocol:
    """How videos are tested: the mean probabilities of several clips and crops of each.

    Attributes:
        clips: evenly spaced clips of each video.
        crops: 1 (center) or 3 (along the longer side) of each clip.
        dense: seconds from one clip to the next, instead of a number of clips.
        convolutional: apply the classifier at every position of larger inputs, as CSN and I3D do. Objects have the
            size that they have in an ordinary test: the shorter side of the inputs is that of the network's clips
            divided by the share of the frame that these show, for example 224 / 0.875 = 256.
    """

    clips: int = 10
    crops: int = 1
    dense: float | None = None
    convolutional: Convolutional | None = None

    def __post_init__(self) -> None:
        if self.clips < 1:
            raise InputError(f"{self.clips}: expected at least 1", argument="clips")
        if self.crops not in (1, 3):
            raise InputError(f"{self.crops}: expected 1 or 3", argument="crops")
        if self.dense is not None and not 0 < self.dense < math.inf:
            raise InputError(f"{self.dense:g}: expected a positive number of seconds", argument="dense")
        if self.convolutional == "frame" and self.crops != 1:
            raise InputError(f"{self.crops}: expected 1, since whole frames have no crops", argument="crops")

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the JSON: clips or their distance in seconds, crops, and the rest where it is set."""
        values: dict[str, Any] = {"clips": self.clips} if self.dense is None else {"dense": self.dense}
        values["crops"] = self.crops
        return values if self.convolutional is None else {**values, "convolutional": self.convolutional}

    def __str__(self) -> str:
        clips = f"{self.clips} clips" if self.dense is None else f"a clip every {self.dense:g} s"
        crops = "whole frames" if self.convolutional == "frame" else f"{self.crops} crops"
        return f"{clips} x {crops}" + (", fully convolutional" if self.convolutional else "")

    def views(self, video: LabeledVideo, clip: ClipFormat) -> Iterator[Tensor]:
        """Yield the views of a video, ``(3, T, h, w)`` uint8, all of one size.

        Args:
            video: the video.
            clip: format of the network's clips.

        Raises:
            OSError: the file can't be read.
            InputError: a frame can't be decoded.
        """
        timing = ClipTiming(clip.frames, clip.fps)
        duration = video.frames.duration
        if self.dense is None:
            starts = timing.uniform_starts(duration, self.clips)
        else:
            starts = timing.dense_starts(duration, self.dense)
        for start in starts:
            yield from self._crops(video.frames.read(timing.times(start, duration)), clip)

    def _crops(self, frames: Pixels, clip: ClipFormat) -> Iterator[Tensor]:
        height, width = frames.shape[1:3]
        size, share = clip.size, clip.share
        if self.convolutional is not None:
            size, share = (round(clip.size[0] / share), round(clip.size[1] / share)), 1.0
        if self.convolutional == "frame":
            scale = max(size[0] / height, size[1] / width)
            whole = (round(scale * height), round(scale * width))
            yield resize_region(frames, Region(0, 0, height, width), whole)
            return
        for position in (0.5,) if self.crops == 1 else (0.0, 0.5, 1.0):
            top, left = (position, 0.5) if height > width else (0.5, position)
            yield resize_region(frames, Region.inside((height, width), size, share, top, left), size)
