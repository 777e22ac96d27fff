"""Small files that would take much memory or time to decode."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import av
import numpy as np


def large_picture() -> bytes:
    """A small PNG of a hundred million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(10_001) * 10_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def many_frames(folder: Path) -> bytes:
    """A file of a few kilobytes with thousands of frames."""
    path = folder / "many.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=1000, options={"preset": "ultrafast"})
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        for _ in range(4000):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((24, 16), np.uint8), "yuv420p")))
        output.mux(stream.encode(None))
    return path.read_bytes()
