"""Recognition at work: features of videos, and how well a linear classifier separates them."""

from ls3d.recognition.features import FeatureSet, extract_features
from ls3d.recognition.svm import SvmReport, evaluate_svm

__all__ = ["FeatureSet", "SvmReport", "evaluate_svm", "extract_features"]
