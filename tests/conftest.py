"""Settings and fixtures of all tests: fixed seeds, one thread per worker, Hypothesis without deadlines."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from helpers import videos

from ls3d.data.clips import ArrayClip

hypothesis.settings.register_profile(
    "ls3d",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)
# scripts/mutation.sh: that a test fails is enough, no small example is wanted.
hypothesis.settings.register_profile(
    "mutation",
    hypothesis.settings.get_profile("ls3d"),
    max_examples=20,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
hypothesis.settings.load_profile("ls3d")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers run at the same time: one thread each, also in the programs that tests start.
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True, scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Records of finished jobs are kept in a temporary folder, not in the user's."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def seed() -> None:
    """Every test starts from the same random state."""
    torch.manual_seed(0)


@pytest.fixture
def clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace decoded files by clips of stripes that move at different speeds."""
    t, y, x = np.mgrid[0:9, 0:48, 0:48]
    made = [
        ArrayClip(name, np.stack([128 + 100 * np.sin(0.3 * (x - speed * t) + 0.2 * y)] * 3, -1).astype(np.uint8))
        for name, speed in (("a1", 0.5), ("a2", 1.5), ("a3", 2.5), ("b", 1))
    ]
    monkeypatch.setattr("ls3d.data.cache.open_clips", lambda *_: made)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of four small videos, and a temporary cache for their frames."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "clips").mkdir()
    for name in "abcd":
        videos.Clip(9, (48, 64)).write(tmp_path / "clips" / f"{name}.mp4")
    return tmp_path / "clips"
