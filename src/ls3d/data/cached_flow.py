"""Optical flow of whole videos, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ls3d.data.decoded import DecodedFrames
from ls3d.data.flow import Flow, FlowMethod, compute_flow
from ls3d.data.labeled import FileFrames, TimedFrames
from ls3d.data.shards import ShardFrames
from ls3d.errors import InputError
from ls3d.files import atomic_write, cache_folder


@dataclass(frozen=True)
class CachedFlow:
    """Flow of a whole video at a fixed rate, computed when it is first read and kept in the user's cache folder.

    The file is ``$XDG_CACHE_HOME/ls3d/flow/*.npy``, with half precision.

    Attributes:
        frames: of the video.
        rate: frames per second between which the flow is computed.
        method: of the computation.
    """

    frames: TimedFrames
    rate: float
    method: FlowMethod = "dis"

    def read(self, times: Sequence[float], step: float) -> Flow:
        """Return the displacements ``(T, H, W, 2)`` of pixels from each time to ``step`` seconds later.

        They are those of the nearest two frames at the fixed rate, scaled.

        Raises:
            InputError: the frames can't be decoded.
            OSError: the file can't be read.
        """
        file = self._file()
        try:
            flow = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError):  # there is none, or it is damaged
            flow = self._compute(file)
        indices = np.floor(np.asarray(times) * self.rate).astype(int).clip(0, len(flow) - 1)
        return np.asarray(flow[indices], np.float32) * (step * self.rate)

    def _compute(self, file: Path) -> Flow:
        count = max(1, round(self.frames.duration * self.rate))
        times = [min(k / self.rate, self.frames.duration) for k in range(count + 1)]
        flow = compute_flow(self.frames.read(times), self.method).astype(np.float16)
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as temporary, temporary.open("wb") as output:
            np.save(output, flow)
        return flow.astype(np.float32)

    def _file(self) -> Path:
        identity = f"{_identity(self.frames)}|{self.rate}|{self.method}"
        name = hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()[:32]
        return cache_folder() / "flow" / f"{name}.npy"


def _identity(frames: TimedFrames) -> str:
    """A text that changes when the frames change."""
    if isinstance(frames, FileFrames):
        status = os.stat(frames.path)
        file = f"{frames.path.absolute()}|{status.st_size}|{status.st_mtime_ns}"
        return f"{file}|{frames.start}|{frames.duration}|{frames.short_side}"
    if isinstance(frames, ShardFrames):
        return f"{frames.member.sha256}|{frames.duration}|{frames.short_side}"
    if isinstance(frames, DecodedFrames):
        return f"{frames.digest}|{frames.rate}|{frames.duration}"
    raise InputError(f"the flow of {type(frames).__name__} can't be kept on disk")
