"""``classify_video``: the classes of a video over time, by a window that slides over it.

The file is decoded once, and only the frames of one window are kept, so memory does not depend on its length.
"""

from __future__ import annotations

import csv
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ls3d.data.clips import Pixels
from ls3d.data.labeled_clips import Region, resize_region
from ls3d.errors import InputError
from ls3d.files import atomic_write
from ls3d.inference import Classifier
from ls3d.video import read_frames_regularly

#: Windows that the network receives at once.
_BATCH = 8

#: Frames are decoded at most at this multiple of the size of a clip.
_MARGIN = 1.5


@dataclass(frozen=True)
class Window:
    """A part of a video and its probabilities.

    Attributes:
        start: in seconds.
        end: in seconds.
        probabilities: of all classes.
    """

    start: float
    end: float
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class TimeLine:
    """The classes of a video over time.

    Attributes:
        video: name of the file.
        classes: names of the classes.
        windows: in the order of time; they overlap.
    """

    video: str
    classes: tuple[str, ...]
    windows: tuple[Window, ...]

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Mean probabilities of all windows."""
        mean = np.mean([window.probabilities for window in self.windows], axis=0)
        return tuple(mean.tolist())

    def best(self, count: int = 5, probabilities: Sequence[float] | None = None) -> dict[str, float]:
        """Return the most probable classes.

        Args:
            count: how many.
            probabilities: of a window; None for those of the whole video.
        """
        values = self.probabilities if probabilities is None else probabilities
        order = sorted(range(len(values)), key=lambda k: -values[k])[:count]
        return {self.classes[k]: values[k] for k in order}

    def to_dict(self, count: int = 5) -> dict[str, Any]:
        """Return the content of the JSON: the most probable classes of the video and of each window."""

        def rounded(best: dict[str, float]) -> dict[str, float]:
            return {name: round(value, 4) for name, value in best.items()}

        windows = [
            {
                "start": round(window.start, 3),
                "end": round(window.end, 3),
                "best": rounded(self.best(count, window.probabilities)),
            }
            for window in self.windows
        ]
        return {"video": self.video, "best": rounded(self.best(count)), "windows": windows}


def classify_video(
    classifier: Classifier,
    path: str | os.PathLike[str],
    *,
    stride: float | None = None,
    progress: Callable[[float], None] | None = None,
) -> TimeLine:
    """Classify a video by a sliding window.

    Args:
        classifier: the network; its metadata say how long a clip is.
        path: a video file.
        stride: seconds from one window to the next; None for half the length of a clip.
        progress: called after each batch of windows with the time that was reached, in seconds.

    Returns:
        The time line. A video shorter than a clip has one window, in which its last frame is repeated.

    Raises:
        OSError: the file can't be read.
        InputError: it is not a video, a frame can't be decoded, or the stride is not positive.
    """
    clip = classifier.clip
    step = max(1, round((clip.frames / clip.fps / 2 if stride is None else stride) * clip.fps))
    if stride is not None and not stride > 0:
        raise InputError(f"{stride:g}: expected a positive number of seconds", argument="stride")
    windows: list[Window] = []
    batch: list[tuple[int, torch.Tensor]] = []

    def finish() -> None:
        if not batch:
            return
        found = classifier.probabilities(torch.stack([frames for _, frames in batch])).tolist()
        for (first, _), probabilities in zip(batch, found, strict=True):
            windows.append(Window(first / clip.fps, (first + clip.frames) / clip.fps, tuple(probabilities)))
        batch.clear()
        if progress:
            progress(windows[-1].end)

    short_side = round(_MARGIN * max(clip.size) / clip.share)
    for first, frames in _windows(read_frames_regularly(path, clip.fps, short_side), clip.frames, step):
        region = Region.inside(frames.shape[1:3], clip.size, clip.share)
        batch.append((first, resize_region(frames, region, clip.size)))
        if len(batch) == _BATCH:
            finish()
    finish()
    return TimeLine(Path(path).name, classifier.classes, tuple(windows))


def _windows(frames: Iterator[Pixels], length: int, step: int) -> Iterator[tuple[int, Pixels]]:
    """Yield windows ``(length, H, W, 3)`` every ``step`` frames with the number of their first frame."""
    recent: deque[Pixels] = deque(maxlen=length)
    count = 0
    for count, frame in enumerate(frames, 1):
        recent.append(frame)
        if count >= length and (count - length) % step == 0:
            yield count - length, np.stack(recent)
    if 0 < count < length:
        yield 0, np.stack([*recent, *[recent[-1]] * (length - count)])


def save_json(time_lines: Sequence[TimeLine], path: str | os.PathLike[str], count: int = 5) -> None:
    """Write time lines as a JSON list, atomically."""
    content = [time_line.to_dict(count) for time_line in time_lines]
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def save_csv(time_lines: Sequence[TimeLine], path: str | os.PathLike[str]) -> None:
    """Write one row for each window, atomically: video, start, end, most probable class, its probability."""
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "start", "end", "class", "probability"])
        for time_line in time_lines:
            for window in time_line.windows:
                ((name, value),) = time_line.best(1, window.probabilities).items()
                writer.writerow([time_line.video, f"{window.start:.3f}", f"{window.end:.3f}", name, f"{value:.4f}"])
