"""Which frames a protocol scores, and what the network is given for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from ls3d.data import Clip, get_degradation
from ls3d.data.clips import ArrayClip
from ls3d.evaluation import FidelityProtocol, get_protocol
from ls3d.evaluation.fidelity.scored_frames import ScoredFrame
from ls3d.inference import Enhancer, NonFiniteOutputError
from ls3d.models import EnhancementTraits, RestorationNetwork, load_enhancement_model
from ls3d.models.enhancement.baselines import Blend


def gray_clip(frames: int, height: int = 16, width: int = 16) -> ArrayClip:
    """Frames of one gray value each: 7 times their index."""
    grays = (7 * np.arange(frames) % 256).astype(np.uint8)
    return ArrayClip("made", np.broadcast_to(grays[:, None, None, None], (frames, height, width, 3)))


def scored_frames(protocol: str, network: str, clip: Clip, only: int | None = None) -> Iterator[ScoredFrame]:
    return run(protocol, Enhancer(load_enhancement_model(network), "cpu"), clip, only)


def run(protocol: str, enhancer: Enhancer, clip: Clip, only: int | None = None) -> Iterator[ScoredFrame]:
    known = get_protocol(protocol)
    assert isinstance(known, FidelityProtocol)
    return known.scored_frames(enhancer, clip, only)


class QuarterBlend(Blend):
    """Blends, but only at quarters."""

    traits = replace(Blend.traits, times="quarters")


def test_eighths_are_made_between_quarters() -> None:
    enhancer = Enhancer(QuarterBlend(), "cpu")
    times = [Fraction(n, 8) for n in range(1, 8)]
    frames = torch.stack([torch.zeros(3, 4, 4), torch.full((3, 4, 4), 0.8)], dim=1)[None]
    made = enhancer.interpolate(frames, times)
    assert made.shape == (1, 3, 7, 4, 4)
    for time, frame in zip(times, made[0].unbind(1), strict=True):
        torch.testing.assert_close(frame, torch.full((3, 4, 4), 0.8 * float(time)))
    with pytest.raises(ValueError, match="1/3"):
        enhancer.interpolate(frames, [Fraction(1, 3)])


@pytest.mark.parametrize(
    ("protocol", "frames", "scored"),
    [
        ("davis", 8, [1, 3, 5]),
        ("folder-x4", 9, [1, 2, 3, 5, 6, 7]),
        ("vimeo-septuplet", 7, [3]),
        ("ucf101", 3, [1]),
        ("davis-triplets", 3, [1]),
        ("x-test-4k", 33, [4, 8, 12, 16, 20, 24, 28]),
    ],
)
def test_which_frames_are_made(protocol: str, frames: int, scored: list[int]) -> None:
    made = list(scored_frames(protocol, "blend", gray_clip(frames)))
    assert [frame.index for frame in made] == scored
    for frame in made:  # blending is exact for grays that rise evenly
        torch.testing.assert_close(frame.output, frame.truth)
    only = list(scored_frames(protocol, "blend", gray_clip(frames), only=scored[-1]))
    assert [frame.index for frame in only] == scored[-1:]


class Averaging(RestorationNetwork):
    """The mean of its window, for all frames of the window or for the middle one."""

    def __init__(self, before: int, after: int, whole: bool) -> None:
        super().__init__()
        self.traits = EnhancementTraits(
            task="denoising",
            size_multiple=8,
            scale=1,
            frames_before=before,
            frames_after=after,
            takes_sigma=True,
            times=None,
            value_range=(0.0, 1.0),
        )
        self.whole = whole
        self.sigmas: list[float] = []

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        assert sigma is not None
        assert frames.shape[-2] % 8 == frames.shape[-1] % 8 == 0
        assert frames.shape[2] == self.traits.frames_before + 1 + self.traits.frames_after
        self.sigmas += sigma.tolist()
        mean = frames.mean(dim=2, keepdim=True)
        return mean.expand_as(frames) if self.whole else mean


@pytest.mark.parametrize("whole", [True, False])
def test_restoration_is_given_neighbors_and_repeats_the_ends(whole: bool) -> None:
    network = Averaging(1, 2, whole)
    clip = gray_clip(5, 13, 21)
    outputs = {frame.index: frame.output for frame in run("set8-25", Enhancer(network, "cpu"), clip)}
    degradation = get_degradation("noise-25")
    noisy = [degradation(torch.full((3, 13, 21), 7 * n / 255, dtype=torch.float32), "made", n) for n in range(5)]
    for index in range(5):
        window = [noisy[min(max(n, 0), 4)] for n in range(index - 1, index + 3)]
        torch.testing.assert_close(outputs[index], torch.stack(window).mean(0))
    assert network.sigmas == pytest.approx([25 / 255] * 5)


def test_set8_ends_after_85_frames() -> None:
    made = scored_frames("set8-25", "identity", gray_clip(87))
    assert [frame.index for frame in made] == list(range(85))


def test_only_the_middle_frame_of_a_septuplet_is_scored() -> None:
    made = list(scored_frames("vimeo90k-t-bi-y", "bicubic", gray_clip(7)))
    assert [frame.index for frame in made] == [3]
    assert made[0].given.shape == (3, 4, 4)


class BrokenBlend(Blend):
    """Returns NaN where the second frame is brighter than 0.2."""

    def forward(self, frames: Tensor, times: Sequence[float] | None = None) -> Tensor:
        bright = frames[:, :, 1:].amax(dim=(1, 3, 4), keepdim=True) > 0.2
        return super().forward(frames, times).masked_fill(bright, float("nan"))


def test_nan_is_an_error_with_the_clip_and_the_frames() -> None:
    enhancer = Enhancer(BrokenBlend(), "cpu")
    with pytest.raises(NonFiniteOutputError, match="clip made, frame 5, 6, 7: BrokenBlend returned NaN"):
        list(run("folder-x4", enhancer, gray_clip(9)))


def test_infinity_is_an_error_with_the_clip_and_the_frame() -> None:
    class Infinite(Averaging):
        def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
            return super().forward(frames, sigma) / 0

    with pytest.raises(NonFiniteOutputError, match="clip made, frame 0: Infinite returned"):
        list(run("set8-25", Enhancer(Infinite(0, 0, True), "cpu"), gray_clip(2)))
