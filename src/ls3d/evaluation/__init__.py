"""Measuring models as their papers do: protocols by name, published rows beside ours, reports."""

from ls3d.evaluation.protocols import PROTOCOLS, Protocol, Window, get_protocol
from ls3d.evaluation.published import Row
from ls3d.evaluation.report import ClipScore, Report
from ls3d.evaluation.run import evaluate

__all__ = ["PROTOCOLS", "ClipScore", "Protocol", "Report", "Row", "Window", "evaluate", "get_protocol"]
