"""Accuracy of classification: top-k, by class, the confusion matrix, and the calibration."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Accuracy:
    """How often the true class is among the highest scores.

    Attributes:
        top1: share of samples whose highest score is that of their class.
        top5: share of samples whose class has one of the five highest scores.
        classes: top-1 of each class; None for a class without samples.
        samples: number of samples.
    """

    top1: float
    top5: float
    classes: tuple[float | None, ...]
    samples: int

    @classmethod
    def of(cls, scores: Tensor, labels: Tensor) -> Accuracy:
        """Compare scores with labels.

        Args:
            scores: ``(N, classes)``, N at least 1; of equal scores, that of the lower class counts as higher.
            labels: ``(N,)``.
        """
        order = scores.sort(dim=1, descending=True, stable=True).indices
        hits = order == labels[:, None]
        matrix = confusion_matrix(scores, labels)
        totals = matrix.sum(dim=1).tolist()
        right = matrix.diagonal().tolist()
        by_class = tuple(count / total if total else None for count, total in zip(right, totals, strict=True))
        top1 = hits[:, 0].double().mean().item()
        top5 = hits[:, :5].any(dim=1).double().mean().item()
        return cls(top1, top5, by_class, len(labels))


def confusion_matrix(scores: Tensor, labels: Tensor) -> Tensor:
    """Count the samples of each class by the class with the highest score.

    Args:
        scores: ``(N, classes)``.
        labels: ``(N,)``.

    Returns:
        ``(classes, classes)`` int64: rows are true classes, columns are chosen ones.
    """
    count = scores.shape[1]
    pairs = labels * count + scores.argmax(dim=1)
    return torch.bincount(pairs, minlength=count * count).reshape(count, count)


def calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Expected calibration error: how far confidence and accuracy differ (arXiv:1706.04599, equation 3).

    Args:
        probabilities: ``(N, classes)``.
        labels: ``(N,)``.
        bins: number of bins of equal width over the confidence.
    """
    confidence, chosen = probabilities.double().max(dim=1)
    hits = (chosen == labels).double()
    index = (confidence * bins).long().clamp_max(bins - 1)
    gaps = torch.zeros(bins, dtype=torch.float64, device=index.device).index_add(0, index, hits - confidence)
    return gaps.abs().sum().item() / len(labels)
