"""HTML from the templates of this package."""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2


def render(template: str, **values: Any) -> str:
    """Fill in a template; values are escaped unless the template marks them as safe.

    Args:
        template: path of a ``.html.j2`` file below ``ls3d/evaluation``.
        values: by the name that the template uses.
    """
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("ls3d", "evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
