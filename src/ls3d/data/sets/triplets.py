"""Sets for interpolation that come as triplets: two frames and the one between them.

Every clip has three frames; the middle one is the truth.
"""

from __future__ import annotations

from pathlib import Path

from ls3d.data.footage import Footage, ImageFootage
from ls3d.data.sets._registry import data_set, existing, images_in, listed


@data_set(
    "vimeo-triplet",
    "the Vimeo-90K triplets",
    "toflow.csail.mit.edu (vimeo_triplet.zip)",
    "tri_testlist.txt and sequences/00001/0389/im1.png, im2.png, im3.png",
    clips=3782,
    frames=3 * 3782,
)
def vimeo_triplet(root: Path) -> list[Footage]:
    """The test list of Xue et al., "Video Enhancement with Task-Oriented Flow" (IJCV 2019)."""
    names = [Path(f"im{number}.png") for number in (1, 2, 3)]
    return [
        ImageFootage(clip, existing(root / "sequences" / clip, names, clip))
        for clip in listed(root, "tri_testlist.txt")
    ]


@data_set(
    "ucf101",
    "the UCF101 triplets of Deep Voxel Flow",
    "github.com/liuziwei7/voxel-flow (ucf101_interp_ours)",
    "1/frame_00.png, frame_01_gt.png, frame_02.png and so on",
    clips=379,
    frames=3 * 379,
)
def ucf101(root: Path) -> list[Footage]:
    """Liu et al., "Video Frame Synthesis using Deep Voxel Flow" (ICCV 2017)."""
    clips = _folders_with(root, ("frame_00", "frame_01_gt", "frame_02"))
    return sorted(clips, key=lambda clip: (len(clip.name), clip.name))


@data_set(
    "middlebury",
    "the Middlebury 'other' set",
    "vision.middlebury.edu/flow/data (other-color-twoframes.zip, other-gt-interp.zip)",
    "other-data/Beanbags/frame10.png, frame11.png with other-gt-interp/Beanbags/frame10i11.png, "
    "or all three in Beanbags/",
    clips=12,
    frames=3 * 12,
)
def middlebury(root: Path) -> list[Footage]:
    """Baker et al., "A Database and Evaluation Methodology for Optical Flow" (IJCV 2011)."""
    inputs, truths = root / "other-data", root / "other-gt-interp"
    if not truths.is_dir():
        return _folders_with(root, ("frame10", "frame10i11", "frame11"))
    clips: list[Footage] = []
    for folder in sorted(path for path in truths.iterdir() if path.is_dir()):
        names = [
            inputs / folder.name / "frame10.png",
            folder / "frame10i11.png",
            inputs / folder.name / "frame11.png",
        ]
        clips.append(ImageFootage(folder.name, existing(root, names, folder.name)))
    return clips


def _snu_film(root: Path, level: str) -> list[Footage]:
    """The triplets of one list; its paths begin with the folder in which its authors kept the data."""
    words = listed(root, f"eval_modes/test-{level}.txt") or listed(root, f"test-{level}.txt")
    names = [Path(word.partition("test/")[2] or word) for word in words]
    clips: list[Footage] = []
    for first, middle, last in zip(names[::3], names[1::3], names[2::3], strict=True):
        clip = middle.with_suffix("").as_posix()
        clips.append(ImageFootage(clip, existing(root / "test", [first, middle, last], clip)))
    return clips


def _register_snu_film(level: str) -> None:
    @data_set(
        f"snu-film-{level}",
        f"the list '{level}' of SNU-FILM",
        "myungsub.github.io/CAIN",
        f"eval_modes/test-{level}.txt and test/GOPRO_test, test/YouTube_test",
        clips=310,
        frames=3 * 310,
    )
    def opener(root: Path) -> list[Footage]:
        return _snu_film(root, level)


for _level in ("easy", "medium", "hard", "extreme"):
    _register_snu_film(_level)


def _folders_with(root: Path, stems: tuple[str, str, str]) -> list[Footage]:
    """Every folder that has three images of these names, whatever their format."""
    clips: list[Footage] = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        found = {path.stem: path for path in images_in(folder)}
        if all(stem in found for stem in stems):
            clips.append(ImageFootage(folder.name, [found[stem] for stem in stems]))
    return clips
