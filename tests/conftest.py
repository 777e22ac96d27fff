"""What every test shares: fixed seeds, one thread per worker, Hypothesis without deadlines."""

from __future__ import annotations

import os

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile(
    "ls3d",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.load_profile("ls3d")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers side by side: one thread each, in the programs that tests start as well.
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def seed() -> None:
    """Every test starts from the same random state."""
    torch.manual_seed(0)
