"""Starts a wider and deeper network with the function of a trained one, after Net2Net (arXiv:1511.05641).

    python -P scripts/grow_weights.py src/ls3d/weights/vsr_ls3d_plus_s.safetensors vsr_ls3d_plus_m grown.safetensors

The new network must have the same architecture with more channels (argument ``width``), and more residual blocks. Its
output is that of the trained network, as the new channels are zero and the new blocks add zero. Train it with
``model.weights=grown.safetensors``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from ls3d.models import create_model, load_model, save_weights
from ls3d.models.enhancement.restoration_plus import RestorationNetPlus


def grow(trained: RestorationNetPlus, larger: RestorationNetPlus) -> None:
    """Write the weights of ``larger``. Where ``trained`` has none, they stay random, or are zero if they write."""
    narrow, wide = (network.state_dict()["coarse.weight"].shape[1] for network in (trained, larger))
    old = trained.state_dict()
    with torch.no_grad():
        for name, weight in larger.state_dict().items():
            if name in old:
                _insert(old[name], weight, narrow, wide)
            elif "conv2" in name:  # the second convolution of a new residual block
                weight.zero_()


def _insert(old: Tensor, new: Tensor, narrow: int, wide: int) -> None:
    """Let ``new`` write zeros to new channels, and to the others what ``old`` writes if new channels are zero."""
    outputs = _positions(len(old), len(new), narrow, wide)
    rows = new[outputs]
    if old.ndim > 1:
        rows[:, _positions(old.shape[1], new.shape[1], narrow, wide)] = old
    else:
        rows = old
    new.zero_()
    new[outputs] = rows


def _positions(few: int, many: int, narrow: int, wide: int) -> Tensor:
    """Where ``few`` channels are among ``many``: parts of ``narrow`` become parts of ``wide``, what follows stays.

    So concatenated features, and motion and correlation behind them, keep their places.
    """
    parts = (many - few) // (wide - narrow) if wide > narrow else 0
    starts = [torch.arange(narrow) + part * wide for part in range(parts)]
    return torch.cat([*starts, torch.arange(few - parts * narrow) + parts * wide])


def main() -> None:
    """Read the arguments, and write the weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("weights", type=Path, help="of the trained network")
    parser.add_argument("name", help="the larger network, as ls3d models lists it")
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    trained, larger = load_model(options.weights), create_model(options.name)
    if not isinstance(trained, RestorationNetPlus) or not isinstance(larger, RestorationNetPlus):
        parser.error(f"{options.weights} or {options.name} is not a RestorationNetPlus: no other network can be grown")
    grow(trained, larger)
    save_weights(larger, options.output)


if __name__ == "__main__":
    main()
