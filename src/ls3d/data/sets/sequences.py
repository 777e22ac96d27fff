"""Sets that come as folders of numbered frames: super-resolution, denoising, and long interpolation clips."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from ls3d.data.footage import Footage, ImageFootage
from ls3d.data.sets._registry import data_set, existing, frame_folders, images_in, listed
from ls3d.errors import InputError


@data_set(
    "vimeo-septuplet",
    "the Vimeo-90K septuplets",
    "toflow.csail.mit.edu (vimeo_septuplet.zip)",
    "sep_testlist.txt and sequences/00001/0266/im1.png ... im7.png",
    clips=7824,
    frames=7 * 7824,
)
def vimeo_septuplet(root: Path, list_file: str = "sep_testlist.txt") -> list[Footage]:
    """The test list, or another, of Xue et al., "Video Enhancement with Task-Oriented Flow" (IJCV 2019)."""
    names = [Path(f"im{number}.png") for number in range(1, 8)]
    return [ImageFootage(clip, existing(root / "sequences" / clip, names, clip)) for clip in listed(root, list_file)]


def _with_truth(root: Path) -> list[Footage]:
    """Clips in ``GT/``, or each with its frames in ``truth/``, or just folders of frames."""
    if (root / "GT").is_dir():
        return frame_folders(root / "GT")
    return frame_folders(root, "truth") or frame_folders(root)


@data_set(
    "vid4",
    "Vid4",
    "github.com/XPixelGroup/BasicSR (docs/DatasetPreparation.md)",
    "GT/calendar, GT/city, GT/foliage, GT/walk (or without GT/), with one image per frame",
    clips=4,
    frames=41 + 34 + 49 + 47,
)
def vid4(root: Path) -> list[Footage]:
    """Liu and Sun, "A Bayesian approach to adaptive video super resolution" (CVPR 2011)."""
    return _with_truth(root)


@data_set(
    "udm10",
    "UDM10",
    "github.com/psychopa4/PFNL",
    "GT/archpeople/0000.png and so on, or archpeople/truth/0000.png",
    clips=10,
    frames=10 * 32,
)
def udm10(root: Path) -> list[Footage]:
    """Yi et al., PFNL (ICCV 2019)."""
    return _with_truth(root)


@data_set(
    "spmcs",
    "SPMCS",
    "github.com/jiangsutx/SPMC_VideoSR",
    "GT/car05_001/0000.png and so on, or car05_001/truth/0000.png",
    clips=30,
    frames=30 * 31,
)
def spmcs(root: Path) -> list[Footage]:
    """Tao et al., "Detail-revealing deep video super-resolution" (ICCV 2017)."""
    return _with_truth(root)


@data_set(
    "reds4",
    "REDS4",
    "seungjunnah.github.io/Datasets/reds (train_sharp)",
    "train_sharp/000, 011, 015, 020 (or without train_sharp/) with 00000000.png ... 00000099.png",
    clips=4,
    frames=400,
)
def reds4(root: Path) -> list[Footage]:
    """The four clips of REDS that EDVR (CVPRW 2019) set aside for testing."""
    folder = root / "train_sharp" if (root / "train_sharp").is_dir() else root
    return [clip for clip in frame_folders(folder) if clip.name in {"000", "011", "015", "020"}]


@data_set(
    "set8",
    "Set8",
    "github.com/m-tassano/fastdvdnet",
    "tractor, touchdown, park_joy, sunflower, hypersmooth, motorbike, rafting, snowboard (960 x 540)",
    clips=8,
)
def set8(root: Path) -> list[Footage]:
    """Four sequences of Derf's collection and four of a GoPro (Tassano et al., FastDVDnet, CVPR 2020)."""
    return frame_folders(root)


def _davis(root: Path, split: str) -> list[Footage]:
    """The sequences of one list at 480p."""
    clips: list[Footage] = []
    for name in listed(root, f"ImageSets/2017/{split}.txt"):
        folder = root / "JPEGImages" / "480p" / name
        if not folder.is_dir():
            raise InputError(f"{folder} is missing, which the list {split}.txt names")
        clips.append(ImageFootage(name, images_in(folder)))
    return clips


@data_set(
    "davis-test",
    "DAVIS 2017 test-dev",
    "davischallenge.org (TrainVal/Test-Dev 2017, 480p)",
    "ImageSets/2017/test-dev.txt and JPEGImages/480p/<sequence>/00000.jpg and so on",
    clips=30,
)
def davis_test(root: Path) -> list[Footage]:
    """Pont-Tuset et al., "The 2017 DAVIS Challenge", the 30 sequences of test-dev."""
    return _davis(root, "test-dev")


@data_set(
    "davis",
    "DAVIS 2017 trainval",
    "davischallenge.org (TrainVal 2017, 480p)",
    "ImageSets/2017/train.txt, val.txt and JPEGImages/480p/<sequence>/00000.jpg and so on",
    clips=90,
)
def davis(root: Path) -> list[Footage]:
    """The 90 sequences of train and val."""
    return _davis(root, "train") + _davis(root, "val")


@data_set(
    "x-test",
    "X-TEST of X4K1000FPS",
    "github.com/JihyongOh/XVFI",
    "Type1/TEST01_003_f0433/0000.png ... 0032.png, Type2, Type3 (perhaps below test/)",
    clips=15,
    frames=15 * 33,
)
def x_test(root: Path) -> list[Footage]:
    """Sim et al., "XVFI: eXtreme Video Frame Interpolation" (ICCV 2021)."""
    folder = root / "test" if (root / "test").is_dir() else root
    clips: list[Footage] = []
    for kind in sorted(path for path in folder.iterdir() if path.is_dir() and path.name.startswith("Type")):
        scenes = sorted(path for path in kind.iterdir() if path.is_dir())
        clips += [ImageFootage(f"{kind.name}/{scene.name}", images_in(scene)) for scene in scenes]
    return clips


@data_set(
    "cityscapes",
    "the Cityscapes sequences",
    "cityscapes-dataset.com (leftImg8bit_sequence_trainvaltest.zip)",
    "leftImg8bit_sequence/val/frankfurt/frankfurt_000000_000275_leftImg8bit.png and so on",
    clips=500,
    frames=500 * 30,
)
def cityscapes(root: Path, split: str = "val") -> list[Footage]:
    """The snippets of 30 frames of a split (Cordts et al., CVPR 2016)."""
    snippets: dict[str, list[Path]] = {}
    for city in sorted(root.glob(f"leftImg8bit_sequence/{split}/*")):
        numbered: dict[str, dict[int, Path]] = defaultdict(dict)
        for path in images_in(city):
            if match := re.fullmatch(r"(.+_\d{6})_(\d{6})_leftImg8bit", path.stem):
                numbered[match[1]][int(match[2])] = path
        for sequence, frames in sorted(numbered.items()):
            snippets |= {f"{sequence}_{start:06d}": paths for start, paths in _snippets(frames, 30)}
    return [ImageFootage(name, paths) for name, paths in snippets.items()]


def _snippets(frames: dict[int, Path], length: int) -> list[tuple[int, list[Path]]]:
    """Cut a recording into its snippets: runs of consecutive numbers, at most ``length`` frames each."""
    runs: list[tuple[int, list[Path]]] = []
    for number in sorted(frames):
        if not runs or number - 1 not in frames or len(runs[-1][1]) == length:
            runs.append((number, []))
        runs[-1][1].append(frames[number])
    return runs


@data_set(
    "gait",
    "the CASIA gait database, dataset A",
    "cbsr.ia.ac.cn (Gait Databases)",
    "<person>/00_1/<person>-00_1-001.png and so on, or any folders with one walk each",
    clips=240,
    frames=19139,
)
def gait(root: Path) -> list[Footage]:
    """Wang et al., "Silhouette analysis-based gait recognition" (PAMI 2003): 20 persons, 12 walks each."""
    folders = sorted({path.parent for path in root.rglob("*") if path.suffix.lower() in {".png", ".jpg", ".bmp"}})
    return [ImageFootage(folder.relative_to(root).as_posix(), images_in(folder)) for folder in folders]
