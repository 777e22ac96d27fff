"""``load_recipe``: from a YAML file, overlays and overrides to a checked recipe."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from ls3d.errors import InputError
from ls3d.models.untrusted import printable
from ls3d.training.enhancement.kinds import DenoisingRecipe, InterpolationRecipe, SuperResolutionRecipe
from ls3d.training.gradient_blending.recipe import GradientBlendingRecipe
from ls3d.training.recipe.inheritance import merge, read_with_bases
from ls3d.training.recipe.overrides import apply_override
from ls3d.training.recipe.yaml_text import shorten
from ls3d.training.recognition.defaults import default_values
from ls3d.training.recognition.recipe import BaseClassificationRecipe, ClassificationRecipe

#: A recipe for an enhancement network.
AnyEnhancementRecipe = InterpolationRecipe | SuperResolutionRecipe | DenoisingRecipe

#: A recipe of any kind; a new kind of training is added here.
Recipe = Annotated[AnyEnhancementRecipe | ClassificationRecipe | GradientBlendingRecipe, Field(discriminator="kind")]

_ADAPTER: TypeAdapter[Recipe] = TypeAdapter(Recipe)
_WITH_OVERLAYS = re.compile(r"(?P<file>.+\.ya?ml)(?P<overlays>(\+\w+)+)")


def load_recipe(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    The values come from the bases of the file, the file, its overlays and the overrides, later ones replacing earlier
    ones. An overlay is a file ``_NAME.yaml`` in the recipe's folder or the nearest one above it.

    Args:
        path: the file; ``recipe.yaml+small`` adds the overlay ``_small.yaml``, ``recipe.yaml+small+fast`` two.
        overrides: ``section.key=value``, each value in YAML.

    Returns:
        The recipe. Unless the file says otherwise, its ``output`` is ``runs/FOLDER_NAME``, after the file and its
        folder; each overlay adds ``_NAME``.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: a base or an overlay is missing, a file is not YAML, or a key or value is not a recipe's.
    """
    file, overlays = _split_overlays(os.fspath(path))
    values = read_with_bases(file)
    values.setdefault("output", f"runs/{file.resolve().parent.name}_{file.stem}")
    for name in overlays:
        values["output"] = f"{values['output']}_{name}"
        values = merge(values, read_with_bases(_find_overlay(file, name)))
    for override in overrides:
        apply_override(values, override)
    return build_recipe(values, os.fspath(path))


def recipe_for_videos(
    data: str | os.PathLike[str], model: str | os.PathLike[str], overrides: Sequence[str] = ()
) -> Recipe:
    """Make a recipe that trains a network to classify videos: a tenth of each class is held out, 30 epochs.

    Args:
        data: a folder with ``LABEL/VIDEO`` or ``GROUP/LABEL/VIDEO``, a CSV file with the columns ``path`` and
            ``label``, or a file of decoded videos.
        model: the name of a network, or weights that are fine-tuned, as ``load_model`` takes them.
        overrides: as for ``load_recipe``.

    Raises:
        InputError: there are no videos, the network doesn't classify clips, or a key or value is not a recipe's.
    """
    values = default_values(os.fspath(data), os.fspath(model))
    for override in overrides:
        apply_override(values, override)
    return build_recipe(values, os.fspath(data))


def build_recipe(values: Mapping[str, Any], source: str) -> Recipe:
    """Check the values of a recipe.

    Args:
        values: as in a recipe's file.
        source: where they are from, for error messages.

    Raises:
        InputError: a key or value is not a recipe's.
    """
    try:
        return _ADAPTER.validate_python({"kind": None, **values})
    except ValidationError as error:
        raise InputError(f"{source}: {_first_mistake(error)}") from error


def require_enhancement(recipe: Recipe) -> AnyEnhancementRecipe:
    """Return a recipe if it is for an enhancement network.

    Raises:
        InputError: it is of another kind.
    """
    if isinstance(recipe, BaseClassificationRecipe):
        raise InputError(f"the recipe's kind is {recipe.kind}, expected that of an enhancement network")
    return recipe


def _split_overlays(path: str) -> tuple[Path, list[str]]:
    match = _WITH_OVERLAYS.fullmatch(path)
    if match is None:
        return Path(path), []
    return Path(match["file"]), match["overlays"].split("+")[1:]


def _find_overlay(recipe: Path, name: str) -> Path:
    for folder in recipe.resolve().parents:
        if (folder / f"_{name}.yaml").is_file():
            return folder / f"_{name}.yaml"
    raise InputError(f"{recipe}+{name}: there is no overlay _{name}.yaml in the recipe's folder or above it")


def _first_mistake(error: ValidationError) -> str:
    """One sentence, such as ``data.crop: Input should be greater than 0, got -1``."""
    first = error.errors()[0]
    if first["type"] == "union_tag_invalid":
        return f"kind: expected one of {first['ctx']['expected_tags']}, got {printable(str(first['ctx']['tag']))}"
    message = first["msg"].removeprefix("Value error, ")
    key = ".".join(printable(str(part)) for part in first["loc"][1:])  # the first part is the kind
    return f"{key}: {message}, got {shorten(repr(first['input']))}" if key else message
