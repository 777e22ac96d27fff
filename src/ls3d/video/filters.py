"""FFmpeg's filters, applied to pictures one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av

from ls3d.video.properties import VideoInfo


class PictureFilter:
    """A filter of FFmpeg with one input and one output.

    Args:
        info: properties of the pictures.
        name: of the filter.
        options: of the filter, as FFmpeg reads them.
    """

    def __init__(self, info: VideoInfo, name: str, options: str = "") -> None:
        size = f"{info.width}x{info.height}"
        matrix, color_range = info.tags["colorspace"], info.tags["color_range"]
        self._graph = av.filter.Graph()
        source = self._graph.add(
            "buffer",
            f"video_size={size}:pix_fmt={info.color.layout.name}:time_base=1/1:colorspace={matrix}:range={color_range}",
        )
        applied = self._graph.add(name, options)
        source.link_to(applied)
        applied.link_to(self._graph.add("buffersink"))
        self._graph.configure()
        self._count = 0

    def push(self, picture: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """Filter the next picture.

        Args:
            picture: planar, with the layout, size and tags of the video; its timestamp is overwritten. None after the
                last one.

        Yields:
            The pictures that are complete. Input picture n, from 0, has the time n seconds.
        """
        if picture is not None:
            picture.pts = self._count
            picture.time_base = Fraction(1)
            self._count += 1
        self._graph.push(picture)
        while True:
            try:
                result = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            assert isinstance(result, av.VideoFrame)
            yield result
