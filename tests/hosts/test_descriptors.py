"""Descriptors say truly what networks take and return."""

from __future__ import annotations

import pytest
import torch
from helpers.networks import RecordingDenoiser

from ls3d.errors import InputError
from ls3d.hosts import ModelDescriptor, describe, describe_all
from ls3d.models import Network, create_model, list_models, load_model

READY = [found for found in describe_all() if found.task in ("interpolation", "super-resolution", "denoising")]


def call(network: Network, found: ModelDescriptor, side: int) -> torch.Tensor:
    """Call a network as its descriptor says, on a picture of squares of one color."""
    assert found.frames is not None
    frames = torch.full((1, found.input_channels, found.frames, side, side), 0.5)
    arguments = [torch.tensor([0.05])] if found.takes_sigma else []
    with torch.inference_mode():
        output: torch.Tensor = network(frames, *arguments)
    return output


@pytest.mark.parametrize("found", READY, ids=lambda found: found.name)
def test_a_network_is_called_as_its_descriptor_says(found: ModelDescriptor) -> None:
    side = 32 * found.size_multiple
    output = call(load_model(found.name), found, side)
    assert output.shape[-2:] == (side * found.scale, side * found.scale)
    if found.output_frame is not None:
        assert found.frames is not None
        assert output.shape[2] in (1, found.frames)
        assert found.output_frame < found.frames


def test_every_network_has_a_descriptor() -> None:
    assert {describe(name).name for name in list_models()} == set(list_models())


def test_what_is_ready() -> None:
    ready = {found.name for found in describe_all()}
    assert {"vfi_ls3d_plus_s", "vsr_ls3d_plus_s", "vdn_ls3d_plus_s", "bilateral", "bicubic"} <= ready
    assert "r3d_18" not in ready
    assert not describe("vfi_ls3d").is_ready
    assert {found.task for found in describe_all("denoising")} == {"denoising"}


def test_purposes_are_those_of_spandrel() -> None:
    found = describe("vsr")
    assert (found.purpose, found.scale, found.architecture) == ("SR", 4, "vsr_ls3d_plus_s")
    assert (describe("vdn").purpose, describe("vdn").scale) == ("Restoration", 1)
    assert describe("r3d_18").purpose == "Classification"


def test_a_network_itself_counts_with_its_arguments() -> None:
    """The number of neighbors is an argument of this network, and another one in the bundled weights."""
    assert describe("vdn").frames == 7
    assert describe(create_model("vdn_ls3d_plus_s", side=1)).frames == 3
    with pytest.raises(InputError, match="not built by create_model"):
        describe(RecordingDenoiser())
