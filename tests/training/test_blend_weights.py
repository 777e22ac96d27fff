"""The weights of Gradient-Blending against closed forms, and which videos are held out."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from random import Random

import pytest
from helpers.labeled import gray_frames
from hypothesis import given, settings
from hypothesis import strategies as st

from ls3d.data.decoded import DecodedFrames
from ls3d.data.labeled import LabeledVideo
from ls3d.errors import InputError
from ls3d.training.gradient_blending.hold_out import hold_out
from ls3d.training.gradient_blending.weights import (
    SMALLEST_OVERFITTING,
    Measurement,
    blend_weights,
    overfitting_ratio,
)

#: ΔO and ΔG that are neither clamped nor negative.
CHANGES = st.tuples(st.floats(0.05, 10) | st.floats(-10, -0.05), st.floats(0.01, 10))


def measured(overfitting: float, generalization: float) -> Measurement:
    """Losses with the given ΔO and ΔG."""
    return Measurement((3.0, 3.0 - generalization - overfitting), (3.0, 3.0 - generalization))


class Quadratic:
    """The losses a/2 (x - p)² of training and b/2 (x - q)² of held-out data, after gradient descent on the former.

    The distance to p is multiplied by 1 - rate * a in each step.
    """

    def __init__(self, a: float, p: float, b: float, q: float) -> None:
        self.a, self.p = a, p
        self.b, self.q = b, q

    def train(self, steps: int, rate: float = 0.1) -> Measurement:
        """Descend from 0 step by step."""
        x = 0.0
        losses = [self.losses(x)]
        for _ in range(steps):
            x -= rate * self.a * (x - self.p)
        losses.append(self.losses(x))
        training, held_out = zip(*losses, strict=True)
        return Measurement(training, held_out)

    def losses(self, x: float) -> tuple[float, float]:
        return self.a / 2 * (x - self.p) ** 2, self.b / 2 * (x - self.q) ** 2

    def closed_form(self, steps: int, rate: float = 0.1) -> tuple[float, float]:
        """ΔO and ΔG."""
        x = self.p * (1 - (1 - rate * self.a) ** steps)
        change_of_training = self.a / 2 * ((x - self.p) ** 2 - self.p**2)
        change_of_held_out = self.b / 2 * ((x - self.q) ** 2 - self.q**2)
        return change_of_held_out - change_of_training, -change_of_held_out


def test_weights_of_quadratic_losses_are_those_of_the_closed_form() -> None:
    losses = {
        "clip": Quadratic(1, 2, 0.8, 1.5),
        "spectrogram": Quadratic(2, 3, 0.5, 2),
        "joint": Quadratic(1.5, 1, 1, 2),
    }
    weights = blend_weights({name: loss.train(20) for name, loss in losses.items()})
    ratios = {}
    for name, loss in losses.items():
        overfitting, generalization = loss.closed_form(20)
        ratios[name] = generalization / overfitting**2
    for name, weight in weights.items():
        assert weight == pytest.approx(ratios[name] / sum(ratios.values()), abs=1e-6)


@settings(deadline=None)
@given(st.lists(CHANGES, min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_weights_sum_to_one_and_follow_permutations(changes: list[tuple[float, float]], random: Random) -> None:
    heads = {f"head{index}": measured(*change) for index, change in enumerate(changes)}
    weights = blend_weights(heads)
    assert sum(weights.values()) == pytest.approx(1, abs=1e-9)
    assert min(weights.values()) > 0
    order = list(heads)
    random.shuffle(order)
    assert blend_weights({name: heads[name] for name in order}) == pytest.approx(weights)


@settings(max_examples=20, deadline=None)
@given(st.lists(CHANGES, min_size=2, max_size=3))
def test_no_blend_of_a_grid_overfits_less(changes: list[tuple[float, float]]) -> None:
    heads = {f"head{index}": measured(*change) for index, change in enumerate(changes)}
    best = overfitting_ratio(blend_weights(heads), heads)
    steps = range(9)
    for parts in itertools.product(steps, repeat=len(heads)):
        if sum(parts):
            blend = {name: part / sum(parts) for name, part in zip(heads, parts, strict=True)}
            assert overfitting_ratio(blend, heads) >= best * (1 - 1e-9)


def test_a_blend_is_better_than_its_parts() -> None:
    """Two equal heads: half the variance, 1 / sqrt(2) of the ratio."""
    heads = {"a": measured(0.5, 1.0), "b": measured(0.5, 1.0)}
    assert blend_weights(heads) == {"a": 0.5, "b": 0.5}
    assert overfitting_ratio({"a": 1.0}, heads) == pytest.approx(0.5)
    assert overfitting_ratio({"a": 0.5, "b": 0.5}, heads) == pytest.approx(0.5 / 2**0.5)


def test_a_head_that_does_not_generalize_gets_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    heads = {"a": measured(0.5, 1.0), "b": measured(0.1, -0.2), "c": measured(0.5, 0.0)}
    assert blend_weights(heads) == {"a": 1.0, "b": 0.0, "c": 0.0}
    assert "the held-out loss of b has not decreased (+0.2000): its weight is 0" in caplog.text


def test_little_overfitting_is_clamped_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    heads = {"a": measured(1e-9, 1.0), "b": measured(SMALLEST_OVERFITTING, 1.0)}
    assert blend_weights(heads) == pytest.approx({"a": 0.5, "b": 0.5})
    assert "the overfitting of a is 1e-09, taken for 0.01" in caplog.text


def test_without_any_generalization_the_weights_stay(caplog: pytest.LogCaptureFixture) -> None:
    heads = {"a": measured(0.5, -1.0), "b": measured(0.5, -1.0)}
    assert blend_weights(heads, {"a": 0.9, "b": 0.1}) == {"a": 0.9, "b": 0.1}
    assert blend_weights(heads) == {"a": 0.5, "b": 0.5}
    assert "the weights stay a 0.900, b 0.100" in caplog.text


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(InputError, match="a loss of a is not finite"):
        blend_weights({"a": Measurement((1.0, float("nan")), (1.0, 1.0))})


def videos(groups: int, per_class: tuple[int, ...] = (10, 20)) -> list[LabeledVideo]:
    """Videos of two classes, in turn of each group."""
    frames = DecodedFrames(gray_frames(100, 1, (2, 2)), 1.0, 1.0)
    return [
        LabeledVideo(f"{label}/{number}", label, f"S{number % groups}" if groups else "", frames)
        for label, count in enumerate(per_class)
        for number in range(count)
    ]


@pytest.mark.parametrize("groups", [0, 1])
def test_the_same_share_of_each_class_is_held_out(groups: int) -> None:
    training, held_out = hold_out(videos(groups), 0.2, seed=1)
    assert Counter(video.label for video in held_out) == {0: 2, 1: 4}
    assert len(training) == 24
    assert not {video.name for video in training} & {video.name for video in held_out}
    again = hold_out(videos(groups), 0.2, seed=1)[1]
    assert [video.name for video in again] == [video.name for video in held_out]
    assert {video.name for video in hold_out(videos(groups), 0.2, seed=2)[1]} != {video.name for video in held_out}


def test_groups_are_not_divided() -> None:
    training, held_out = hold_out(videos(5), 0.2, seed=0)
    assert len({video.group for video in held_out}) == 1
    assert not {video.group for video in training} & {video.group for video in held_out}
    assert Counter(video.label for video in held_out) == {0: 2, 1: 4}


def test_groups_that_lack_a_class_are_avoided() -> None:
    """S0 to S4 have both classes, T0 to T4 one of them."""
    frames = videos(0)[0].frames
    odd = [LabeledVideo(f"odd/{number}", 0, f"T{number}", frames) for number in range(5)]
    _, held_out = hold_out([*videos(5), *odd], 0.2, seed=0)
    assert {video.label for video in held_out} == {0, 1}


def test_a_single_video_of_a_class_is_trained_on() -> None:
    training, held_out = hold_out(videos(0, (1, 4)), 0.25, seed=0)
    assert {video.label for video in training} == {0, 1}
    assert [video.label for video in held_out] == [1]
    with pytest.raises(InputError, match="too few to hold out"):
        hold_out(videos(0, (1, 1)), 0.5, seed=0)
