"""Interpolation test sets of triplets.

Every clip has three frames: the two that are given and, between them, the true frame.
"""

from __future__ import annotations

from pathlib import Path

from ls3d.data.clips import FileClip, ImageClip
from ls3d.data.sets.registry import folders_in, image_clip, images_in, read_list, register_data_set
from ls3d.errors import InputError

#: Stems of the file names in Middlebury's archives, which later triplet sets took over.
_MIDDLEBURY_STEMS = ("frame10", "frame10i11", "frame11")


@register_data_set(
    "vimeo-triplet",
    "the Vimeo-90K triplets",
    "toflow.csail.mit.edu (vimeo_triplet.zip)",
    "tri_testlist.txt and sequences/00001/0389/im1.png, im2.png, im3.png",
    clips=3782,
    frames=3 * 3782,
)
def vimeo_triplet(root: Path) -> list[FileClip]:
    """The test list of Xue et al., "Video Enhancement with Task-Oriented Flow" (IJCV 2019)."""
    return [
        image_clip(name, [root / "sequences" / name / f"im{number}.png" for number in (1, 2, 3)])
        for name in read_list(root / "tri_testlist.txt")
    ]


@register_data_set(
    "ucf101",
    "the UCF101 triplets of Deep Voxel Flow",
    "github.com/liuziwei7/voxel-flow (ucf101_interp_ours)",
    "1/frame_00.png, frame_01_gt.png, frame_02.png and so on",
    clips=379,
    frames=3 * 379,
)
def ucf101(root: Path) -> list[FileClip]:
    """Liu et al., "Video Frame Synthesis using Deep Voxel Flow" (ICCV 2017)."""
    clips = _triplet_folders(root, ("frame_00", "frame_01_gt", "frame_02"))
    return sorted(clips, key=lambda clip: (len(clip.name), clip.name))


@register_data_set(
    "middlebury",
    "the Middlebury 'other' set",
    "vision.middlebury.edu/flow/data (other-color-twoframes.zip, other-gt-interp.zip)",
    "other-data/Beanbags/frame10.png, frame11.png with other-gt-interp/Beanbags/frame10i11.png, "
    "or all three in Beanbags/",
    clips=12,
    frames=3 * 12,
)
def middlebury(root: Path) -> list[FileClip]:
    """Baker et al., "A Database and Evaluation Methodology for Optical Flow" (IJCV 2011)."""
    truth = root / "other-gt-interp"
    if truth.is_dir():
        return _separate_truth(root / "other-data", truth)
    return _triplet_folders(root, _MIDDLEBURY_STEMS)


@register_data_set(
    "davis-triplets",
    "the DAVIS triplets of AdaCoF",
    "github.com/HyeongminLEE/AdaCoF-pytorch (test_input/davis)",
    "input/bike-trial/frame10.png, frame11.png with gt/bike-trial/frame10i11.png and so on",
    clips=30,
    frames=3 * 30,
)
def davis_triplets(root: Path) -> list[FileClip]:
    """One triplet of each of 30 DAVIS 2017 sequences, distributed with AdaCoF (Lee et al., CVPR 2020)."""
    truth = root / "gt"
    return _separate_truth(root / "input", truth) if truth.is_dir() else []


def _separate_truth(inputs: Path, truth: Path) -> list[FileClip]:
    """Triplets named as Middlebury's, with the given and the true frames in different folders."""
    first, middle, last = (f"{stem}.png" for stem in _MIDDLEBURY_STEMS)
    clips: list[FileClip] = []
    for folder in folders_in(truth):
        given = inputs / folder.name
        clips.append(image_clip(folder.name, [given / first, folder / middle, given / last]))
    return clips


def _triplet_folders(root: Path, stems: tuple[str, str, str]) -> list[FileClip]:
    """Every folder that has three images with these stems, in any image format."""
    clips: list[FileClip] = []
    for folder in folders_in(root):
        images = {path.stem: path for path in images_in(folder)}
        if all(stem in images for stem in stems):
            clips.append(ImageClip(folder.name, [images[stem] for stem in stems]))
    return clips


def _snu_film(root: Path, level: str) -> list[FileClip]:
    """The triplets of one list. Its paths begin with a folder on its authors' disk, which is ignored."""
    listed = read_list(root / f"eval_modes/test-{level}.txt") or read_list(root / f"test-{level}.txt")
    if len(listed) % 3:
        raise InputError(f"the list {level} of {root} names {len(listed)} frames; expected three for each clip")
    paths = [Path(path.partition("test/")[2] or path) for path in listed]
    clips: list[FileClip] = []
    for triplet in zip(paths[::3], paths[1::3], paths[2::3], strict=True):
        name = triplet[1].with_suffix("").as_posix()
        clips.append(image_clip(name, [root / "test" / path for path in triplet]))
    return clips


def _register_snu_film(level: str) -> None:
    @register_data_set(
        f"snu-film-{level}",
        f"the list '{level}' of SNU-FILM",
        "myungsub.github.io/CAIN",
        f"eval_modes/test-{level}.txt and test/GOPRO_test, test/YouTube_test",
        clips=310,
        frames=3 * 310,
    )
    def read(root: Path) -> list[FileClip]:
        return _snu_film(root, level)


for _level in ("easy", "medium", "hard", "extreme"):
    _register_snu_film(_level)
