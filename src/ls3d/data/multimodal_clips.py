"""Clips of labeled videos as RGB, optical flow and sound: dictionaries of tensors by modality.

RGB and flow show the same region of the same frames; the spectrogram is of the second around the middle of the clip. A
video without sound is left out or masked, and named in the sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from ls3d.data.cached_flow import CachedFlow
from ls3d.data.clip_times import ClipTiming
from ls3d.data.clips import Pixels
from ls3d.data.flow import Flow, FlowMethod, compute_flow
from ls3d.data.labeled import LabeledVideo
from ls3d.data.labeled_clips import Augmentation, Region, draw, resize_region, view_regions
from ls3d.data.spectrograms import FILTERS, RATE, SAMPLES, WINDOWS, log_mel
from ls3d.errors import InputError
from ls3d.models.network import Modality

#: What is done with a video that lacks a modality.
Missing = Literal["drop", "mask"]


class MultimodalClip(TypedDict):
    """A clip of one video.

    Attributes:
        inputs: ``clip (3, T, h, w)`` uint8; ``flow (2, T, h, w)`` float32, displacements (x, y) to the next frame in
            pixels of the clip; ``spectrogram (1, 100, 40)`` float32. Zeros for a modality that is masked.
        present: by modality, whether the video has it.
        label: its class.
        name: of the video.
        unreadable: one line for each video that could not be read in its place: its name, a tab and the reason.
    """

    inputs: dict[str, Tensor]
    present: dict[str, bool]
    label: int
    name: str
    unreadable: str


class MultimodalViews(TypedDict):
    """Several clips of one video, as ``MultimodalClip``, stacked ``(V, ...)``; none if it can't be read."""

    inputs: dict[str, Tensor] | None
    present: dict[str, bool]
    label: int
    name: str
    unreadable: str


@dataclass(frozen=True)
class MultimodalFormat:
    """What is read of each video.

    Attributes:
        modalities: some of ``clip``, ``flow``, ``spectrogram``.
        timing: of the clips.
        size: height and width of a clip in pixels.
        flow: how flow is computed.
        flow_rate: frames per second at which the flow of whole videos is computed once and kept on disk; None computes
            that of each clip.
        missing: whether a video without sound is left out or masked.
    """

    modalities: tuple[Modality, ...]
    timing: ClipTiming
    size: tuple[int, int]
    flow: FlowMethod = "dis"
    flow_rate: float | None = None
    missing: Missing = "drop"

    def read(self, video: LabeledVideo, start: float, speed: float = 1.0) -> Recording:
        """Read a clip.

        Args:
            video: the video.
            start: of the clip, in seconds.
            speed: the clip covers this times its usual duration.

        Raises:
            InputError: it can't be decoded, or has no sound and is to be left out.
            OSError: the file can't be read.
        """
        duration = video.frames.duration
        times = self.timing.times(start, duration, speed)
        step = speed / self.timing.fps
        frames = flow = None
        if "flow" in self.modalities and self.flow_rate is None:
            longer = video.frames.read([*times, min(times[-1] + step, duration)])
            flow = compute_flow(longer, self.flow)
            frames = longer[:-1]
        elif "flow" in self.modalities and self.flow_rate is not None:
            flow = CachedFlow(video.frames, self.flow_rate, self.flow).read(times, step)
        if "clip" in self.modalities and frames is None:
            frames = video.frames.read(times)
        middle = start + self.timing.duration * speed / 2
        sound = self._spectrogram(video, middle) if "spectrogram" in self.modalities else None
        return Recording(frames, flow, sound)

    def _spectrogram(self, video: LabeledVideo, middle: float) -> Tensor | None:
        samples = None if video.sound is None else video.sound.read(middle - SAMPLES / RATE / 2, SAMPLES)
        if samples is not None:
            return torch.from_numpy(log_mel(samples))[None]
        if self.missing == "drop":
            raise InputError("it has no sound")
        return None

    def inputs(self, recording: Recording, region: Region | None, flip: bool = False) -> dict[str, Tensor]:
        """The tensors of a region, mirrored if ``flip``; see ``MultimodalClip``."""
        found: dict[str, Tensor] = {}
        if region is not None and recording.frames is not None and "clip" in self.modalities:
            clip = resize_region(recording.frames, region, self.size)
            found["clip"] = clip.flip(-1) if flip else clip
        if region is not None and recording.flow is not None:
            found["flow"] = resize_flow(recording.flow, region, self.size, flip)
        if "spectrogram" in self.modalities:
            silent = torch.zeros(1, WINDOWS, FILTERS)
            found["spectrogram"] = silent if recording.spectrogram is None else recording.spectrogram
        return {modality: found[modality] for modality in self.modalities}

    def present(self, recording: Recording) -> dict[str, bool]:
        """By modality, whether the video has it."""
        return {name: name != "spectrogram" or recording.spectrogram is not None for name in self.modalities}


@dataclass(frozen=True, eq=False)
class Recording:
    """What was read of a clip; None for what was not asked for, or for sound that is missing.

    Attributes:
        frames: ``(T, H, W, 3)`` RGB.
        flow: ``(T, H, W, 2)`` in pixels of these frames.
        spectrogram: ``(1, 100, 40)``.
    """

    frames: Pixels | None
    flow: Flow | None
    spectrogram: Tensor | None

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the frames; None if only sound was read."""
        pictures = self.frames if self.frames is not None else self.flow
        return None if pictures is None else (pictures.shape[1], pictures.shape[2])


def resize_flow(flow: Flow, region: Region, size: tuple[int, int], flip: bool = False) -> Tensor:
    """Crop flow ``(T, H, W, 2)`` and resize it to ``(2, T, h, w)``; mirroring negates the horizontal displacements."""
    rows = slice(region.top, region.top + region.height)
    columns = slice(region.left, region.left + region.width)
    part = torch.from_numpy(np.ascontiguousarray(flow[:, rows, columns])).permute(0, 3, 1, 2)
    if (region.height, region.width) != size:
        part = F.interpolate(part, size, mode="bilinear", antialias=True, align_corners=False)
    scale = torch.tensor([size[1] / region.width, size[0] / region.height]).view(2, 1, 1)
    part = part * scale
    if flip:
        part = part.flip(-1) * torch.tensor([-1.0, 1.0]).view(2, 1, 1)
    return part.transpose(0, 1).contiguous()


class RandomMultimodalClips(Dataset[MultimodalClip]):
    """One random clip of each video in every pass through the videos, in random order.

    Args:
        videos: at least one.
        format: what is read of each.
        augmentation: of the clips.
        seed: clip ``i`` depends only on ``(seed, i)``.
    """

    def __init__(
        self, videos: Sequence[LabeledVideo], format: MultimodalFormat, augmentation: Augmentation, seed: int = 0
    ) -> None:
        self.videos = videos
        self.format = format
        self.augmentation = augmentation
        self.seed = seed

    def __getitem__(self, index: int) -> MultimodalClip:
        video, (inputs, present), unreadable = draw(self.videos, self.seed, index, self._sample)
        return {
            "inputs": inputs,
            "present": present,
            "label": video.label,
            "name": video.name,
            "unreadable": unreadable,
        }

    def _sample(self, rng: np.random.Generator, video: LabeledVideo) -> tuple[dict[str, Tensor], dict[str, bool]]:
        start, speed = self.augmentation.time(rng, self.format.timing, video.frames.duration)
        recording = self.format.read(video, start, speed)
        region = None
        if recording.size is not None:
            region = self.augmentation.region(rng, recording.size, self.format.size)
        inputs = self.format.inputs(recording, region, self.augmentation.is_mirrored(rng))
        return inputs, self.format.present(recording)


class FixedMultimodalViews(Dataset[MultimodalViews]):
    """Evenly spaced clips of each video, with one crop at the center or three along the longer side.

    Args:
        videos: the videos.
        format: what is read of each.
        share: height and width of the region that a clip shows, as a share of the largest region of its aspect ratio.
        clips: clips of each video.
        crops: 1 or 3.
    """

    def __init__(
        self,
        videos: Sequence[LabeledVideo],
        format: MultimodalFormat,
        share: float = 0.875,
        clips: int = 1,
        crops: int = 1,
    ) -> None:
        self.videos = videos
        self.format = format
        self.share = share
        self.clips = clips
        self.crops = crops

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> MultimodalViews:
        video = self.videos[index]
        views: list[dict[str, Tensor]] = []
        present: dict[str, bool] = {}
        try:
            for start in self.format.timing.uniform_starts(video.frames.duration, self.clips):
                recording = self.format.read(video, start)
                present = self.format.present(recording)
                views += [self.format.inputs(recording, region) for region in self._regions(recording)]
        except (InputError, OSError) as error:
            reason = f"{video.name}\t{error}"
            return {"inputs": None, "present": {}, "label": video.label, "name": video.name, "unreadable": reason}
        inputs = {name: torch.stack([view[name] for view in views]) for name in views[0]}
        return {"inputs": inputs, "present": present, "label": video.label, "name": video.name, "unreadable": ""}

    def _regions(self, recording: Recording) -> Sequence[Region | None]:
        if recording.size is None:
            return [None] * self.crops
        return view_regions(recording.size, self.format.size, self.share, self.crops)
