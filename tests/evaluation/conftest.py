"""Tiny data sets, and the clips that an evaluation measures."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.data_sets import write_sequences, write_triplets

from ls3d.data import Clip
from ls3d.evaluation import ClipScore
from ls3d.evaluation.fidelity.score import FidelityScorer


@pytest.fixture
def triplets(tmp_path: Path) -> Path:
    """The UCF101 triplets of ``write_triplets``."""
    return write_triplets(tmp_path / "ucf101")


@pytest.fixture
def sequences(tmp_path: Path) -> Path:
    """The Vid4 clips of ``write_sequences``."""
    return write_sequences(tmp_path / "vid4")


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the clips that are measured, as opposed to read from the journal."""
    names: list[str] = []
    original = FidelityScorer.score

    def score(self: FidelityScorer, clip: Clip) -> ClipScore | None:
        names.append(clip.name)
        return original(self, clip)

    monkeypatch.setattr(FidelityScorer, "score", score)
    return names
