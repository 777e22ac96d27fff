"""Where output frames go: encoded into segments of a workspace, or as y4m into a pipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

import torch

from ls3d.enhance._frame_tasks import Output
from ls3d.enhance._plan import SegmentPlan
from ls3d.enhance._segments import FrameCounts, Segment
from ls3d.enhance._threads import PATIENCE
from ls3d.enhance._workspace import SegmentWriter, Workspace
from ls3d.video import Encoder, EncoderSettings, Frame, Packet, from_rgb, to_rgb, write_y4m
from ls3d.video.alpha import quantized_alpha, with_depth
from ls3d.video.color import Color
from ls3d.video.pixels import Plane


@dataclass(frozen=True)
class EndOfSegment:
    """Says that all output frames of a segment were sent.

    Attributes:
        plan: of the segment.
        counts: of its frames.
    """

    plan: SegmentPlan
    counts: FrameCounts


class Sink:
    """Takes output frames and ends of segments, in a thread of its own.

    Args:
        settings: of the encoder.
        color: of the source.

    Attributes:
        segments: those that are finished.
        patience: seconds to wait after an interruption until what was sent is written; None for as long as it takes.
    """

    patience: float | None = None

    def __init__(self, settings: EncoderSettings, color: Color) -> None:
        self.segments: list[Segment] = []
        self._settings = settings
        self._source_color = color

    def handle(self, item: Output | EndOfSegment) -> None:
        """Encode a frame, or finish a segment."""
        with torch.inference_mode():
            if isinstance(item, Output):
                self._write(item)
            else:
                self.segments.append(self._finish(item))

    def abandon(self) -> None:
        """Delete the unfinished segment."""

    def _write(self, output: Output) -> None:
        raise NotImplementedError

    def _finish(self, end: EndOfSegment) -> Segment:
        raise NotImplementedError

    def _encode(self, encoder: Encoder, output: Output) -> list[Packet]:
        """Encode an output frame; a source frame's own samples are used where they fit."""
        source = self._source_color
        target = self._settings.color
        alpha = self._alpha(output)
        if isinstance(output.pixels, Frame):
            if source == target:
                return encoder.encode(output.pixels.picture, output.pts, alpha)
            rgb = to_rgb(output.pixels.picture, source)
        else:
            rgb = output.pixels
        picture = from_rgb(rgb, target, dither=source.layout.depth > target.layout.depth)
        return encoder.encode(picture, output.pts, alpha)

    def _alpha(self, output: Output) -> Plane | None:
        """The alpha of an output frame with the encoder's number of bits; None if the output has no alpha."""
        alpha = output.pixels.alpha if isinstance(output.pixels, Frame) else output.alpha
        if alpha is None or not self._settings.alpha:
            return None
        depth = self._settings.color.layout.depth
        if isinstance(alpha, torch.Tensor):
            return quantized_alpha(alpha.float().cpu().numpy(), depth)
        return with_depth(alpha, self._source_color.layout.depth, depth)


class SegmentSink(Sink):
    """Writes segments into a workspace, each from a new encoder.

    Args:
        settings: of the encoder.
        color: of the source.
        workspace: where the segments will be.
    """

    def __init__(self, settings: EncoderSettings, color: Color, workspace: Workspace) -> None:
        super().__init__(settings, color)
        self._workspace = workspace
        self._encoder: Encoder | None = None
        self._writer: SegmentWriter | None = None

    def abandon(self) -> None:
        """Delete the unfinished segment."""
        if self._writer is not None:
            self._writer.abandon()

    def _write(self, output: Output) -> None:
        if self._encoder is None or self._writer is None:
            self._encoder = Encoder(self._settings)
            self._writer = self._workspace.create()
        for packet in self._encode(self._encoder, output):
            self._writer.write(packet)

    def _finish(self, end: EndOfSegment) -> Segment:
        if self._writer is None:  # the segment has no output frame
            self._writer = self._workspace.create()
        for packet in self._encoder.flush() if self._encoder is not None else ():
            self._writer.write(packet)
        segment = self._writer.close(end.plan, end.counts)
        self._encoder = None
        self._writer = None
        return segment


class PipeSink(Sink):
    """Writes frames as y4m into a pipe; segments have no meaning there.

    Args:
        settings: of the encoder.
        color: of the source.
        file: a binary file that can be written.
    """

    patience = PATIENCE  # the other end may read nothing

    def __init__(self, settings: EncoderSettings, color: Color, file: BinaryIO) -> None:
        super().__init__(settings, color)
        self._file = file
        self._encoder = Encoder(settings)

    def _write(self, output: Output) -> None:
        write_y4m(self._file, self._encode(self._encoder, output))

    def _finish(self, end: EndOfSegment) -> Segment:
        return Segment(end.plan, end.counts, delay=0, digest="")
