"""Running enhancement networks on frames of any size: device, precision, padding, tiles, memory, noise level."""

from ls3d.inference.device import resolve_device
from ls3d.inference.enhancer import Enhancer, NetworkOutputError, NonFiniteOutputError, Precision
from ls3d.inference.noise import estimate_sigma

__all__ = ["Enhancer", "NetworkOutputError", "NonFiniteOutputError", "Precision", "estimate_sigma", "resolve_device"]
