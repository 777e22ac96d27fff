"""Transparency: the alpha plane of a picture, which is kept beside its planar samples.

An alpha plane holds codes of the full range, ``(height, width)``, with as many bits as the picture's other samples.
VP8 and VP9 have no alpha; Matroska and WebM files hold it in a second layer, a video of its own.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import av
import numpy as np
import numpy.typing as npt
from av.packet import PacketSideData
from av.video.codeccontext import VideoCodecContext

from ls3d.video._pyav_internals import packet_side_data
from ls3d.video.pixels import Plane, gray_layout, layout_of, picture_of, plane_samples, planes_of

#: Samples of a pixel and which of them is alpha, by the beginning of the names of packed formats.
_PACKED = {"rgba": (4, 3), "bgra": (4, 3), "argb": (4, 0), "abgr": (4, 0), "ya": (2, 1)}
#: Which sample of a pixel holds the planes of a planar picture (G, B, R, or Y).
_ORDERS = {"rgba": (1, 2, 0), "bgra": (1, 0, 2), "argb": (2, 3, 1), "abgr": (2, 1, 3), "ya": (0,)}

#: Decoders that decode the second layer, by codec; FFmpeg's own ones don't.
_LAYER_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}

_LAYER: Literal["matroska_block_additional"] = "matroska_block_additional"
_LENGTH_BYTES = 4


def has_alpha(pix_fmt: str) -> bool:
    """Whether a pixel format has an alpha channel. Palettes, which may have transparent colors, are not counted."""
    return any(component.is_alpha for component in av.VideoFormat(pix_fmt).components)


def is_transparent(picture: av.VideoFrame) -> bool:
    """Whether a picture has an alpha channel, or samples of a transparent color of its palette."""
    if picture.format.has_palette:
        return bool(alpha_of(picture, (picture.height, picture.width), 8).min() < 255)
    return has_alpha(picture.format.name)


def alpha_of(picture: av.VideoFrame, size: tuple[int, int], depth: int) -> Plane:
    """The alpha plane of a decoded picture; opaque if it has none.

    Args:
        picture: of any pixel format.
        size: height and width of the plane; the picture's is resized if it has others.
        depth: bits per sample of the plane.
    """
    name = picture.format.name
    if picture.format.has_palette:
        picture = picture.reformat(format="rgba")
    elif not has_alpha(name):
        return opaque(size, depth)
    elif not is_writable(name):
        picture = picture.reformat(format="gbrap16le" if layout_of(name).depth > 8 else "gbrap")
    layout = layout_of(picture.format.name)
    if _is_planar(picture.format.name):
        plane = plane_samples(picture.planes[3], _dtype(picture.format), picture.height, picture.width)
    else:
        plane = _packed_samples(picture)[..., _PACKED[_packing(picture.format.name)][1]]
    plane = plane.astype(layout.dtype)
    if plane.shape != size:
        gray = picture_of([plane], gray_layout(layout.depth))
        plane = planes_of(gray.reformat(size[1], size[0]))[0]
    return with_depth(np.array(plane), layout.depth, depth)


def opaque(size: tuple[int, int], depth: int) -> Plane:
    """An alpha plane of this height and width, and with this number of bits, that hides nothing of the picture."""
    return np.full(size, 2**depth - 1, np.dtype("<u2") if depth > 8 else np.dtype("u1"))


def with_depth(alpha: Plane, depth: int, new_depth: int) -> Plane:
    """An alpha plane with another number of bits per sample."""
    if depth == new_depth:
        return alpha
    return quantized_alpha(alpha.astype(np.float32) / np.float32(2**depth - 1), new_depth)


def quantized_alpha(alpha: npt.NDArray[np.float32], depth: int) -> Plane:
    """The alpha plane with this number of bits for values in [0, 1]; others are clipped."""
    dtype = np.dtype("<u2") if depth > 8 else np.dtype("u1")
    return np.round(alpha.clip(0, 1) * np.float32(2**depth - 1)).astype(dtype)


def with_alpha(picture: av.VideoFrame, alpha: Plane, pix_fmt: str) -> av.VideoFrame:
    """A picture with alpha.

    Args:
        picture: planar.
        alpha: as many bits as the samples of ``picture``.
        pix_fmt: a format with alpha whose other samples are those of ``picture``.
    """
    result = av.VideoFrame(picture.width, picture.height, pix_fmt)
    planes = planes_of(picture)
    if _is_planar(pix_fmt):
        for view, plane in zip(planes_of(result), planes, strict=True):
            view[:] = plane
        dtype = _dtype(result.format)
        plane_samples(result.planes[3], dtype, picture.height, picture.width)[:] = alpha
        return result
    samples = _packed_samples(result)
    packing = _packing(pix_fmt)
    for place, plane in zip((*_ORDERS[packing], _PACKED[packing][1]), (*planes, alpha), strict=True):
        samples[..., place] = plane
    return result


def is_writable(pix_fmt: str) -> bool:
    """Whether ``with_alpha`` can make pictures of a pixel format with alpha."""
    return _is_planar(pix_fmt) or pix_fmt.startswith(tuple(_PACKED))


def _is_planar(pix_fmt: str) -> bool:
    return pix_fmt.startswith(("yuva", "gbrap"))


def _packing(pix_fmt: str) -> str:
    return next(name for name in _PACKED if pix_fmt.startswith(name))


def _dtype(pixel_format: av.VideoFormat) -> np.dtype[Any]:
    if layout_of(pixel_format.name).depth == 8:
        return np.dtype("u1")
    return np.dtype(">u2" if pixel_format.is_big_endian else "<u2")


def _packed_samples(picture: av.VideoFrame) -> Plane:
    """Samples of a packed picture, ``(height, width, samples of a pixel)``, as a view of its memory."""
    count, _ = _PACKED[_packing(picture.format.name)]
    row = plane_samples(picture.planes[0], _dtype(picture.format), picture.height, picture.width * count)
    return row.reshape(picture.height, picture.width, count)


def layer_decoder(stream: av.VideoStream) -> VideoCodecContext | None:
    """A decoder for a stream whose packets hold alpha in a second layer; None for other streams."""
    if not has_alpha_layer(stream) or stream.codec_context.codec.canonical_name not in _LAYER_DECODERS:
        return None
    name = _LAYER_DECODERS[stream.codec_context.codec.canonical_name]
    decoder = cast(VideoCodecContext, av.CodecContext.create(name, "r"))
    decoder.options = dict(stream.codec_context.options)
    return decoder


def has_alpha_layer(stream: av.VideoStream) -> bool:
    """Whether a Matroska or WebM file says that its VP8 or VP9 has a second layer."""
    return any(key.lower() == "alpha_mode" and value == "1" for key, value in stream.metadata.items())


def packet_data(packet: av.Packet[Any], layered: bool) -> bytes:
    """The bytes of an encoded packet.

    Args:
        packet: from an encoder.
        layered: whether the bytes of its second layer, and their number in four bytes, are to follow.
    """
    if not layered:
        return bytes(packet)
    layer = bytes(PacketSideData.from_packet(packet, _LAYER)) if packet.has_sidedata(_LAYER) else b""
    return bytes(packet) + layer + len(layer).to_bytes(_LENGTH_BYTES, "big")


def packet_of(data: bytes, layered: bool) -> av.Packet[Any]:
    """A packet with the bytes that ``packet_data`` returned."""
    if not layered:
        return av.Packet(data)
    length = int.from_bytes(data[-_LENGTH_BYTES:], "big")
    end = len(data) - _LENGTH_BYTES
    packet: av.Packet[Any] = av.Packet(data[: end - length])
    if length:
        packet.set_sidedata(packet_side_data(_LAYER, data[end - length : end]))
    return packet
