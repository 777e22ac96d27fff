"""The result of an evaluation of a recognition network, and its JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from ls3d.environment import versions
from ls3d.evaluation.recognition.views import ViewProtocol
from ls3d.files import write_json
from ls3d.metrics import Accuracy, calibration_error, confusion_matrix
from ls3d.models import PublishedAccuracy, model_info

_BEST = 5


@dataclass(frozen=True)
class VideoScore:
    """What a network made of one video.

    Attributes:
        label: index of its class.
        probabilities: of all classes.
    """

    label: int
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class RecognitionReport:
    """The result of an evaluation.

    Attributes:
        model: name or file of the network.
        config: the network's ``ModelConfig`` as a dictionary.
        data: the set of videos.
        classes: names of the classes.
        protocol: the clips and crops.
        videos: scores by name of the video.
        unreadable: names of the videos that could not be decoded, each with the reason.
        device: the device that the network ran on.
        versions: of the software that was used.
    """

    model: str
    config: Mapping[str, Any]
    data: str
    classes: tuple[str, ...]
    protocol: ViewProtocol
    videos: dict[str, VideoScore]
    unreadable: dict[str, str] = field(default_factory=dict)
    device: str = "cpu"
    versions: dict[str, str] = field(default_factory=versions)

    @property
    def scores(self) -> Tensor:
        """Probabilities, ``(videos, classes)``."""
        return torch.tensor([video.probabilities for video in self.videos.values()])

    @property
    def labels(self) -> Tensor:
        """Indices of the classes, ``(videos,)``."""
        return torch.tensor([video.label for video in self.videos.values()])

    @property
    def accuracy(self) -> Accuracy:
        """Top-1, top-5 and top-1 by class."""
        return Accuracy.of(self.scores, self.labels)

    @property
    def confusion(self) -> Tensor:
        """``(classes, classes)`` int64: rows are true classes, columns are chosen ones."""
        return confusion_matrix(self.scores, self.labels)

    @property
    def published(self) -> PublishedAccuracy | None:
        """What was published of the architecture; its weights, data and protocol may be others than those here."""
        name = self.config.get("architecture")
        return None if name is None else model_info(name).accuracy

    def to_dict(self) -> dict[str, Any]:
        """The content of the JSON; accuracies are in percent."""
        accuracy = self.accuracy
        by_class = zip(self.classes, accuracy.classes, strict=True)
        return {
            "model": self.model,
            "weights": {key: self.config.get(key) for key in ("architecture", "arguments", "sha256")},
            "data": self.data,
            "protocol": self.protocol.to_dict(),
            "videos": accuracy.samples,
            "top1": round(100 * accuracy.top1, 3),
            "top5": round(100 * accuracy.top5, 3),
            "published": None if self.published is None else asdict(self.published),
            "calibration_error": round(100 * calibration_error(self.scores, self.labels), 3),
            "classes": {name: None if share is None else round(100 * share, 3) for name, share in by_class},
            "confusion": self.confusion.tolist(),
            "predictions": {name: self._prediction(video) for name, video in self.videos.items()},
            "unreadable": self.unreadable,
            "device": self.device,
            "versions": self.versions,
        }

    def _prediction(self, video: VideoScore) -> dict[str, Any]:
        order = sorted(range(len(self.classes)), key=lambda k: -video.probabilities[k])[:_BEST]
        return {
            "label": self.classes[video.label],
            "best": {self.classes[k]: round(video.probabilities[k], 4) for k in order},
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON, atomically."""
        write_json(path, self.to_dict())
