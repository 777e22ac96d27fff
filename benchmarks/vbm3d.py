"""V-BM3D (Dabov et al., EUSIPCO 2007) under a denoising protocol, as a peer of the networks.

    python benchmarks/vbm3d.py SET8 --vapoursynth OTHER_PYTHON --output benchmarks/results/denoising/vbm3d_set8_gopro.json

OTHER_PYTHON is a Python 3.12 or later with ``vapoursynth<81`` and ``vapoursynth-bm3dcpu``. It runs ``vbm3d_filter.py``
on the noisy frames of the protocol; the scores are computed here, as ``ls3d evaluate`` computes them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ls3d.data import Clip
from ls3d.environment import versions
from ls3d.evaluation import get_protocol
from ls3d.evaluation.fidelity.score import FidelityScorer
from ls3d.evaluation.fidelity.scored_frames import ScoredFrame
from ls3d.evaluation.report import EvaluationReport

#: The profile "np" of VapourSynth-BM3D, whose blocks, steps and ranges the package takes over.
BASIC = {"radius": 3, "block_step": 4, "bm_range": 12, "ps_num": 2, "ps_range": 5}
FINAL = {"radius": 3, "block_step": 3, "bm_range": 12, "ps_num": 2, "ps_range": 6}
#: ``BM3Dv2`` multiplies its sigma by 3/4. A slightly larger one than 4/3 scores higher: 36 against 33.3 gained 0.1 dB on
#: nine frames of motorbike at sigma 25.
SIGMA_FACTOR = 36 / 25


def read_frames(clip: Clip) -> torch.Tensor:
    """``(T, 3, H, W)`` in [0, 1]."""
    return torch.stack([torch.from_numpy(clip[n].copy()).permute(2, 0, 1).float() / 255 for n in range(len(clip))])


def main() -> None:
    """Denoise and score every clip, write the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--vapoursynth", default="python3", help="the Python with vapoursynth")
    parser.add_argument("--protocol", default="set8-25")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    protocol = get_protocol(options.protocol)
    degradation = protocol.degradation
    settings: dict[str, Any] = {"sigma": SIGMA_FACTOR * degradation.sigma, "basic": BASIC, "final": FINAL}
    plugin: dict[str, str] = {}

    def restore(noisy: torch.Tensor) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "noisy.npy"), Path(folder, "restored.npy")
            np.save(source, noisy.numpy())
            script = Path(__file__).with_name("vbm3d_filter.py")
            # -P, because this folder has a module with the name of one in the standard library.
            command = [options.vapoursynth, "-P", script, source, target, json.dumps(settings)]
            plugin.update(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
            restored: np.ndarray = np.load(target)
            return restored

    def make_frames(clip: Clip, only: int | None = None) -> Iterator[ScoredFrame]:
        truth = read_frames(clip)
        noisy = torch.stack([degradation(frame, clip.name, n) for n, frame in enumerate(truth)])
        for n, output in enumerate(torch.from_numpy(restore(noisy))):
            yield ScoredFrame(n, noisy[n], output, truth[n])

    scorer = FidelityScorer(make_frames, protocol.metrics, protocol.crop)
    scores = {}
    for clip in protocol.data_set.open(options.data):
        scores[clip.name] = scorer.score(clip)
        print(clip.name, scores[clip.name], flush=True)
    config = {"architecture": "vbm3d", "arguments": settings}
    EvaluationReport(protocol, "vbm3d", config, scores, versions=versions() | plugin).save(options.output)


if __name__ == "__main__":
    main()
