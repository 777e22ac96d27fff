"""Networks in other people's programs.

``ls3d.hosts.descriptors`` says what a program needs to know to apply a network; it is imported here.
``ls3d.hosts.vapoursynth`` has the functions for scripts of VapourSynth; it needs the package ``vapoursynth``.
"""

from ls3d.hosts.descriptors import ModelDescriptor, describe, describe_all

__all__ = ["ModelDescriptor", "describe", "describe_all"]
