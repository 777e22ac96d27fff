"""Test sets of folders with numbered frames: super-resolution, denoising, and interpolation of longer clips."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from ls3d.data.clips import FileClip, ImageClip
from ls3d.data.sets.registry import (
    folders_in,
    image_clip,
    images_in,
    read_frame_folders,
    read_list,
    register_data_set,
)
from ls3d.errors import InputError
from ls3d.video.names import is_image


@register_data_set(
    "vimeo-septuplet",
    "the Vimeo-90K septuplets",
    "toflow.csail.mit.edu (vimeo_septuplet.zip)",
    "sep_testlist.txt and sequences/00001/0266/im1.png ... im7.png",
    clips=7824,
    frames=7 * 7824,
)
def vimeo_septuplet(root: Path, list_file: str = "sep_testlist.txt") -> list[FileClip]:
    """A list of Xue et al., "Video Enhancement with Task-Oriented Flow" (IJCV 2019), by default the test list."""
    return [
        image_clip(name, [root / "sequences" / name / f"im{number}.png" for number in range(1, 8)])
        for name in read_list(root / list_file)
    ]


def _read_truth(root: Path) -> list[FileClip]:
    """The clips in ``GT/``, or the folders in ``root`` with their frames in ``truth/`` or directly."""
    if (root / "GT").is_dir():
        return read_frame_folders(root / "GT")
    return read_frame_folders(root, "truth") or read_frame_folders(root)


@register_data_set(
    "vid4",
    "Vid4",
    "github.com/XPixelGroup/BasicSR (docs/DatasetPreparation.md)",
    "GT/calendar, GT/city, GT/foliage, GT/walk (or without GT/), with one image per frame",
    clips=4,
    frames=41 + 34 + 49 + 47,
)
def vid4(root: Path) -> list[FileClip]:
    """Liu and Sun, "A Bayesian approach to adaptive video super resolution" (CVPR 2011)."""
    return _read_truth(root)


@register_data_set(
    "udm10",
    "UDM10",
    "github.com/psychopa4/PFNL",
    "GT/archpeople/0000.png and so on, or archpeople/truth/0000.png",
    clips=10,
    frames=10 * 32,
)
def udm10(root: Path) -> list[FileClip]:
    """Yi et al., PFNL (ICCV 2019)."""
    return _read_truth(root)


@register_data_set(
    "spmcs",
    "SPMCS",
    "github.com/jiangsutx/SPMC_VideoSR",
    "GT/car05_001/0000.png and so on, or car05_001/truth/0000.png",
    clips=30,
    frames=30 * 31,
)
def spmcs(root: Path) -> list[FileClip]:
    """Tao et al., "Detail-revealing deep video super-resolution" (ICCV 2017)."""
    return _read_truth(root)


@register_data_set(
    "reds4",
    "REDS4",
    "seungjunnah.github.io/Datasets/reds (train_sharp)",
    "train_sharp/000, 011, 015, 020 (or without train_sharp/) with 00000000.png ... 00000099.png",
    clips=4,
    frames=400,
)
def reds4(root: Path) -> list[FileClip]:
    """The four clips of REDS that EDVR (CVPRW 2019) excluded from training for testing."""
    folder = root / "train_sharp" if (root / "train_sharp").is_dir() else root
    return [clip for clip in read_frame_folders(folder) if clip.name in {"000", "011", "015", "020"}]


@register_data_set(
    "set8",
    "Set8",
    "github.com/m-tassano/fastdvdnet",
    "tractor, touchdown, park_joy, sunflower, hypersmooth, motorbike, rafting, snowboard (960 x 540)",
    clips=8,
)
def set8(root: Path) -> list[FileClip]:
    """Four sequences of Derf's collection and four of a GoPro (Tassano et al., FastDVDnet, CVPR 2020)."""
    return read_frame_folders(root)


def _davis(root: Path, split: str) -> list[FileClip]:
    """The sequences of one list at 480p."""
    clips: list[FileClip] = []
    for name in read_list(root / f"ImageSets/2017/{split}.txt"):
        folder = root / "JPEGImages" / "480p" / name
        if not folder.is_dir():
            raise InputError(f"{folder} is missing; the list {split}.txt names it")
        clips.append(ImageClip(name, images_in(folder)))
    return clips


@register_data_set(
    "davis-test",
    "DAVIS 2017 test-dev",
    "davischallenge.org (TrainVal/Test-Dev 2017, 480p)",
    "ImageSets/2017/test-dev.txt and JPEGImages/480p/<sequence>/00000.jpg and so on",
    clips=30,
)
def davis_test(root: Path) -> list[FileClip]:
    """Pont-Tuset et al., "The 2017 DAVIS Challenge", the 30 sequences of test-dev."""
    return _davis(root, "test-dev")


@register_data_set(
    "davis",
    "DAVIS 2017 trainval",
    "davischallenge.org (TrainVal 2017, 480p)",
    "ImageSets/2017/train.txt, val.txt and JPEGImages/480p/<sequence>/00000.jpg and so on",
    clips=90,
)
def davis(root: Path) -> list[FileClip]:
    """The 90 sequences of train and val."""
    return _davis(root, "train") + _davis(root, "val")


@register_data_set(
    "x-test",
    "X-TEST of X4K1000FPS",
    "github.com/JihyongOh/XVFI",
    "Type1/TEST01_003_f0433/0000.png ... 0032.png, Type2, Type3 (or all three in test/)",
    clips=15,
    frames=15 * 33,
)
def x_test(root: Path) -> list[FileClip]:
    """Sim et al., "XVFI: eXtreme Video Frame Interpolation" (ICCV 2021)."""
    folder = root / "test" if (root / "test").is_dir() else root
    clips: list[FileClip] = []
    for kind in folders_in(folder):
        if kind.name.startswith("Type"):
            clips += [ImageClip(f"{kind.name}/{scene.name}", images_in(scene)) for scene in folders_in(kind)]
    return clips


@register_data_set(
    "cityscapes",
    "the Cityscapes sequences",
    "cityscapes-dataset.com (leftImg8bit_sequence_trainvaltest.zip)",
    "leftImg8bit_sequence/val/frankfurt/frankfurt_000000_000275_leftImg8bit.png and so on",
    clips=500,
    frames=500 * 30,
)
def cityscapes(root: Path, split: str = "val") -> list[FileClip]:
    """The snippets of 30 frames of a split (Cordts et al., "The Cityscapes Dataset", CVPR 2016)."""
    snippets: dict[str, list[Path]] = {}
    for city in sorted(root.glob(f"leftImg8bit_sequence/{split}/*")):
        recordings: dict[str, dict[int, Path]] = defaultdict(dict)
        for path in images_in(city):
            if match := re.fullmatch(r"(.+_\d{6})_(\d{6})_leftImg8bit", path.stem):
                recordings[match[1]][int(match[2])] = path
        for recording, frames in sorted(recordings.items()):
            snippets |= {f"{recording}_{start:06d}": paths for start, paths in _snippets(frames, 30)}
    return [ImageClip(name, paths) for name, paths in snippets.items()]


def _snippets(frames: dict[int, Path], length: int) -> list[tuple[int, list[Path]]]:
    """Cut a recording into snippets: runs of consecutive frame numbers, at most ``length`` frames each.

    Args:
        frames: the images of a recording by frame number.
        length: frames in a snippet.

    Returns:
        The first frame number and the images of each snippet.
    """
    runs: list[tuple[int, list[Path]]] = []
    for number in sorted(frames):
        if not runs or number - 1 not in frames or len(runs[-1][1]) == length:
            runs.append((number, []))
        runs[-1][1].append(frames[number])
    return runs


@register_data_set(
    "gait",
    "the CASIA gait database, dataset A",
    "cbsr.ia.ac.cn (Gait Databases)",
    "<person>/00_1/<person>-00_1-001.png and so on, or any folders with one walk each",
    clips=240,
    frames=19139,
)
def gait(root: Path) -> list[FileClip]:
    """Wang et al., "Silhouette analysis-based gait recognition" (PAMI 2003): 20 persons, 12 walks each."""
    folders = sorted({path.parent for path in root.rglob("*") if is_image(path)})
    return [ImageClip(folder.relative_to(root).as_posix(), images_in(folder)) for folder in folders]
