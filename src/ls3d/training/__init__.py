"""Training: from a recipe and clips to a weights file.

A recipe is one YAML file (see ``recipes/``): ``load_recipe`` reads it, ``train`` runs it.
"""

from ls3d.errors import require

try:
    from ls3d.training._recipes import Recipe, build_recipe, load_recipe
    from ls3d.training._train import train
    from ls3d.training.identity import OtherTrainingError
except ModuleNotFoundError:
    require("pydantic", "train")
    require("yaml", "train")
    raise

__all__ = ["OtherTrainingError", "Recipe", "build_recipe", "load_recipe", "train"]
