"""At which times of a video the frames of a clip are. Times are seconds, so clips are alike whatever the frame rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClipTiming:
    """The length of a clip and the distance of its frames.

    Attributes:
        frames: number of frames.
        fps: frames per second; independent of the frame rate of the video.
    """

    frames: int
    fps: float

    @property
    def duration(self) -> float:
        """Length of a clip in seconds."""
        return self.frames / self.fps

    def times(self, start: float, duration: float, speed: float = 1.0) -> list[float]:
        """Return the times of the frames, each at the middle of its interval.

        Args:
            start: of the clip, in seconds; may be negative.
            duration: of the video, in seconds; times outside it are moved to its ends.
            speed: the clip covers this times its usual duration.
        """
        return [min(max(start + (k + 0.5) * speed / self.fps, 0.0), duration) for k in range(self.frames)]

    def random_start(self, rng: np.random.Generator, duration: float, speed: float = 1.0) -> float:
        """Draw a start uniformly such that the clip is inside the video, or contains it if the video is shorter."""
        slack = duration - self.duration * speed
        return float(rng.uniform(min(0.0, slack), max(0.0, slack)))

    def uniform_starts(self, duration: float, count: int) -> list[float]:
        """Return evenly spaced starts: the middle for one clip, otherwise from the beginning to the end of the video.

        A video that is not longer than a clip is contained in the middle of every clip.
        """
        slack = duration - self.duration
        if count == 1 or slack <= 0:
            return [slack / 2] * count
        return [slack * k / (count - 1) for k in range(count)]

    def dense_starts(self, duration: float, stride: float) -> list[float]:
        """Return starts every ``stride`` seconds, as many as fit; the middle if the video is shorter than a clip."""
        slack = duration - self.duration
        if slack <= 0:
            return [slack / 2]
        return [k * stride for k in range(int(slack / stride + 1e-6) + 1)]
