"""Running networks: device, precision, memory.

``Enhancer`` runs enhancement networks on frames of any size, ``Classifier`` recognition networks on clips.
"""

from ls3d.inference.classifier import Classifier, normalize_clips
from ls3d.inference.device import Precision, computes_in_bfloat16, resolve_device
from ls3d.inference.enhancer import Enhancer, NetworkOutputError, NonFiniteOutputError
from ls3d.inference.noise import estimate_sigma

__all__ = [
    "Classifier",
    "Enhancer",
    "NetworkOutputError",
    "NonFiniteOutputError",
    "Precision",
    "computes_in_bfloat16",
    "estimate_sigma",
    "normalize_clips",
    "resolve_device",
]
