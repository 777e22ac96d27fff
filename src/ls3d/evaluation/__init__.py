"""Measuring models as their papers do: protocols by name, published rows beside ours, reports."""

from ls3d.evaluation._evaluate import evaluate
from ls3d.evaluation.fidelity.protocols import PROTOCOLS, Protocol, Window, get_protocol
from ls3d.evaluation.fidelity.published import Row
from ls3d.evaluation.report import ClipScore, Report

__all__ = ["PROTOCOLS", "ClipScore", "Protocol", "Report", "Row", "Window", "evaluate", "get_protocol"]
