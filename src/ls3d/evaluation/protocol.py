"""The interface between the evaluation of a task and everything that the tasks share.

A task defines a subclass of ``Protocol`` and a ``ClipScorer``, and adds its protocols to ``ls3d.evaluation.registry``.
"""

from __future__ import annotations

import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from ls3d.data import Clip, DataSet
from ls3d.models.network import Network, Task


class MetricInfo(typing.Protocol):
    """What reports show of a metric; ``ls3d.metrics.Metric`` is one."""

    @property
    def description(self) -> str:
        """One phrase."""
        ...

    @property
    def unit(self) -> str:
        """``"dB"``, or empty."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """False for an error."""
        ...


@dataclass(frozen=True)
class PublishedRow:
    """A row of a published table.

    Attributes:
        method: name of the method.
        scores: its scores, by column of the protocol.
    """

    method: str
    scores: dict[str, float]


@dataclass(frozen=True)
class ClipScore:
    """The scores of a clip.

    Attributes:
        scores: mean over the scored frames, by column.
        frames: number of scored frames.
        worst_frame: index of the frame with the worst score in the first column.
    """

    scores: dict[str, float]
    frames: int
    worst_frame: int


@dataclass(frozen=True)
class ShownClip:
    """A clip that is shown on the page.

    Attributes:
        clip: the clip.
        score: what ``ClipScorer.score`` returned for it.
        caption: its name and its score.
    """

    clip: Clip
    score: ClipScore
    caption: str


class ClipScorer(typing.Protocol):
    """Evaluates one network under one protocol, clip by clip."""

    def score(self, clip: Clip) -> ClipScore | None:
        """Score a clip; None if it is too short to have a scored frame.

        Raises:
            NetworkOutputError: what the network returned is not as promised.
        """
        ...

    def draw(self, clips: Sequence[ShownClip], model: str) -> str:
        """The section of the page that shows clips, as HTML.

        Args:
            clips: from the worst to the best.
            model: name of the network.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Protocol(ABC):
    """How a table is measured.

    Attributes:
        name: the key in ``ls3d.evaluation.PROTOCOLS``.
        title: heading of the table.
        data_set: the test set.
        metrics: by column of the table. The first column decides which frame of a clip and which clip is worst.
        average: ``"clips"``: the mean over the frames of each clip, then over the clips; ``"frames"``: over all frames.
        published: rows of papers that were measured under this protocol.
        note: a remark printed below the table.
    """

    name: str
    title: str
    data_set: DataSet
    metrics: Mapping[str, MetricInfo]
    average: Literal["clips", "frames"] = "clips"
    published: tuple[PublishedRow, ...] = field(default=(), repr=False)
    note: str = ""

    @property
    @abstractmethod
    def task(self) -> Task:
        """The task that networks must be for."""

    @property
    @abstractmethod
    def scored_frames_in_set(self) -> int | None:
        """Number of frames that are scored in the complete data set; None if there is no official number."""

    @abstractmethod
    def conditions(self) -> dict[str, Any]:
        """Everything that determines the scores, for the JSON."""

    @abstractmethod
    def scorer(self, network: Network, device: torch.device) -> ClipScorer:
        """The object that evaluates ``network``, a network for ``task``, on ``device``."""

    @property
    def main_column(self) -> str:
        """The first column."""
        return next(iter(self.metrics))

    def quality(self, score: float, column: str | None = None) -> float:
        """A score of ``column`` (by default the first one), negated if lower is better: to compare and sort by."""
        metric = self.metrics[column or self.main_column]
        return score if metric.higher_is_better else -score
