"""What to train on, by name: the published training lists, and any folder of videos or of frames.

The lists for testing are in ``ls3d.data.sets``; where a set has a list for each, they have no clip in common.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from ls3d.data.footage import Footage
from ls3d.data.sets import DATA_SETS, sequences, videos
from ls3d.data.sets._registry import Opener
from ls3d.errors import InputError

#: From the name of a set to the function that opens its training list.
TRAINING_SETS: dict[str, Opener] = {
    "folder": videos.folder,
    "vimeo-septuplet": partial(sequences.vimeo_septuplet, list_file="sep_trainlist.txt"),
    "cityscapes": partial(sequences.cityscapes, split="train"),
    "mlb-youtube": partial(videos.mlb_youtube, subset="training"),
    "yuv25": videos.yuv25,
}


def open_training_set(name: str, root: str | os.PathLike[str]) -> list[Footage]:
    """The clips of a training set, sorted by name.

    Args:
        name: a key of ``TRAINING_SETS``.
        root: the folder it lies in.

    Raises:
        InputError: no such set, no such folder, or nothing of the set in it.
    """
    if name not in TRAINING_SETS:
        raise InputError(f"no training set is called {name!r}; there are {', '.join(TRAINING_SETS)}")
    folder = Path(root)
    if not folder.is_dir():
        raise InputError(f"{root}: no such folder of training clips")
    clips = sorted(TRAINING_SETS[name](folder), key=lambda clip: clip.name)
    if not clips and name == "folder":
        raise InputError(f"{root} holds no video and no folder of frames")
    if not clips:
        raise InputError(f"{root} holds no training clips of {name}, which come from {DATA_SETS[name].source}")
    return clips
