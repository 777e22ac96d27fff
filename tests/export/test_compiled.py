"""Checks of arguments inside graphs whose sizes and numbers are open."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ls3d.models import RecognitionNet, create_model
from ls3d.models.network import quarter_indices


def test_clips_are_checked_in_a_graph_of_open_sizes() -> None:
    with torch.device("meta"):
        network = create_model("r3d_18", width=4)
    assert isinstance(network, RecognitionNet)

    def double(clip: Tensor) -> Tensor:
        network.check_clip(clip)
        return clip * 2

    compiled = torch.compile(double, backend="eager", fullgraph=True, dynamic=True)
    for frames in (4, 5):
        torch.testing.assert_close(compiled(torch.ones(2, 3, frames, 8, 9)), torch.full((2, 3, frames, 8, 9), 2.0))


def test_quarters_are_found_in_a_graph_of_open_numbers() -> None:
    def select(frames: Tensor, times: list[float]) -> Tensor:
        return frames[quarter_indices(times)]

    compiled = torch.compile(select, backend="eager", fullgraph=True, dynamic=True)
    assert compiled(torch.arange(5), [0.25, 0.5, 1.0]).tolist() == [1, 2, 4]


def test_other_times_are_refused() -> None:
    with pytest.raises(ValueError, match="expected multiples of 1/4"):
        quarter_indices([0.25, 0.3])
