"""Training: a recipe and clips in, weights out.

``train`` runs a recipe (one YAML file, see ``recipes/``) and goes on where it was killed.
"""

from ls3d.training.recipe import Recipe, load_recipe
from ls3d.training.run import train

__all__ = ["Recipe", "load_recipe", "train"]
