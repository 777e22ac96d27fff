"""Running networks: device, precision, memory.

``Enhancer`` runs enhancement networks on frames of any size, ``Classifier`` recognition networks on clips.
"""

from ls3d.inference.classifier import Classifier, normalize_clips
from ls3d.inference.device import resolve_device
from ls3d.inference.enhancer import Enhancer, NetworkOutputError, NonFiniteOutputError, Precision
from ls3d.inference.noise import estimate_sigma

__all__ = [
    "Classifier",
    "Enhancer",
    "NetworkOutputError",
    "NonFiniteOutputError",
    "Precision",
    "estimate_sigma",
    "normalize_clips",
    "resolve_device",
]
