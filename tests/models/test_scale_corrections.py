"""scripts/scale_corrections.py, and ``concentration``: how much a network's importances differ between samples."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.scripts import load_script
from torch import Tensor

from ls3d.models import create_model, load_model, save_weights
from ls3d.models.enhancement.vfi_plus import LOG_IMPORTANCES, InterpolationNetPlus


def make_network(name: str = "vfi_ls3d_plus_s", **arguments: float) -> InterpolationNetPlus:
    torch.manual_seed(0)
    network = create_model(name, width=8, levels=2, **arguments)
    assert isinstance(network, InterpolationNetPlus)
    torch.nn.init.normal_(network.network.head.weight, std=0.1)
    return network.eval()


def importance(network: InterpolationNetPlus, frames: Tensor) -> Tensor:
    (sampling,) = network._samplings(frames, [0.5])
    return sampling.importance


def test_only_corrections_of_importances_are_scaled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = make_network()
    save_weights(network, tmp_path / "trained.safetensors", license="MIT")
    script = load_script("scale_corrections")
    for source, target, *more in (
        ("trained", "half", "--name", "vfi_ls3d_plus_sharp"),
        ("half", "quarter"),
    ):
        paths = [str(tmp_path / f"{name}.safetensors") for name in (source, target)]
        monkeypatch.setattr("sys.argv", ["scale_corrections.py", "0.5", *paths, *more])
        script.main()
    scaled = load_model(tmp_path / "quarter.safetensors")
    assert scaled.name == "vfi_ls3d_plus_sharp"
    metadata = scaled.require_config().metadata
    assert (metadata["correction_factor"], metadata["license"]) == (0.25, "MIT")
    for name, weight in network.state_dict().items():
        if name.startswith("network.head"):
            weight[LOG_IMPORTANCES] *= 0.25
        torch.testing.assert_close(scaled.state_dict()[name], weight, rtol=1e-3, atol=1e-6)  # stored as float16


def test_concentration_is_a_power_of_the_importances() -> None:
    frames = torch.rand(1, 3, 2, 24, 32)
    plain, sharp = make_network(), make_network("vfi_ls3d_plus_sharp")
    with torch.no_grad():
        power = importance(plain, frames) ** sharp.concentration
        torch.testing.assert_close(importance(sharp, frames), power / power.sum((1, 2), keepdim=True))


def test_concentration_must_be_positive() -> None:
    with pytest.raises(ValueError, match="concentration is 0, expected a positive number"):
        make_network("vfi_ls3d_plus_sharp", concentration=0)
