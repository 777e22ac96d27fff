"""Interpolation by MVTools (Manao, Fizick, dubhater), a block matcher for VapourSynth, as a peer of the networks.

    python -P benchmarks/mvtools.py UCF101 --protocol ucf101 --vapoursynth PYTHON --output benchmarks/results/interpolation/mvtools_ucf101.json

PYTHON is a Python 3.12 or later with ``vapoursynth``, ``vapoursynth-mvtools`` and ``numpy``. It runs
``mvtools_filter.py`` on each pair of frames; the scores are those of ``ls3d evaluate``.
"""  # noqa: E501  # a command

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ls3d.evaluation import evaluate
from ls3d.models.network import QUARTERS, EnhancementTraits, InterpolationNetwork

SCRIPT = Path(__file__).with_name("mvtools_filter.py")


class MVToolsInterpolation(InterpolationNetwork):
    """Runs ``mvtools_filter.py``.

    Args:
        python: the interpreter that has vapoursynth.
    """

    name = "mvtools"
    traits = EnhancementTraits.interpolation(size_multiple=1, times="any", value_range=(0.0, 1.0))

    def __init__(self, python: str) -> None:
        super().__init__()
        self.python = python

    def forward(self, frames: Tensor, times: Sequence[float] | None = None) -> Tensor:
        """See ``InterpolationNetwork.forward``."""
        wanted = QUARTERS if times is None else times
        return torch.stack([self._between(pair, wanted) for pair in frames])

    def _between(self, pair: Tensor, times: Sequence[float]) -> Tensor:
        """The frames ``(3, times, H, W)`` between ``pair (3, 2, H, W)``."""
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "pair.npy"), Path(folder, "between.npy")
            np.save(source, pair.transpose(0, 1).numpy())
            command = [self.python, "-P", str(SCRIPT), str(source), str(target), *map(str, times)]
            subprocess.run(command, check=True, capture_output=True, text=True)
            return torch.from_numpy(np.load(target)).transpose(0, 1)


def main() -> None:
    """Evaluate under one protocol."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--protocol", required=True)
    parser.add_argument("--vapoursynth", default="python3", help="the Python that has vapoursynth")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    network = MVToolsInterpolation(options.vapoursynth)
    report = evaluate(network, options.protocol, options.data, json_path=options.output, device="cpu")
    print(report.mean)


if __name__ == "__main__":
    main()
