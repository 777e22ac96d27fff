"""The time line of a video as a picture."""

from __future__ import annotations

import os

import numpy as np

from ls3d.evaluation.figure import new_figure, save_figure
from ls3d.recognition.classify import TimeLine


def plot_time_line(time_line: TimeLine, path: str | os.PathLike[str], count: int = 5) -> None:
    """Draw the probabilities of the most probable classes over time.

    Args:
        time_line: of a video.
        path: the file; its suffix, such as ``.svg`` or ``.png``, chooses the format.
        count: number of classes: those with the highest mean over the video.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    figure = new_figure(10, 4)
    axes = figure.subplots()
    times = [window.center for window in time_line.windows]
    values = 100 * np.stack([window.probabilities for window in time_line.windows])
    for name in time_line.best(count):
        axes.plot(times, values[:, time_line.classes.index(name)], label=name, marker="." if len(times) < 50 else "")
    axes.set_xlabel("time, s")
    axes.set_ylabel("probability, %")
    axes.set_xlim(time_line.windows[0].start, time_line.windows[-1].end)
    axes.set_ylim(0, 102)
    axes.set_title(time_line.video)
    figure.legend(loc="outside right upper", fontsize=8)
    save_figure(figure, path)
