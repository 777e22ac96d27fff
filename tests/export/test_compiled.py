"""Checks of arguments inside graphs whose sizes and numbers are open."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, export

from ls3d.models import RecognitionNet, create_model
from ls3d.models.enhancement._motion import crop
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


class Doubled(nn.Module):
    """Makes maps of half the size whole again, and takes views of them."""

    def forward(self, frames: Tensor) -> Tensor:
        height, width = frames.shape[-2:]
        halves = F.avg_pool2d(frames, 2, ceil_mode=True)
        maps = crop(F.interpolate(halves, scale_factor=2.0), height, width)
        return maps.view(-1, 2, *maps.shape[1:]) * 2


@pytest.mark.parametrize("traced", [(8, 10), (7, 9)])
def test_cropped_maps_are_exported_for_even_and_odd_sizes(traced: tuple[int, int]) -> None:
    """Not for the strides of the part that the traced size has."""
    network = Doubled()
    dynamic = {"frames": {0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO}}
    graph = export(network, (torch.rand(4, 3, *traced),), dynamic_shapes=dynamic).module()
    for size in ((8, 10), (7, 9), (6, 11)):
        frames = torch.rand(6, 3, *size)
        torch.testing.assert_close(graph(frames), network(frames))


def test_crop() -> None:
    maps = torch.arange(24.0).view(1, 4, 6)
    assert crop(maps, 2, 3, top=1).tolist() == [[[6, 7, 8], [12, 13, 14]]]
