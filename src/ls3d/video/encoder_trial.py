"""A trial of an encoder before the work: whether it works on this machine, and takes the options that are requested."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import av
import numpy as np

from ls3d.errors import InputError
from ls3d.video.codecs import is_hardware
from ls3d.video.encoder import Encoder, Packet
from ls3d.video.logs import logged
from ls3d.video.pixels import picture_of
from ls3d.video.settings import EncoderSettings

#: What x264, x265 and SVT-AV1 log about a wrong entry in their own lists of parameters, which they then ignore.
_IGNORED_PARAMETER = re.compile(r"Error parsing option|Unknown option|Invalid value for")


def try_encoder(settings: EncoderSettings) -> list[Packet]:
    """Encode two black pictures.

    Raises:
        InputError: the encoder doesn't work with these settings, isn't on this machine, or refuses requested options.
    """
    trial = _encode(settings)
    if settings.requested:
        _check_requested(settings, trial)
    if trial.error is not None:
        raise _unusable(settings, trial)
    return trial.packets


@dataclass(frozen=True)
class _Trial:
    """The result of encoding.

    Attributes:
        packets: empty after an error.
        error: that ended it, if any.
        messages: that FFmpeg logged.
        unknown: options that the encoder doesn't have.
    """

    packets: list[Packet]
    error: av.FFmpegError | None
    messages: list[str]
    unknown: list[str]

    @property
    def reason(self) -> str:
        """Why there is an error."""
        return self.messages[0] if self.messages else (self.error and self.error.strerror) or ""


def _encode(settings: EncoderSettings) -> _Trial:
    layout = settings.color.layout
    planes = [np.zeros(size, layout.dtype) for size in layout.plane_sizes(settings.height, settings.width)]
    picture = picture_of(planes, layout)
    encoder = Encoder(settings)
    packets: list[Packet] = []
    error = None
    with logged(av.logging.WARNING) as logs:
        try:
            packets = [packet for pts in range(2) for packet in encoder.encode(picture, pts)] + encoder.flush()
        except av.FFmpegError as raised:
            error = raised
        messages = [text.strip().rstrip(".") for _, _, text in logs()]
    return _Trial(packets, error, messages, [] if error else encoder.unknown_options())


def _check_requested(settings: EncoderSettings, trial: _Trial) -> None:
    """Raise an error if the trial failed because of the requested options, or some were ignored."""
    given = ",".join(f"{key}={value}" for key, value in settings.requested.items())
    unknown = [key for key in trial.unknown if key in settings.requested]
    if unknown:
        message = f"{unknown[0]}: the encoder {settings.encoder_name} has no such option"
        raise InputError(message, argument="encoder_options")
    ignored = [message for message in trial.messages if _IGNORED_PARAMETER.search(message)]
    if trial.error is not None:
        if _encode(replace(settings, requested={})).error is None:
            message = f"{given}: the encoder {settings.encoder_name} refuses it ({trial.reason})"
            raise InputError(message, argument="encoder_options") from trial.error
    elif ignored:
        message = f"{given}: the encoder {settings.encoder_name} ignores some of it ({ignored[0]})"
        raise InputError(message, argument="encoder_options")


def _unusable(settings: EncoderSettings, trial: _Trial) -> InputError:
    about = f"{settings.width} x {settings.height} {settings.pix_fmt} at {float(settings.rate):g} fps"
    if is_hardware(settings.codec):
        message = f"{settings.codec}: it can't encode {about} on this machine ({trial.reason}); choose another codec"
        return InputError(message, argument="codec")
    reason = trial.error.strerror if trial.error is not None else ""
    return InputError(f"{settings.codec} can't encode {about} ({reason}); choose another codec")
