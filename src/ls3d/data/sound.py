"""The sound of a video, by time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ls3d.data.spectrograms import RATE

Samples = npt.NDArray[np.float32]


class TimedSound(Protocol):
    """The sound of a video, mono, 16,000 samples per second."""

    def read(self, start: float, count: int) -> Samples | None:
        """Return ``count`` samples from -1 to 1 from a time in seconds on, zeros where there are none.

        Returns:
            ``(count,)``, or None if the video has no sound.

        Raises:
            InputError: it can't be decoded.
            OSError: the file can't be read.
        """
        ...


@dataclass(frozen=True)
class FileSound:
    """The sound of a video file, or of a part of it. Implements ``TimedSound``.

    Attributes:
        path: the file.
        start: of the part, in seconds.
    """

    path: Path
    start: float = 0.0

    def read(self, start: float, count: int) -> Samples | None:
        """See ``TimedSound.read``."""
        from ls3d.video import read_audio

        return read_audio(self.path, self.start + start, count, RATE)


@dataclass(frozen=True, eq=False)
class DecodedSound:
    """Samples in memory. Implements ``TimedSound``.

    Attributes:
        samples: ``(n,)``, from the start of the video on.
    """

    samples: Samples

    def read(self, start: float, count: int) -> Samples | None:
        """See ``TimedSound.read``."""
        first = round(start * RATE)
        found = np.zeros(count, np.float32)
        begin, end = max(0, first), min(len(self.samples), first + count)
        if begin < end:
            found[begin - first : end - first] = self.samples[begin:end]
        return found
