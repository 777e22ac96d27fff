"""``classify_video``: the classes of a video over time, by a window that slides over it.

The file is decoded once, and only the frames of one batch of windows are kept. A window that is done takes four bytes
for each class.
"""

from __future__ import annotations

import bisect
import csv
import itertools
import math
import os
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch

from ls3d.data.clips import Pixels
from ls3d.data.labeled_clips import Region, resize_region
from ls3d.errors import InputError
from ls3d.files import atomic_write, write_json
from ls3d.inference import Classifier
from ls3d.video import read_frames_regularly

#: Frames are decoded at most at this multiple of the size of a clip.
_MARGIN = 1.5

#: Probabilities of all classes, ``(classes,)``.
Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Window:
    """A part of a video and its probabilities.

    Attributes:
        start: in seconds.
        end: in seconds.
        probabilities: of all classes.
    """

    start: float
    end: float
    probabilities: Probabilities

    @property
    def center(self) -> float:
        """The middle between start and end."""
        return (self.start + self.end) / 2


class WindowList(Sequence[Window]):
    """Windows as they are kept for a whole video: their numbers are in three arrays.

    An object for each of them, between the large blocks that networks allocate and free, would fragment the memory.
    """

    def __init__(self) -> None:
        self._starts = array("d")
        self._ends = array("d")
        self._probabilities = array("f")

    def append(self, window: Window) -> None:
        """Add a window; all have the same number of classes."""
        self._starts.append(window.start)
        self._ends.append(window.end)
        self._probabilities.frombytes(window.probabilities.tobytes())

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> Window: ...
    @overload
    def __getitem__(self, index: slice) -> list[Window]: ...
    def __getitem__(self, index: int | slice) -> Window | list[Window]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        classes = len(self._probabilities) // len(self)
        row = self._probabilities[number * classes : (number + 1) * classes]
        return Window(self._starts[number], self._ends[number], np.frombuffer(row, np.float32))


class MeanProbabilities:
    """The mean over windows, of which none is kept.

    Attributes:
        count: number of windows.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sum: npt.NDArray[np.float64] = np.zeros(())

    def add(self, probabilities: Probabilities) -> None:
        """Add a window."""
        self._sum = self._sum + probabilities
        self.count += 1

    @property
    def values(self) -> Probabilities:
        """The mean, after at least one window."""
        return (self._sum / self.count).astype(np.float32)


@dataclass(frozen=True)
class TimeLine:
    """The classes of a video over time.

    Attributes:
        video: path of the file, as it was given.
        classes: names of the classes.
        windows: in the order of time; they overlap.
    """

    video: str
    classes: tuple[str, ...]
    windows: Sequence[Window]

    @property
    def probabilities(self) -> Probabilities:
        """Mean probabilities of all windows."""
        mean = MeanProbabilities()
        for window in self.windows:
            mean.add(window.probabilities)
        return mean.values

    def best(self, count: int = 5, probabilities: Probabilities | None = None) -> dict[str, float]:
        """Return the most probable classes.

        Args:
            count: how many.
            probabilities: of a window; None for those of the whole video.
        """
        return best_classes(self.classes, self.probabilities if probabilities is None else probabilities, count)

    def at(self, time: float) -> Window:
        """Return the window whose center is nearest to a time in seconds."""
        after = bisect.bisect_left(self.windows, time, key=lambda window: window.center)
        candidates = self.windows[max(0, after - 1) : after + 1]
        return min(candidates, key=lambda window: abs(window.center - time))

    def to_dict(self, count: int = 5) -> dict[str, Any]:
        """Return the content of the JSON: the most probable classes of the video and of each window."""
        windows = [window_to_dict(window, self.classes, count) for window in self.windows]
        return {"video": self.video, "best": _rounded(self.best(count)), "windows": windows}


def best_classes(classes: Sequence[str], probabilities: Probabilities, count: int) -> dict[str, float]:
    """The most probable classes, in descending order, with their probabilities."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return {classes[k]: float(probabilities[k]) for k in order}


def window_to_dict(window: Window, classes: Sequence[str], count: int) -> dict[str, Any]:
    """Return start, end and the most probable classes of a window, for JSON."""
    best = _rounded(best_classes(classes, window.probabilities, count))
    return {"start": round(window.start, 3), "end": round(window.end, 3), "best": best}


def _rounded(best: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in best.items()}


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
    step = frames_between_windows(classifier, stride)
    frames = read_frames_regularly(path, classifier.clip.fps, decoded_size(classifier))
    windows = WindowList()
    for batch in batched(sliding_windows(frames, classifier.clip.frames, step), classifier.batch_size):
        for window in classify_clips(classifier, batch):
            windows.append(window)
        if progress:
            progress(windows[-1].end)
    return TimeLine(os.fspath(path), classifier.classes, windows)


def frames_between_windows(classifier: Classifier, stride: float | None) -> int:
    """Frames of a clip's rate from one window to the next; half a clip unless ``stride`` says how many seconds.

    Raises:
        InputError: the stride is not positive.
    """
    if stride is not None and not 0 < stride < math.inf:
        raise InputError(f"{stride:g}: expected a positive number of seconds", argument="stride")
    clip = classifier.clip
    return max(1, round((clip.frames / clip.fps / 2 if stride is None else stride) * clip.fps))


def decoded_size(classifier: Classifier) -> int:
    """The shorter side to which frames are scaled when they are decoded."""
    return round(_MARGIN * max(classifier.clip.size) / classifier.clip.share)


def sliding_windows(frames: Iterable[Pixels], length: int, step: int) -> Iterator[tuple[int, Pixels]]:
    """Yield windows ``(length, H, W, 3)`` every ``step`` frames with the number of their first frame."""
    recent: deque[Pixels] = deque(maxlen=length)
    count = 0
    for count, frame in enumerate(frames, 1):
        recent.append(frame)
        if count >= length and (count - length) % step == 0:
            yield count - length, np.stack(recent)
    if 0 < count < length:
        yield 0, np.stack([*recent, *[recent[-1]] * (length - count)])


def batched(windows: Iterator[tuple[int, Pixels]], size: int) -> Iterator[list[tuple[int, Pixels]]]:
    """Yield lists of ``size`` windows; the last one may be shorter."""
    while batch := list(itertools.islice(windows, size)):
        yield batch


def classify_clips(classifier: Classifier, batch: Sequence[tuple[int, Pixels]]) -> list[Window]:
    """Classify windows of frames ``(T, H, W, 3)``, each with the number of its first frame."""
    clip = classifier.clip
    clips = []
    for _, frames in batch:
        region = Region.inside(frames.shape[1:3], clip.size, clip.share)
        clips.append(resize_region(frames, region, clip.size))
    found = classifier.probabilities(torch.stack(clips)).cpu().numpy()
    return [
        Window(first / clip.fps, (first + clip.frames) / clip.fps, probabilities)
        for (first, _), probabilities in zip(batch, found, strict=True)
    ]


def save_json(time_lines: Sequence[TimeLine], path: str | os.PathLike[str], count: int = 5) -> None:
    """Write time lines as a JSON list, atomically."""
    content = [time_line.to_dict(count) for time_line in time_lines]
    write_json(path, content)


def save_csv(time_lines: Sequence[TimeLine], path: str | os.PathLike[str]) -> None:
    """Write one row for each window, atomically: video, start, end, most probable class, its probability."""
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "start", "end", "class", "probability"])
        for time_line in time_lines:
            for window in time_line.windows:
                ((name, value),) = time_line.best(1, window.probabilities).items()
                writer.writerow([time_line.video, f"{window.start:.3f}", f"{window.end:.3f}", name, f"{value:.4f}"])
