"""Gradient-Blending (arXiv:1905.12681): joint training of several modalities.

The loss of each modality is weighted by how much it generalizes and how little it overfits, measured on videos that are
held out from the training set. Recipes are of the kind ``gradient_blending``.
"""
