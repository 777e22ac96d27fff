"""Accuracy, confusion matrix and calibration, against counts by loops."""

from __future__ import annotations

import pytest
import torch

from ls3d.metrics import Accuracy, calibration_error, confusion_matrix


def test_accuracy_equals_counts() -> None:
    scores, labels = torch.rand(50, 8), torch.randint(8, (50,))
    accuracy = Accuracy.of(scores, labels)
    ranks = [sum(other > scores[n, label] for other in scores[n].tolist()) for n, label in enumerate(labels.tolist())]
    assert accuracy.top1 == pytest.approx(sum(rank == 0 for rank in ranks) / 50)
    assert accuracy.top5 == pytest.approx(sum(rank < 5 for rank in ranks) / 50)
    for label, share in enumerate(accuracy.classes):
        chosen = [rank == 0 for rank, true in zip(ranks, labels.tolist(), strict=True) if true == label]
        assert share == (pytest.approx(sum(chosen) / len(chosen)) if chosen else None)


def test_equal_scores_are_not_right_by_chance() -> None:
    assert Accuracy.of(torch.zeros(4, 10), torch.tensor([0, 3, 5, 9])).top1 == 0.25
    assert Accuracy.of(torch.zeros(4, 10), torch.tensor([0, 3, 5, 9])).top5 == 0.5


def test_the_confusion_matrix_has_a_row_for_each_true_class() -> None:
    scores = torch.eye(3)[[0, 1, 1, 2]]
    matrix = confusion_matrix(scores, torch.tensor([0, 0, 1, 1]))
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    probabilities = torch.tensor([[0.9, 0.1]] * 10)
    labels = torch.tensor([0] * 6 + [1] * 4)
    assert calibration_error(probabilities, labels) == pytest.approx(0.3)
    assert calibration_error(torch.eye(2), torch.tensor([0, 1])) == 0
