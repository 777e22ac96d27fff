"""Running enhancement networks on frames of any size: device, precision, padding, tiles, memory, noise level."""

from ls3d.inference.device import resolve_device
from ls3d.inference.enhancer import Enhancer, NonFiniteOutputError, Precision
from ls3d.inference.noise import estimate_sigma

__all__ = ["Enhancer", "NonFiniteOutputError", "Precision", "estimate_sigma", "resolve_device"]
