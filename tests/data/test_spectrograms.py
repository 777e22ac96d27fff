"""Log-mel spectrograms against the published formulas, written out with ``numpy.fft`` and loops."""

from __future__ import annotations

import cmath
import math

import numpy as np
import numpy.typing as npt
import pytest

from ls3d.data.spectrograms import SAMPLES, log_mel


def expected(samples: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """The published computation, one value at a time."""
    window = [0.5 * (1 - math.cos(2 * math.pi * i / 255)) for i in range(256)]
    step = 1127 * math.log(1 + 8000 / 700) / 41
    rows = []
    for first in range(0, len(samples) - 255, 160):
        transformed = np.fft.fft(samples[first : first + 256].astype(np.float64) * window)
        power = [abs(value) ** 2 for value in transformed[:128]]
        power[0] = transformed[0].real ** 2 + transformed[128].real ** 2
        row = []
        for number in range(40):
            start, middle, end = (
                700 * (math.exp(k * step / 1127) - 1) / (8000 / 129) for k in range(number, number + 3)
            )
            low, high = int(start), min(128, int(end) + 1)
            weights = {}
            for i in range(low, high + 1):
                slope = (middle - i) / max(1, middle - start) if i < middle else (i - middle) / max(1, end - middle)
                weights[i] = max(0.0, 1 - slope)
            total = sum(weights.values())
            value = sum(1080674186.3482928 * power[i] * weights[i] / total for i in range(low, high))
            row.append(math.log(value) if value > math.e else value / math.e)
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("loudness", [1.0, 1e-5])
def test_log_mel_is_as_published(loudness: float) -> None:
    """Noise and tones, loud and so quiet that values are below e."""
    rng = np.random.default_rng(0)
    time = np.arange(SAMPLES) / 16_000
    samples = 0.1 * rng.standard_normal(SAMPLES) + 0.3 * np.sin(2 * np.pi * 440 * time) + 0.05
    samples = (loudness * samples).astype(np.float32)
    found = log_mel(samples)
    assert found.shape == (100, 40)
    np.testing.assert_allclose(found, expected(samples), rtol=1e-5, atol=1e-5)
    assert (found < 1).any() == (loudness < 1)


def test_silence_is_zero() -> None:
    assert not log_mel(np.zeros(SAMPLES, np.float32)).any()


def test_a_tone_is_in_its_filter() -> None:
    """The filter whose middle is nearest to the frequency is the loudest."""
    frequency = 1000.0
    samples = np.array([cmath.exp(2j * math.pi * frequency * k / 16_000).real for k in range(SAMPLES)])
    mel = 1127 * math.log(1 + frequency / 700)
    nearest = round(mel / (1127 * math.log(1 + 8000 / 700) / 41)) - 1
    assert (log_mel(samples).argmax(axis=1) == nearest).all()
