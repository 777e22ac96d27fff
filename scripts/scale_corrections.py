"""Scales what a trained interpolation network adds to the log-importances of the samples.

    python -P scripts/scale_corrections.py FACTOR WEIGHTS OUTPUT [--name vfi_ls3d_plus_sharp]

0 leaves the importances of ``bilateral``. A factor below 1 makes up for training clips in which more of the picture is
hidden or uncovered than in most footage. The weights file records the product of all factors as ``correction_factor``;
its metrics stay those at the end of the training. ``--name`` stores the weights for another network of the same shape.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ls3d.models import create_model, load_model, save_weights
from ls3d.models.enhancement.vfi_plus import LOG_IMPORTANCES, InterpolationNetPlus


def scale(network: InterpolationNetPlus, factor: float) -> None:
    """Multiply the corrections of the log-importances."""
    head = network.network.head
    assert head.bias is not None
    with torch.no_grad():
        head.weight[LOG_IMPORTANCES] *= factor
        head.bias[LOG_IMPORTANCES] *= factor


def main() -> None:
    """Read the arguments, and write the weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("factor", type=float)
    parser.add_argument("weights", type=Path, help="of the trained network")
    parser.add_argument("output", type=Path)
    parser.add_argument("--name", help="the network to store the weights for; default: that of the weights")
    options = parser.parse_args()
    trained = load_model(options.weights)
    if not isinstance(trained, InterpolationNetPlus):
        parser.error(f"{options.weights} is not an InterpolationNetPlus: no other network corrects importances")
    config = trained.require_config()
    network = create_model(options.name or config.architecture, **config.arguments)
    network.load_state_dict(trained.state_dict())
    assert isinstance(network, InterpolationNetPlus)
    scale(network, options.factor)
    metadata = {key: value for key, value in config.metadata.items() if key != "sha256"}
    metadata["correction_factor"] = metadata.get("correction_factor", 1.0) * options.factor
    save_weights(network, options.output, half=True, **metadata)


if __name__ == "__main__":
    main()
