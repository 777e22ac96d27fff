"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file beside ``path``: it takes that name when the block has ended well, and vanishes otherwise.

    ``with atomic_write("scores.json") as part: part.write_text(text)``
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield part
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
