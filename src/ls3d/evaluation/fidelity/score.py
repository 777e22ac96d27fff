"""The scores of a network's frames."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import torch

from ls3d.data import Clip
from ls3d.evaluation.fidelity.pictures import draw_pictures, render_pictures
from ls3d.evaluation.fidelity.scored_frames import ScoredFrame
from ls3d.evaluation.protocol import ClipScore, ShownClip
from ls3d.metrics import Metric


class FrameMaker(Protocol):
    """Runs a network on a clip."""

    def __call__(self, clip: Clip, only: int | None = None) -> Iterator[ScoredFrame]:
        """The scored frames of ``clip``, or only the one with this index."""
        ...


class FidelityScorer:
    """Compares a network's frames with the true ones. Implements ``ClipScorer``.

    Args:
        make_frames: runs the network.
        metrics: by column; the first one decides which frame is worst.
        crop: pixels that are left out at each border.
    """

    def __init__(self, make_frames: FrameMaker, metrics: Mapping[str, Metric], crop: int) -> None:
        self.make_frames = make_frames
        self.metrics = metrics
        self.crop = crop

    @torch.inference_mode()
    def score(self, clip: Clip) -> ClipScore | None:
        """See ``ClipScorer.score``."""
        totals = dict.fromkeys(self.metrics, 0.0)
        main, main_metric = next(iter(self.metrics.items()))
        frames = 0
        worst_frame = 0
        worst_quality = math.inf
        for frame in self.make_frames(clip):
            scores = self._frame_scores(frame)
            for column, score in scores.items():
                totals[column] += score
            quality = scores[main] if main_metric.higher_is_better else -scores[main]
            if frames == 0 or quality < worst_quality:
                worst_frame = frame.index
                worst_quality = quality
            frames += 1
        if not frames:
            return None
        return ClipScore({column: total / frames for column, total in totals.items()}, frames, worst_frame)

    def _frame_scores(self, frame: ScoredFrame) -> dict[str, float]:
        output = frame.output[None]
        truth = frame.truth[None]
        return {column: metric(output, truth, self.crop).item() for column, metric in self.metrics.items()}

    @torch.inference_mode()
    def draw(self, clips: Sequence[ShownClip], model: str) -> str:
        """See ``ClipScorer.draw``: for each clip the frame with the worst score."""
        pictures = []
        for shown in clips:
            frame = next(self.make_frames(shown.clip, only=shown.score.worst_frame))
            pictures.append(draw_pictures(frame, shown.caption))
        return render_pictures(pictures, model)
