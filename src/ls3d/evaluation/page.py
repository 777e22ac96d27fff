"""The report as one HTML page: the table, a bar for every clip, pictures with a slider, error maps."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence

import numpy as np

from ls3d.data import Clip
from ls3d.evaluation.protocol import ClipScorer, ShownClip
from ls3d.evaluation.report import EvaluationReport
from ls3d.evaluation.table import format_score, format_scores, heading, ranked_rows, remarks
from ls3d.evaluation.templates import render
from ls3d.files import atomic_write

#: Number of clips that are shown in pictures, from the worst to the best.
_SHOWN_CLIPS = 6


def write_page(
    report: EvaluationReport, path: str | os.PathLike[str], scorer: ClipScorer, clips: Sequence[Clip]
) -> None:
    """Write the page of a finished evaluation, atomically.

    Args:
        report: the result.
        path: the file to write.
        scorer: makes the frames that are shown once more.
        clips: the clips of the data set.
    """
    text = render(
        "page.html.j2",
        title=f"{report.model} on {report.protocol.title}",
        remarks=remarks(report),
        headings=[heading(column) for column in report.protocol.metrics],
        methods=[(row, format_scores(report.protocol, row.scores)) for row in ranked_rows(report)],
        clips=_clip_rows(report),
        pictures=scorer.draw(_shown_clips(report, clips), report.model),
        conditions=json.dumps(report.to_dict() | {"clips": len(report.clips)}, indent=2),
    )
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _clip_rows(report: EvaluationReport) -> list[tuple[str, float, list[str]]]:
    """Name, length of the bar in percent of the longest, and cells of every clip."""
    column = report.protocol.main_column
    scores = {name: clip.scores[column] for name, clip in report.clips.items()}
    longest = max((score for score in scores.values() if math.isfinite(score)), default=1.0) or 1.0
    return [
        (name, 100 * max(0.0, min(scores[name] / longest, 1.0)), format_scores(report.protocol, clip.scores))
        for name, clip in report.clips.items()
    ]


def _shown_clips(report: EvaluationReport, clips: Sequence[Clip]) -> list[ShownClip]:
    """Clips from the worst to the best, evenly spaced in the ranking."""
    protocol = report.protocol
    ranked = sorted(
        (clip for clip in clips if clip.name in report.clips),
        key=lambda clip: protocol.quality(report.clips[clip.name].scores[protocol.main_column]),
    )
    ranks = np.linspace(0, len(ranked) - 1, min(_SHOWN_CLIPS, len(ranked))).round().astype(int)
    return [_shown_clip(report, ranked[rank]) for rank in ranks]


def _shown_clip(report: EvaluationReport, clip: Clip) -> ShownClip:
    column = report.protocol.main_column
    metric = report.protocol.metrics[column]
    score = report.clips[clip.name]
    value = format_score(metric, score.scores[column])
    return ShownClip(clip, score, f"{clip.name}: {heading(column)} {value} {metric.unit} over the clip")
