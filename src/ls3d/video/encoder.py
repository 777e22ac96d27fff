"""Encoding of pictures into packets.

An encoder knows no file: its packets can be stored and written to a container later.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import Any, cast

import av
import numpy as np
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from ls3d.video.alpha import opaque, packet_data, with_alpha
from ls3d.video.codecs import codec_of
from ls3d.video.pixels import Plane, planes_of
from ls3d.video.scheduling import unchanged_scheduling
from ls3d.video.settings import EncoderSettings


@dataclass(frozen=True)
class Packet:
    """An encoded picture.

    Attributes:
        pts: presentation time in ticks of the encoder's time base.
        key: whether decoding can begin here.
        data: its bytes; see ``ls3d.video.alpha.packet_data`` for those of ``EncoderSettings.layered``.
    """

    pts: int
    key: bool
    data: bytes


class Encoder:
    """Turns pictures into packets, which come in decoding order.

    Args:
        settings: codec, size, timing and options.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        self.settings = settings
        self._context: VideoCodecContext | None = None  # raw samples need none
        if settings.codec == "av1":
            os.environ.setdefault("SVT_LOG", "1")  # log errors only, not the settings
        name = codec_of(settings.codec).encoder
        if name:
            self._context = cast(VideoCodecContext, av.CodecContext.create(name, "w"))
            settings.apply(self._context)
            self._context.options = settings.encoder_options()
            if settings.global_header:
                self._context.flags |= int(Flags.global_header)

    def encode(self, picture: av.VideoFrame, pts: int, alpha: Plane | None = None) -> list[Packet]:
        """Encode a picture.

        Args:
            picture: in the layout of the settings' color. Its timestamp and tags are overwritten; it may be encoded
                any number of times.
            pts: presentation time in ticks of the settings' time base; it must increase from call to call.
            alpha: transparency of each sample, ``(height, width)``, with as many bits as the picture; used if the
                settings' pixel format has an alpha channel. None for opaque pictures.

        Returns:
            The packets that are complete, possibly none.
        """
        if self._context is None:
            return [Packet(pts, True, _raw_samples(picture))]
        if self.settings.alpha:
            if alpha is None:
                alpha = opaque((picture.height, picture.width), self.settings.color.layout.depth)
            picture = with_alpha(picture, alpha, self.settings.pix_fmt)
        elif picture.format.name != self.settings.pix_fmt:
            picture = picture.reformat(format=self.settings.pix_fmt)
        picture.pts = pts
        picture.time_base = self.settings.time_base
        picture.duration = 0
        picture.pict_type = PictureType.NONE
        for name, value in self.settings.tags.items():
            setattr(picture, name, value)
        with contextlib.nullcontext() if self._context.is_open else unchanged_scheduling():  # it is opened now
            packets = self._context.encode(picture)
        return [self._packet(packet) for packet in packets]

    def unknown_options(self) -> list[str]:
        """Options that the encoder doesn't have; to be asked for after a picture was encoded."""
        return [] if self._context is None else list(self._context.options)

    def flush(self) -> list[Packet]:
        """The packets that were held back; nothing can be encoded afterwards."""
        if self._context is None:
            return []
        return [self._packet(packet) for packet in self._context.encode(None)]

    def _packet(self, packet: av.Packet[Any]) -> Packet:
        return Packet(int(packet.pts or 0), bool(packet.is_keyframe), packet_data(packet, self.settings.layered))


def _raw_samples(picture: av.VideoFrame) -> bytes:
    return b"".join(np.ascontiguousarray(plane).tobytes() for plane in planes_of(picture))
