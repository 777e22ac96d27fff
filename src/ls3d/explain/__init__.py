"""Shows where a network samples: the pixels that an output pixel depends on, and the samples that it is made of."""

from ls3d.explain.api import explain_pixel
from ls3d.explain.calls import SampledCall, record_sampling
from ls3d.explain.fields import OffsetField, offset_fields
from ls3d.explain.statistics import SpreadStatistics, measure_spread
from ls3d.explain.trace import SamplingPoints, Trace, trace, trace_samples
from ls3d.explain.videos import PixelTrace, trace_pixel, trace_video

__all__ = [
    "OffsetField",
    "PixelTrace",
    "SampledCall",
    "SamplingPoints",
    "SpreadStatistics",
    "Trace",
    "explain_pixel",
    "measure_spread",
    "offset_fields",
    "record_sampling",
    "trace",
    "trace_pixel",
    "trace_samples",
    "trace_video",
]
