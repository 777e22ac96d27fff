"""Frames in memory: the same frames as from a file, in the kind that was given, with little memory."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from helpers.networks import Mean, NotANumber, RecordingBlend
from helpers.videos import Clip, decode
from torch import Tensor

from ls3d import enhance
from ls3d.enhance import EnhanceOptions, denoise_frames, interpolate_frames, upscale_frames
from ls3d.errors import InputError
from ls3d.inference import NonFiniteOutputError

LOSSLESS = EnhanceOptions(threads=1, codec="ffv1")


def pictures(path: Path) -> list[npt.NDArray[np.uint8]]:
    return [frame.to_ndarray(format="rgb24").astype(np.uint8) for frame in decode(path)]


def tensors(arrays: list[npt.NDArray[np.uint8]]) -> list[Tensor]:
    return [torch.from_numpy(array).permute(2, 0, 1).float() / 255 for array in arrays]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Lossless RGB of an odd size, with a cut."""
    return Clip(11, (31, 42), "ffv1", "bgr0", options={}, shot_length=6).write(tmp_path / "in.mkv")


@pytest.mark.parametrize("factor", [2, Fraction(5, 2)])
def test_interpolated_frames_are_those_of_a_file(source: Path, tmp_path: Path, factor: Fraction) -> None:
    enhance.interpolate(source, tmp_path / "out.mkv", factor=factor, model="blend", options=LOSSLESS)
    expected = pictures(tmp_path / "out.mkv")
    made = list(interpolate_frames(pictures(source), factor=factor, model="blend"))
    assert len(made) == math.ceil(11 * factor)
    assert all(np.array_equal(a, b) for a, b in zip(made, expected, strict=True))


def test_upscaled_frames_are_those_of_a_file(source: Path, tmp_path: Path) -> None:
    sizes: list[dict[str, Any]] = [{}, {"scale": 1.5}, {"height": 50}, {"fit": (100, 100)}]
    for number, size in enumerate(sizes):
        target = tmp_path / f"{number}.mkv"
        enhance.upscale(source, target, model="bicubic", options=LOSSLESS, **size)
        made = list(upscale_frames(pictures(source), model="bicubic", **size))
        assert all(np.array_equal(a, b) for a, b in zip(made, pictures(target), strict=True))


def test_denoised_frames_are_those_of_a_file(source: Path, tmp_path: Path) -> None:
    """By a network of several frames, none of which is of the other shot."""
    enhance.denoise(source, tmp_path / "out.mkv", model=Mean(), options=LOSSLESS)
    made = list(denoise_frames(pictures(source), model=Mean()))
    assert all(np.array_equal(a, b) for a, b in zip(made, pictures(tmp_path / "out.mkv"), strict=True))


def test_source_frames_pass_through_as_the_same_objects() -> None:
    given = tensors([Clip(size=(32, 48)).rgb(n).astype(np.uint8) for n in range(5)])
    made = list(interpolate_frames(given, factor=2, model="blend"))
    assert all(new is old for new, old in zip(made[::2], given, strict=True))
    assert torch.allclose(made[1], (given[0] + given[1]) / 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_tensors_stay_tensors_of_their_type(dtype: torch.dtype) -> None:
    given = [torch.rand(3, 24, 32).to(dtype) for _ in range(3)]
    for made in (
        list(interpolate_frames(given, factor=3, model="blend", cut_threshold=0)),
        list(upscale_frames(given, model="bicubic")),
        list(denoise_frames(given, model="identity")),
    ):
        assert {frame.dtype for frame in made} == {dtype}
        assert not any(frame.is_inference() for frame in made)  # they can be trained on
        assert 0 <= min(float(frame.min()) for frame in made) <= max(float(frame.max()) for frame in made) <= 1


def test_fine_differences_of_tensors_are_not_lost() -> None:
    """Two frames that are equal in 8 bits are not equal, and nothing is rounded to 8 bits."""
    given = [torch.full((3, 24, 32), value) for value in (0.5, 0.5001)]
    made = list(interpolate_frames(given, factor=2, model="blend"))
    assert float(made[1][0, 0, 0]) == pytest.approx(0.50005, abs=1e-7)


def test_the_network_is_called_once_for_a_pair() -> None:
    model = RecordingBlend(times="any")
    given = tensors([Clip(size=(32, 48)).rgb(n).astype(np.uint8) for n in range(4)])
    assert len(list(interpolate_frames(given, factor=1.5, model=model))) == 6
    assert model.calls == [pytest.approx((2 / 3,)), pytest.approx((1 / 3,)), pytest.approx((2 / 3,))]


def test_frames_are_read_and_kept_only_as_needed() -> None:
    alive: list[weakref.ref[Tensor]] = []

    def endless() -> Iterator[Tensor]:
        while True:
            frame = torch.rand(3, 16, 16)
            alive.append(weakref.ref(frame))
            yield frame
            del frame

    made = interpolate_frames(endless(), factor=2, model="blend", cut_threshold=4)
    for _ in range(200):
        next(made)
    gc.collect()
    assert len(alive) < 110
    assert sum(reference() is not None for reference in alive) <= 10


def test_no_frames_are_no_frames() -> None:
    nothing: list[Tensor] = []
    assert list(interpolate_frames(nothing, model="blend")) == []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([np.zeros((8, 8), np.uint8)], "frame 0 is an array of uint8, .8, 8.; expected an array .H, W, 3. of uint8"),
        ([np.zeros((8, 8, 3), np.float32)], "frame 0 is an array of float32"),
        ([torch.zeros(8, 8, 3)], "frame 0 is a tensor of torch.float32"),
        ([torch.zeros(3, 8, 8, dtype=torch.uint8)], "frame 0 is a tensor of torch.uint8"),
        ([None], "frame 0 is a NoneType"),
        ([torch.zeros(3, 8, 8), torch.zeros(3, 8, 9)], "frame 1 is .*; expected .*, as the first frame"),
        ([torch.zeros(3, 8, 8), np.zeros((8, 8, 3), np.uint8)], "frame 1 is an array"),
    ],
)
def test_wrong_frames_are_one_sentence(given: list[Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        list(interpolate_frames(given, model="blend"))


def test_wrong_arguments_are_found_before_a_frame_is_read() -> None:
    def frames() -> Iterator[Tensor]:
        raise AssertionError
        yield torch.zeros(3, 8, 8)

    with pytest.raises(InputError, match="factor 0"):
        interpolate_frames(frames(), factor=0)
    with pytest.raises(InputError, match="scale 9"):
        upscale_frames(frames(), scale=9)
    with pytest.raises(InputError, match="sigma 25: the model identity takes no noise level"):
        denoise_frames(frames(), sigma=25, model="identity")
    with pytest.raises(InputError, match="its task is super-resolution"):
        denoise_frames(frames(), model="bicubic")


def test_nan_is_an_error_that_names_the_frame() -> None:
    given = [torch.full((3, 16, 16), 0.2 * n) for n in range(4)]
    with pytest.raises(NonFiniteOutputError, match=r"^frame 3: NotANumber returned NaN"):
        list(denoise_frames(given, model=NotANumber(0.5), cut_threshold=0))
