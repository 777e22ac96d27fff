"""Training sets by name: the published training lists, and any folder of videos or of frames.

``ls3d.data.sets`` has the test lists; a data set that has both shares no clip between them.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from ls3d.data.clips import FileClip
from ls3d.data.lookup import look_up
from ls3d.data.sets import DATA_SETS, sequences, videos
from ls3d.data.sets.registry import ClipReader
from ls3d.errors import InputError

#: Functions that open a training list, by the name of the set.
TRAINING_SETS: dict[str, ClipReader] = {
    "folder": videos.folder,
    "vimeo-septuplet": partial(sequences.vimeo_septuplet, list_file="sep_trainlist.txt"),
    "cityscapes": partial(sequences.cityscapes, split="train"),
    "mlb-youtube": partial(videos.mlb_youtube, subset="training"),
    "yuv25": videos.yuv25,
}


def open_training_set(name: str, root: str | os.PathLike[str]) -> list[FileClip]:
    """The clips of a training set, sorted by name.

    Args:
        name: a key of ``TRAINING_SETS``.
        root: folder of the data set.

    Raises:
        InputError: the training set is unknown, the folder does not exist, or holds no clip of it.
    """
    read = look_up(TRAINING_SETS, name, "training set")
    folder = Path(root)
    if not folder.is_dir():
        raise InputError(f"{root}: no such folder of training clips")
    clips = sorted(read(folder), key=lambda clip: clip.name)
    if not clips and name == "folder":
        raise InputError(f"{root} holds no video and no folder of frames")
    if not clips:
        raise InputError(f"{root} holds no training clips of {name}; they come from {DATA_SETS[name].source}")
    return clips
