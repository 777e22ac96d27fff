"""The two kinds of fidelity protocols: frames are made between given ones, or restored from degraded ones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from ls3d.data import Clip, Degradation
from ls3d.data.clips import ResizedClip, TruncatedClip
from ls3d.errors import InputError
from ls3d.evaluation.fidelity.score import FidelityScorer
from ls3d.evaluation.fidelity.scored_frames import (
    InterpolationWindow,
    ScoredFrame,
    interpolated_frames,
    restored_frames,
)
from ls3d.evaluation.protocol import Protocol
from ls3d.inference import Enhancer
from ls3d.metrics import Metric
from ls3d.models.network import EnhancementNetwork, Network, Task


@dataclass(frozen=True, kw_only=True)
class FidelityProtocol(Protocol):
    """A protocol that compares frames with the true ones.

    Attributes:
        metrics: by column of the table.
        size: height and width to which the true frames are resized first, None to keep theirs.
        max_frames: number of frames used from the beginning of each clip, None for all.
        crop: pixels that metrics leave out at each border.
    """

    metrics: Mapping[str, Metric]
    size: tuple[int, int] | None = None
    max_frames: int | None = None
    crop: int = 0

    def conditions(self) -> dict[str, Any]:
        """See ``Protocol.conditions``."""
        return {
            "task": self.task,
            "data_set": self.data_set.title,
            "degradation": None,
            "given": None,
            "wanted": None,
            "size": list(self.size) if self.size else None,
            "max_frames": self.max_frames,
            "scored_frames": "all",
            "crop": self.crop,
            "average": self.average,
            "metrics": {column: metric.description for column, metric in self.metrics.items()},
        }

    def scorer(self, network: Network, device: torch.device) -> FidelityScorer:
        """See ``Protocol.scorer``."""
        if not isinstance(network, EnhancementNetwork):
            raise InputError(f"{network.name} does not map frames to frames, which {self.name} measures")
        make_frames = partial(self.scored_frames, Enhancer(network, device))
        return FidelityScorer(make_frames, self.metrics, self.crop)

    def scored_frames(self, enhancer: Enhancer, clip: Clip, only: int | None = None) -> Iterator[ScoredFrame]:
        """Run a network on a clip.

        Args:
            enhancer: runs the network.
            clip: the true frames.
            only: index of the one frame to make, None for all that are scored.

        Raises:
            NetworkOutputError: what the network returned is not as promised; the message names the clip and the frame.
        """
        if self.size:
            clip = ResizedClip(clip, self.size)
        if self.max_frames:
            clip = TruncatedClip(clip, self.max_frames)
        return self._make_frames(enhancer, clip, only)

    @abstractmethod
    def _make_frames(self, enhancer: Enhancer, clip: Clip, only: int | None) -> Iterator[ScoredFrame]:
        """The scored frames of a clip of the right size and length."""


@dataclass(frozen=True, kw_only=True)
class InterpolationProtocol(FidelityProtocol):
    """Frames are made between two given ones.

    Attributes:
        window: which frames are given and made.
    """

    window: InterpolationWindow

    @property
    def task(self) -> Task:
        """See ``Protocol.task``."""
        return "interpolation"

    @property
    def scored_frames_in_set(self) -> int | None:
        """See ``Protocol.scored_frames_in_set``."""
        if self.window.repeat or self.data_set.clips is None:
            return None
        return self.data_set.clips * len(self.window.targets)

    def conditions(self) -> dict[str, Any]:
        """See ``Protocol.conditions``."""
        return super().conditions() | {"given": [0, self.window.span], "wanted": list(self.window.targets)}

    def _make_frames(self, enhancer: Enhancer, clip: Clip, only: int | None) -> Iterator[ScoredFrame]:
        return interpolated_frames(enhancer, clip, self.window, only)


@dataclass(frozen=True, kw_only=True)
class RestorationProtocol(FidelityProtocol):
    """Frames are restored from degraded ones, by super-resolution or denoising.

    Attributes:
        degradation: makes the frames that a network is given.
        scored: indices of the frames that are scored, None for all.
    """

    degradation: Degradation
    scored: tuple[int, ...] | None = None

    @property
    def task(self) -> Task:
        """See ``Protocol.task``."""
        return "super-resolution" if self.degradation.scale > 1 else "denoising"

    @property
    def scored_frames_in_set(self) -> int | None:
        """See ``Protocol.scored_frames_in_set``."""
        if self.scored is None:
            return self.data_set.frames
        return None if self.data_set.clips is None else self.data_set.clips * len(self.scored)

    def conditions(self) -> dict[str, Any]:
        """See ``Protocol.conditions``."""
        scored = "all" if self.scored is None else list(self.scored)
        return super().conditions() | {"degradation": self.degradation.description, "scored_frames": scored}

    def _make_frames(self, enhancer: Enhancer, clip: Clip, only: int | None) -> Iterator[ScoredFrame]:
        indices = range(len(clip)) if self.scored is None else self.scored
        return restored_frames(enhancer, clip, self.degradation, indices, only)
