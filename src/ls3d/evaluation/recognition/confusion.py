"""The confusion matrix as a picture."""

from __future__ import annotations

import os

from ls3d.evaluation.figure import new_figure, save_figure
from ls3d.evaluation.recognition.report import RecognitionReport

_INCHES = 0.28  # of a row
_NUMBERED = 40  # with more classes, the numbers of videos are not written into the squares
_NAMED = 120  # with more classes, their names are not written at the axes


def plot_confusion(report: RecognitionReport, path: str | os.PathLike[str]) -> None:
    """Draw the confusion matrix: for each class, how its videos were classified, in percent of them.

    Classes without videos have no row.

    Args:
        report: the evaluation.
        path: the file; its suffix, such as ``.svg`` or ``.png``, chooses the format.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    counts = report.confusion
    rows = counts.sum(dim=1).nonzero().flatten()
    columns = (counts.sum(dim=0) + counts.sum(dim=1)).nonzero().flatten()
    shown = counts[rows][:, columns]
    shares = 100 * shown / shown.sum(dim=1, keepdim=True)
    size = max(4.0, min(_INCHES * len(columns), 24.0))
    figure = new_figure(size + 3, size + 2)
    axes = figure.subplots()
    image = axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=100, aspect="auto")
    figure.colorbar(image, label="% of the videos of the class")
    axes.set_xlabel("chosen class")
    axes.set_ylabel("true class")
    axes.set_title(f"{report.model} on {report.data}: top-1 {100 * report.accuracy.top1:.1f} %", fontsize=9)
    if len(columns) <= _NAMED:
        axes.set_xticks(range(len(columns)), [report.classes[k] for k in columns], rotation=90, fontsize=7)
        axes.set_yticks(range(len(rows)), [report.classes[k] for k in rows], fontsize=7)
    if len(columns) <= _NUMBERED:
        for row, column in shown.nonzero().tolist():
            color = "white" if shares[row, column] > 50 else "black"
            axes.text(column, row, str(int(shown[row, column])), ha="center", va="center", color=color, fontsize=7)
    save_figure(figure, path)
