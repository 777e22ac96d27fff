"""Interpolation, super-resolution and denoising, measured by how close frames are to the true ones.

``protocols`` has the two kinds of protocols; ``interpolation``, ``super_resolution`` and ``denoising`` list them all,
with the rows from ``published``. ``scored_frames`` runs the network, ``score`` measures its frames and ``pictures``
shows them.
"""
