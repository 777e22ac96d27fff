"""Names: what suffixes and the names of codecs stand for, and whether there is a file.

This module imports nothing heavy, so that arguments can be checked before PyAV and torch are imported.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ls3d.errors import InputError


class UnusableEncoderError(InputError):
    """FFmpeg has no such encoder, or one that can't be used, whatever the source is."""


#: Pixels of a picture that are decoded unless another limit is given: 8192 x 8192.
DEFAULT_MAX_PIXELS = 1 << 26

#: Suffixes of the files that are read as images, in lower case.
IMAGE_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".dpx"})

#: FFmpeg's names of formats, by suffix.
_CONTAINERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
    ".ts": "mpegts",
    ".m2ts": "mpegts",
    ".mts": "mpegts",
    ".y4m": "y4m",
}

#: Suffixes of the files that are taken for videos, in lower case: those that can be written, and others that are read.
VIDEO_SUFFIXES = frozenset(_CONTAINERS) | {".3gp", ".flv", ".gif", ".mpeg", ".mpg", ".mxf", ".ogv", ".vob", ".wmv"}

#: The codecs that can be asked for.
CODEC_NAMES = ("h264", "hevc", "av1", "vp9", "prores", "ffv1")

#: Hardware encoders that can be asked for where FFmpeg and the machine have them, by FFmpeg's names.
HARDWARE_CODECS = (
    *(f"{codec}_{interface}" for interface in ("nvenc", "qsv", "amf", "vaapi") for codec in ("h264", "hevc", "av1")),
    *("h264_videotoolbox", "hevc_videotoolbox"),
)

#: Kinds of devices that may decode, by FFmpeg's names; any of them, and none.
HARDWARE_DECODERS = (
    *("off", "auto", "cuda", "qsv", "vaapi", "vdpau", "videotoolbox"),
    *("d3d11va", "d3d12va", "dxva2", "vulkan", "drm", "amf"),
)

#: Completes "expected ..." in the error of an unknown codec.
EXPECTED_CODECS = f"one of {', '.join(CODEC_NAMES)}, or a hardware encoder such as h264_nvenc"

_ALIASES = {
    "h265": "hevc",
    "x265": "hevc",
    "x264": "h264",
    "avc": "h264",
    "libx264": "h264",
    "libx265": "hevc",
}

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:/")


def container_of(path: str | os.PathLike[str]) -> str:
    """FFmpeg's name of the format that a file's suffix stands for; ``"y4m"`` for YUV4MPEG2.

    Raises:
        InputError: the suffix is not that of a video format.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _CONTAINERS:
        found = f"suffix {suffix}" if suffix else "name without suffix"
        raise InputError(f"{path}: {found} is not a video format; expected one of {', '.join(_CONTAINERS)}")
    return _CONTAINERS[suffix]


def codec_named(name: str) -> str:
    """The name in ``CODEC_NAMES`` or ``HARDWARE_CODECS`` that a name or alias stands for.

    Raises:
        InputError: there is no such codec.
    """
    if not is_codec(name):
        raise InputError(f"{name}: expected {EXPECTED_CODECS}", argument="codec")
    return _ALIASES.get(name.lower(), name.lower())


def is_codec(name: str) -> bool:
    """Whether this is the name of a codec or a hardware encoder, or an alias."""
    return _ALIASES.get(name.lower(), name.lower()) in CODEC_NAMES + HARDWARE_CODECS


def read_encoder_options(text: str) -> dict[str, str]:
    """Read options for an encoder.

    Args:
        text: ``key=value``, several separated by commas.

    Raises:
        InputError: it is something else.
    """
    options = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not (key.strip() and equals and value.strip()):
            raise InputError(f"{part}: expected key=value, several separated by commas", argument="encoder_options")
        options[key.strip()] = value.strip()
    return options


def is_image(path: Path) -> bool:
    """Whether the suffix is that of an image file."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def is_video(path: Path) -> bool:
    """Whether the suffix is that of a video file."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def is_writable(path: Path) -> bool:
    """Whether the suffix is that of a format that can be written."""
    return path.suffix.lower() in _CONTAINERS


def check_file(path: Path) -> None:
    """Check that there is a file that may be a video, without opening it.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is an address, a folder, a device or a pipe, or empty.
    """
    if not path.exists():
        if _URL.match(os.fspath(path)):
            raise InputError(f"{path}: expected a file; nothing is read from the network")
        raise FileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected a video file")
    if not path.is_file():
        raise InputError(f"{path} is a device or a pipe; expected a file, or - for standard input")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; expected a video")
