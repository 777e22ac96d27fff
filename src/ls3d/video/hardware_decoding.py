"""Decoding on a GPU or another device, where FFmpeg and the machine can.

Decoders of H.264, HEVC, VP9 and AV1 are specified to the bit, so that the frames are those of a software decoder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import av
from av.codec.hwaccel import HWAccel, hwdevices_available

from ls3d.errors import InputError
from ls3d.video.decoding import first_pictures
from ls3d.video.logs import logged
from ls3d.video.names import DEFAULT_MAX_PIXELS
from ls3d.video.opening import open_video
from ls3d.video.pixels import layout_of


class DeviceUnusableError(Exception):
    """A video can't be decoded on a device; the text says why."""


def usable_device(path: str | os.PathLike[str], wanted: str, max_pixels: int = DEFAULT_MAX_PIXELS) -> str:
    """The device that decodes a video; its first frame is decoded there.

    Args:
        path: a video file.
        wanted: FFmpeg's name of a kind of device, such as ``"cuda"``, or ``"auto"`` for any.
        max_pixels: a file with larger pictures is refused.

    Returns:
        FFmpeg's name of the kind of device.

    Raises:
        DeviceUnusableError: there is none.
        InputError: it is not a video.
    """
    present = hwdevices_available()
    if wanted != "auto" and wanted not in present:
        raise DeviceUnusableError(f"this FFmpeg has no {wanted}; it has {', '.join(present) or 'none'}")
    reasons = []
    for name in present if wanted == "auto" else [wanted]:
        reason = next(_reasons(path, name, max_pixels), None)
        if reason is None:
            return name
        reasons.append(f"{name}: {reason}")
    raise DeviceUnusableError("; ".join(reasons) or "this FFmpeg has no hardware decoders")


def _reasons(path: str | os.PathLike[str], name: str, max_pixels: int) -> Iterator[str]:
    """Why a device can't decode a video; nothing if it can."""
    accelerator = HWAccel(name, allow_software_fallback=False)
    with logged(av.logging.ERROR) as messages:
        try:
            with open_video(path, max_pixels, accelerator) as (container, stream):
                if not stream.codec_context.is_hwaccel:
                    yield f"no decoder for {stream.codec_context.codec.canonical_name}"
                    return
                layout_of(first_pictures(container, stream, str(path)).pictures[0].format.name)
        except (InputError, av.FFmpegError, NotImplementedError, RuntimeError) as error:
            yield next((text.strip() for _, _, text in messages()), str(error))
