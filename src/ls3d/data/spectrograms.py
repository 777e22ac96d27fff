"""Log-mel spectrograms, exactly as Gradient-Blending was published with (VMZ, ``c2/ops/LogMels.cc``)."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

#: Samples per second.
RATE = 16_000
#: Windows of a spectrogram, and mel filters.
WINDOWS, FILTERS = 100, 40
#: Samples of a window (16 ms), and from one window to the next (10 ms).
WINDOW, HOP = 256, 160
#: Samples that a spectrogram needs.
SAMPLES = (WINDOWS - 1) * HOP + WINDOW

_GAIN = 1080674186.3482928
_MEL = 1127.0
_CORNER = 700.0  # Hz


def log_mel(samples: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Compute a log-mel spectrogram.

    The power spectrum of each window (Hann, symmetric) times the filters times a gain gives a value v, of which the
    result is ln v if v > e, otherwise v / e.

    Args:
        samples: mono, 16 kHz, from -1 to 1: ``(n,)`` with n >= 256; ``SAMPLES`` of them give 100 windows.

    Returns:
        ``(1 + (n - 256) // 160, 40)``.
    """
    windows = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), WINDOW)[::HOP]
    spectrum = np.abs(np.fft.rfft(windows * np.hanning(WINDOW), axis=1)) ** 2
    # The published code packs the highest frequency into the first bin.
    spectrum[:, 0] += spectrum[:, -1]
    values = spectrum[:, :-1] @ mel_filters().T * _GAIN
    return np.where(values > np.e, np.log(np.maximum(values, np.e)), values / np.e).astype(np.float32)


@cache
def mel_filters() -> npt.NDArray[np.float64]:
    """The triangular filters ``(40, 128)`` on the mel scale 1127 ln(1 + f / 700), from 0 to 8 kHz.

    As published, the distance of two bins is 8000 / 129 Hz, each filter is divided by its sum, and its highest bin is
    left out afterwards.
    """
    bins = WINDOW // 2 + 1
    mels = np.linspace(0, _MEL * np.log1p(RATE / 2 / _CORNER), FILTERS + 2)
    edges = _CORNER * np.expm1(mels / _MEL) / (RATE / 2 / bins)
    filters = np.zeros((FILTERS, bins))
    for row, (start, middle, end) in zip(filters, zip(edges, edges[1:], edges[2:], strict=False), strict=True):
        first = int(start)
        last = min(bins - 1, int(end) + 1)
        index = np.arange(first, last + 1)
        rising = (middle - index) / max(1.0, middle - start)
        falling = (index - middle) / max(1.0, end - middle)
        row[first : last + 1] = np.maximum(0, 1 - np.where(index < middle, rising, falling))
        row /= row.sum()
        row[last] = 0
    return filters[:, :-1]
