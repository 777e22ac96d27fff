"""Shows where a network samples: the pixels that an output pixel depends on, and the samples that it is made of."""

from ls3d.explain.calls import SampledCall, record_sampling
from ls3d.explain.trace import SamplingPoints, Trace, trace, trace_samples

__all__ = ["SampledCall", "SamplingPoints", "Trace", "record_sampling", "trace", "trace_samples"]
