"""Accuracy of recognition networks on labeled videos, by clips and crops."""

from ls3d.evaluation.recognition.confusion import plot_confusion
from ls3d.evaluation.recognition.evaluate import evaluate_recognition
from ls3d.evaluation.recognition.report import RecognitionReport, VideoScore
from ls3d.evaluation.recognition.views import ViewProtocol

__all__ = ["RecognitionReport", "VideoScore", "ViewProtocol", "evaluate_recognition", "plot_confusion"]
