"""Training: from a recipe and clips to a weights file.

A recipe is one YAML file (see ``recipes/``): ``load_recipe`` reads it, ``train`` runs it.
``recipe_for_videos`` makes one for a folder of videos by class.
"""

from ls3d.errors import require

try:
    from ls3d.training._recipes import (
        AnyEnhancementRecipe,
        Recipe,
        build_recipe,
        load_recipe,
        recipe_for_videos,
        require_enhancement,
    )
    from ls3d.training._train import train
    from ls3d.training.identity import OtherTrainingError
except ModuleNotFoundError:
    require("pydantic", "train")
    require("yaml", "train")
    raise

__all__ = [
    "AnyEnhancementRecipe",
    "OtherTrainingError",
    "Recipe",
    "build_recipe",
    "load_recipe",
    "recipe_for_videos",
    "require_enhancement",
    "train",
]
