"""V-BM3D (Dabov et al., EUSIPCO 2007) under a denoising protocol, as a peer of the networks.

    python benchmarks/vbm3d.py SET8 --vapoursynth PYTHON --output benchmarks/results/denoising/vbm3d_set8_gopro.json

PYTHON is a Python 3.12 or later with ``vapoursynth<81`` and ``vapoursynth-bm3dcpu``. It runs ``vbm3d_filter.py``
on the noisy frames of the protocol; the scores are computed here, as ``ls3d evaluate`` computes them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ls3d.data import Clip, Degradation
from ls3d.environment import versions
from ls3d.evaluation import get_protocol
from ls3d.evaluation.fidelity.protocols import RestorationProtocol
from ls3d.evaluation.fidelity.score import FidelityScorer
from ls3d.evaluation.fidelity.scored_frames import ScoredFrame
from ls3d.evaluation.journal import Journal
from ls3d.evaluation.report import EvaluationReport

SCRIPT = Path(__file__).with_name("vbm3d_filter.py")

#: The profile "np" of VapourSynth-BM3D, whose blocks, steps and ranges the package takes over.
BASIC = {"radius": 3, "block_step": 4, "bm_range": 12, "ps_num": 2, "ps_range": 5}
FINAL = {"radius": 3, "block_step": 3, "bm_range": 12, "ps_num": 2, "ps_range": 6}
#: ``BM3Dv2`` multiplies its sigma by 3/4. A factor above 4/3 scores higher: on nine frames of motorbike at sigma 25, 36
#: instead of 33.3 gained 0.1 dB.
SIGMA_FACTOR = 36 / 25


def read_frames(clip: Clip) -> Tensor:
    """``(T, 3, H, W)`` in [0, 1]."""
    return torch.stack([torch.from_numpy(clip[n].copy()).permute(2, 0, 1).float() / 255 for n in range(len(clip))])


class Peer:
    """Runs ``vbm3d_filter.py`` on the degraded frames of a clip.

    Args:
        python: the interpreter that has vapoursynth.
        degradation: makes the noisy frames.
        max_frames: number of frames used from the beginning of a clip, None for all.
    """

    def __init__(self, python: str, degradation: Degradation, max_frames: int | None) -> None:
        self.python = python
        self.degradation = degradation
        self.max_frames = max_frames
        self.settings = {"sigma": SIGMA_FACTOR * degradation.sigma, "basic": BASIC, "final": FINAL}
        self.versions: dict[str, str] = {}

    def __call__(self, clip: Clip, only: int | None = None) -> Iterator[ScoredFrame]:
        """The restored frames of ``clip``."""
        truth = read_frames(clip)[: self.max_frames]
        noisy = torch.stack([self.degradation(frame, clip.name, n) for n, frame in enumerate(truth)])
        for n, output in enumerate(self._restore(noisy)):
            if only in (None, n):
                yield ScoredFrame(n, noisy[n], output, truth[n])

    def _restore(self, noisy: Tensor) -> Tensor:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "noisy.npy")
            target = Path(folder, "restored.npy")
            np.save(source, noisy.numpy())
            # -P, because this folder has a module with the name of one in the standard library.
            command = [self.python, "-P", str(SCRIPT), str(source), str(target), json.dumps(self.settings)]
            found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            self.versions = json.loads(found)
            return torch.from_numpy(np.load(target))


def main() -> None:
    """Denoise and score every clip, write the report; finished clips are kept in ``OUTPUT.part``."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--vapoursynth", default="python3", help="the Python that has vapoursynth")
    parser.add_argument("--protocol", default="set8-25")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    protocol = get_protocol(options.protocol)
    if not isinstance(protocol, RestorationProtocol):
        parser.error(f"{protocol.name} is no protocol for denoising")
    peer = Peer(options.vapoursynth, protocol.degradation, protocol.max_frames)
    scorer = FidelityScorer(peer, protocol.metrics, protocol.crop)
    journal = Journal(options.output, {"protocol": protocol.name, "settings": peer.settings})
    scores = journal.read()
    for clip in protocol.data_set.open(options.data):
        if clip.name not in scores:
            score = scorer.score(clip)
            if score:
                scores[clip.name] = score
                journal.add(clip.name, score)
    config = {"architecture": "vbm3d", "arguments": peer.settings}
    EvaluationReport(protocol, "vbm3d", config, scores, versions=versions() | peer.versions).save(options.output)
    journal.remove()


if __name__ == "__main__":
    main()
