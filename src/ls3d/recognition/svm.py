"""A linear support vector machine on features of videos: the test of C3D's features (arXiv:1412.0767, section 4)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ls3d.environment import versions
from ls3d.errors import InputError, check_positive, require
from ls3d.files import write_json
from ls3d.recognition.features import FeatureSet


@dataclass(frozen=True)
class SvmReport:
    """Accuracies of support vector machines.

    Attributes:
        top1: accuracy in percent on all features.
        by_dimension: the same on the first principal components, by their number.
        training: number of training videos.
        test: number of test videos.
        dimensions: number of features.
        regularization: the parameter C of the machines.
        origin: model, layer and clips of the features.
        versions: of the software that was used.
    """

    top1: float
    by_dimension: dict[int, float]
    training: int
    test: int
    dimensions: int
    regularization: float
    origin: dict[str, Any]
    versions: dict[str, str] = field(default_factory=versions)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON, atomically."""
        write_json(path, asdict(self))


def evaluate_svm(
    training: FeatureSet, test: FeatureSet, dimensions: Sequence[int] = (), regularization: float = 1.0
) -> SvmReport:
    """Train one linear support vector machine for each class against the others, and test them.

    Args:
        training: the features to train on.
        test: the features to test on.
        dimensions: numbers of principal components of the training features to test as well.
        regularization: the parameter C of the machines.

    Raises:
        InputError: a number of dimensions is more than there are features or training videos, the training videos are
            of one class, or ``regularization`` is not above 0.
        MissingExtraError: scikit-learn is not installed.
    """
    require("sklearn", "features")
    from sklearn.decomposition import PCA

    check_positive(regularization=regularization)
    if len(found := np.unique(training.labels)) < 2:
        raise InputError(f"the training videos are all of the class {training.classes[found[0]]}; expected two or more")
    most = min(training.values.shape)
    for count in dimensions:
        if not 1 <= count <= most:
            raise InputError(f"{count}: expected 1 to {most}", argument="dimensions")
    by_dimension = {}
    for count in dimensions:
        components = PCA(count, svd_solver="full").fit(training.values)
        reduced = components.transform(training.values), components.transform(test.values)
        by_dimension[count] = _accuracy(*reduced, training, test, regularization)
    return SvmReport(
        _accuracy(training.values, test.values, training, test, regularization),
        by_dimension,
        len(training.labels),
        len(test.labels),
        training.values.shape[1],
        regularization,
        training.origin,
    )


def _accuracy(
    training_values: npt.NDArray[np.float32],
    test_values: npt.NDArray[np.float32],
    training: FeatureSet,
    test: FeatureSet,
    regularization: float,
) -> float:
    """Top-1 accuracy in percent."""
    from sklearn.svm import LinearSVC

    machine = LinearSVC(C=regularization, random_state=0, max_iter=10_000).fit(training_values, training.labels)
    hits = machine.predict(test_values) == test.labels
    return round(100 * float(np.mean(hits)), 3)
