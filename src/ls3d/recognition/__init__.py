"""Recognition at work: classes of videos and streams over time, features of videos, linear classifiers of features."""

from ls3d.recognition.annotate import Annotation
from ls3d.recognition.classify import TimeLine, Window, classify_video, save_csv, save_json
from ls3d.recognition.features import FeatureSet, extract_features
from ls3d.recognition.flow import write_flow
from ls3d.recognition.plot import plot_time_line
from ls3d.recognition.streams import classify_stream
from ls3d.recognition.svm import SvmReport, evaluate_svm

__all__ = [
    "Annotation",
    "FeatureSet",
    "SvmReport",
    "TimeLine",
    "Window",
    "classify_stream",
    "classify_video",
    "evaluate_svm",
    "extract_features",
    "plot_time_line",
    "save_csv",
    "save_json",
    "write_flow",
]
