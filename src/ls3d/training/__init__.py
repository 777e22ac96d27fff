"""Training: a recipe and clips in, weights out.

``train`` runs a recipe (one YAML file, see ``recipes/``) and goes on where it was killed.
"""

from ls3d.training._train import train
from ls3d.training.recipe.schema import Recipe, load_recipe

__all__ = ["Recipe", "load_recipe", "train"]
