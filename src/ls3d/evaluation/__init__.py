"""Evaluation of networks by the protocols of published tables.

This package has what all tasks share: ``evaluate``, the report, its JSON, the table in the terminal and the page. What
a task measures is in a package of its own; ``fidelity`` compares restored or interpolated frames with the true ones,
``recognition`` has the accuracy of classifiers (``evaluate_recognition``).
"""

from ls3d.evaluation._evaluate import evaluate
from ls3d.evaluation.fidelity.protocols import FidelityProtocol, InterpolationProtocol, RestorationProtocol
from ls3d.evaluation.fidelity.scored_frames import InterpolationWindow
from ls3d.evaluation.protocol import ClipScore, Protocol, PublishedRow
from ls3d.evaluation.registry import PROTOCOLS, get_protocol
from ls3d.evaluation.report import EvaluationReport

__all__ = [
    "PROTOCOLS",
    "ClipScore",
    "EvaluationReport",
    "FidelityProtocol",
    "InterpolationProtocol",
    "InterpolationWindow",
    "Protocol",
    "PublishedRow",
    "RestorationProtocol",
    "evaluate",
    "get_protocol",
]
