"""Checks of arguments inside graphs whose sizes and numbers are open."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ls3d.models import RecognitionNet, create_model
from ls3d.models.network import quarter_indices


def test_clips_are_checked_in_a_graph_of_open_sizes() -> None:
    network = create_model("r2d_18", frames=4)
    assert isinstance(network, RecognitionNet)

    def double(clip: Tensor) -> Tensor:
        network.check_clip(clip)
        return clip * 2

    clip = torch.ones(2, 3, network.traits.clip_length or 0, 8, 9)
    compiled = torch.compile(double, backend="eager", fullgraph=True, dynamic=True)
    torch.testing.assert_close(compiled(clip), clip * 2)


class Selection(nn.Module):
    """Selects the frames of its times, which torch.compile takes for open numbers where they are an attribute."""

    times = (0.25, 0.5, 1.0)

    def forward(self, frames: Tensor) -> Tensor:
        return frames[quarter_indices(self.times)]


def test_quarters_are_found_in_a_graph_of_open_numbers() -> None:
    compiled = torch.compile(Selection(), backend="eager", fullgraph=True, dynamic=True)
    assert compiled(torch.arange(5)).tolist() == [1, 2, 4]


def test_other_times_are_refused() -> None:
    with pytest.raises(ValueError, match="expected multiples of 1/4"):
        quarter_indices([0.25, 0.3])
