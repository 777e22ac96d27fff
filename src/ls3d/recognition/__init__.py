"""Recognition at work: classes of videos over time, features of videos, linear classifiers of features."""

from ls3d.recognition.classify import TimeLine, Window, classify_video, save_csv, save_json
from ls3d.recognition.features import FeatureSet, extract_features
from ls3d.recognition.flow import write_flow
from ls3d.recognition.svm import SvmReport, evaluate_svm

__all__ = [
    "FeatureSet",
    "SvmReport",
    "TimeLine",
    "Window",
    "classify_video",
    "evaluate_svm",
    "extract_features",
    "save_csv",
    "save_json",
    "write_flow",
]
