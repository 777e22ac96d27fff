"""Every data set is read from a tiny folder with the layout of the official archive."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from ls3d.data import DATA_SETS, get_data_set
from ls3d.errors import InputError
from ls3d.video.images import encode_png

Layout = Callable[[Path], dict[str, list[int]]]
LAYOUTS: dict[str, list[Layout]] = {}


def layout(*names: str) -> Callable[[Layout], Layout]:
    """Register a function that writes a data set and returns the gray values of each clip's frames."""

    def register(function: Layout) -> Layout:
        for name in names:
            LAYOUTS.setdefault(name, []).append(function)
        return function

    return register


def image(path: Path, gray: int) -> None:
    """Write a small PNG of one gray value, by which a test identifies the frame (PyAV ignores the suffix)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(np.full((8, 12, 3), gray, np.uint8)))


def images(folder: Path, pattern: str, grays: list[int], start: int = 0) -> list[int]:
    for number, gray in enumerate(grays, start):
        image(folder / pattern.format(number), gray)
    return grays


def video(path: Path, grays: list[int]) -> list[int]:
    """A lossless video."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=25, options={"qp": "0"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb24"
        for gray in grays:
            frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), gray, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return grays


@layout("vimeo-triplet")
def write_vimeo_triplet(root: Path) -> dict[str, list[int]]:
    (root / "tri_testlist.txt").write_text("00001/0389\n00002/0001\n\n")
    for clip in ("00001/0389", "00002/0001", "00099/0001"):  # the last one is of the training list
        images(root / "sequences" / clip, "im{}.png", [10, 20, 30], start=1)
    return {"00001/0389": [10, 20, 30], "00002/0001": [10, 20, 30]}


@layout("vimeo-septuplet")
def write_vimeo_septuplet(root: Path) -> dict[str, list[int]]:
    (root / "sep_testlist.txt").write_text("00001/0266\n")
    return {"00001/0266": images(root / "sequences/00001/0266", "im{}.png", list(range(7)), start=1)}


@layout("ucf101")
def write_ucf101(root: Path) -> dict[str, list[int]]:
    for clip in ("1", "1001", "11"):
        image(root / clip / "frame_00.png", 1)
        image(root / clip / "frame_01_gt.png", 2)
        image(root / clip / "frame_01_ours.png", 99)
        image(root / clip / "frame_02.png", 3)
    return {"1": [1, 2, 3], "11": [1, 2, 3], "1001": [1, 2, 3]}


@layout("middlebury")
def write_middlebury_official(root: Path) -> dict[str, list[int]]:
    image(root / "other-data/Beanbags/frame10.png", 1)
    image(root / "other-data/Beanbags/frame11.png", 3)
    image(root / "other-gt-interp/Beanbags/frame10i11.png", 2)
    return {"Beanbags": [1, 2, 3]}


@layout("middlebury")
def write_middlebury_together(root: Path) -> dict[str, list[int]]:
    for name, gray in (("frame10", 1), ("frame10i11", 2), ("frame11", 3)):
        image(root / "Walking" / f"{name}.webp", gray)
    (root / "README.md").write_text("not a clip")
    return {"Walking": [1, 2, 3]}


@layout("davis-triplets")
def write_davis_triplets(root: Path) -> dict[str, list[int]]:
    for name in ("boxing", "bike-trial"):
        image(root / "input" / name / "frame10.png", 1)
        image(root / "input" / name / "frame11.png", 3)
        image(root / "gt" / name / "frame10i11.png", 2)
    return {"bike-trial": [1, 2, 3], "boxing": [1, 2, 3]}


@layout("snu-film-easy", "snu-film-medium", "snu-film-hard", "snu-film-extreme")
def write_snu_film(root: Path) -> dict[str, list[int]]:
    folder = "GOPRO_test/GOPR0384_11_00"
    images(root / "test" / folder, "{:06d}.png", [5, 6, 7, 8, 9], start=1)
    line = " ".join(f"data/SNU-FILM/test/{folder}/00000{number}.png" for number in (1, 3, 5))
    (root / "eval_modes").mkdir()
    for level in ("easy", "medium", "hard", "extreme"):
        (root / f"eval_modes/test-{level}.txt").write_text(line + "\n")
    return {f"{folder}/000003": [5, 7, 9]}


@layout("vid4")
def write_vid4(root: Path) -> dict[str, list[int]]:
    return {clip: images(root / clip, "{:08d}.png", [1, 2, 3]) for clip in ("calendar", "city", "foliage", "walk")}


@layout("vid4", "udm10", "spmcs")
def write_ground_truth_and_small(root: Path) -> dict[str, list[int]]:
    images(root / "BIx4/archpeople", "{:04d}.png", [90, 91])
    return {"archpeople": images(root / "GT/archpeople", "{:04d}.png", [1, 2])}


@layout("udm10", "spmcs")
def write_truth_and_blur(root: Path) -> dict[str, list[int]]:
    images(root / "car05_001/blur4", "{:04d}.png", [90, 91])
    return {"car05_001": images(root / "car05_001/truth", "{:04d}.png", [1, 2])}


@layout("reds4")
def write_reds(root: Path) -> dict[str, list[int]]:
    images(root / "train_sharp/001", "{:08d}.png", [9])
    return {clip: images(root / "train_sharp" / clip, "{:08d}.png", [1, 2]) for clip in ("000", "011", "015", "020")}


@layout("reds4")
def write_reds4_alone(root: Path) -> dict[str, list[int]]:
    return {clip: images(root / clip, "{:08d}.png", [1, 2]) for clip in ("000", "011", "015", "020")}


@layout("set8")
def write_set8(root: Path) -> dict[str, list[int]]:
    return {clip: images(root / clip, "{:05d}.png", [1, 2]) for clip in ("motorbike", "tractor")}


@layout("davis-test")
def write_davis_test(root: Path) -> dict[str, list[int]]:
    return write_davis_lists(root, {"test-dev": "aerobatics", "train": "bear"})["test-dev"]


@layout("davis")
def write_davis(root: Path) -> dict[str, list[int]]:
    lists = write_davis_lists(root, {"test-dev": "aerobatics", "train": "bear", "val": "blackswan"})
    return lists["train"] | lists["val"]


def write_davis_lists(root: Path, lists: dict[str, str]) -> dict[str, dict[str, list[int]]]:
    (root / "ImageSets/2017").mkdir(parents=True)
    clips = {}
    for split, clip in lists.items():
        (root / f"ImageSets/2017/{split}.txt").write_text(f"{clip}\n")
        clips[split] = {clip: images(root / "JPEGImages/480p" / clip, "{:05d}.jpg", [1, 2, 3])}
    return clips


@layout("x-test")
def write_x_test(root: Path) -> dict[str, list[int]]:
    scenes = {"Type1/TEST01_003_f0433": [1, 2], "Type2/TEST06_001_f0273": [3], "Type3/TEST11_078_f4977": [4]}
    return {scene: images(root / "test" / scene, "{:04d}.png", grays) for scene, grays in scenes.items()}


@layout("cityscapes")
def write_cityscapes(root: Path) -> dict[str, list[int]]:
    city = root / "leftImg8bit_sequence/val/frankfurt"
    for number in (*range(275, 305), *range(305, 335), *range(1000, 1003)):
        image(city / f"frankfurt_000000_{number:06d}_leftImg8bit.png", number % 256)
    image(root / "leftImg8bit_sequence/train/aachen/aachen_000000_000000_leftImg8bit.png", 0)
    return {
        "frankfurt_000000_000275": [n % 256 for n in range(275, 305)],
        "frankfurt_000000_000305": [n % 256 for n in range(305, 335)],
        "frankfurt_000000_001000": [n % 256 for n in range(1000, 1003)],
    }


@layout("gait")
def write_gait(root: Path) -> dict[str, list[int]]:
    return {
        f"fyc/{walk}": images(root / "fyc" / walk, f"fyc-{walk}-{{:03d}}.png", [1, 2, 3], start=1)
        for walk in ("00_1", "45_2")
    }


@layout("yuv25")
def write_yuv25(root: Path) -> dict[str, list[int]]:
    frames = [np.concatenate([np.full(8 * 12, y, np.uint8), np.full(8 * 12 // 2, 128, np.uint8)]) for y in (16, 235)]
    (root / "Dancing_12x8.yuv").write_bytes(np.concatenate(frames).tobytes())
    return {"Dancing": [0, 255]}


@layout("mlb-youtube")
def write_mlb(root: Path) -> dict[str, list[int]]:
    facts = {"AAA": {"subset": "testing"}, "BBB": {"subset": "training"}, "GONE": {"subset": "testing"}}
    (root / "mlb-youtube-segmented.json").write_text(json.dumps(facts))
    video(root / "segmented/BBB.mp4", [9])
    return {"AAA": video(root / "segmented/AAA.mp4", [10, 20, 30])}


@layout("folder")
def write_folder(root: Path) -> dict[str, list[int]]:
    clips = {"deep/two.mkv": video(root / "deep/two.mkv", [4, 5]), "one.mp4": video(root / "one.mp4", [1, 2, 3])}
    return clips | {"frames": images(root / "frames", "frame{}.png", list(range(12)))}  # 10 comes after 9


CASES = [(name, function) for name, functions in LAYOUTS.items() for function in functions]


def test_every_data_set_has_a_layout() -> None:
    assert set(LAYOUTS) == set(DATA_SETS)


@pytest.mark.parametrize(("name", "write"), CASES, ids=lambda case: getattr(case, "__name__", case))
def test_reads_the_official_layout(name: str, write: Layout, tmp_path: Path) -> None:
    expected = write(tmp_path)
    clips = get_data_set(name).open(tmp_path)
    assert [clip.name for clip in clips] == list(expected)
    for clip in clips:
        frames = [clip[index] for index in range(len(clip))]
        assert [frame[0, 0].tolist() for frame in frames] == [[gray] * 3 for gray in expected[clip.name]]
        assert all(frame.dtype == np.uint8 and frame.ndim == 3 for frame in frames)


@pytest.mark.parametrize("name", sorted(DATA_SETS))
def test_the_error_for_a_missing_set_states_its_source_and_layout(name: str, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError) as raised:
            get_data_set(name).open(folder)
        assert DATA_SETS[name].source in str(raised.value)
        assert DATA_SETS[name].layout in str(raised.value)


@pytest.mark.parametrize(
    ("name", "write", "missing"),
    [
        ("vimeo-triplet", write_vimeo_triplet, "sequences/00001/0389/im2.png"),
        ("vimeo-septuplet", write_vimeo_septuplet, "sequences/00001/0266/im7.png"),
        ("snu-film-hard", write_snu_film, "test/GOPRO_test/GOPR0384_11_00/000003.png"),
        ("middlebury", write_middlebury_official, "other-data/Beanbags/frame11.png"),
        ("davis-triplets", write_davis_triplets, "input/boxing/frame10.png"),
        ("davis-test", write_davis_test, "JPEGImages/480p/aerobatics"),
    ],
)
def test_a_missing_file_of_an_official_list_is_an_error(name: str, write: Layout, missing: str, tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError, match=path.name):
        get_data_set(name).open(tmp_path)


def test_an_unknown_data_set_is_refused() -> None:
    with pytest.raises(InputError, match="kinetics"):
        get_data_set("kinetics")


@pytest.mark.parametrize(("name", "message"), [("Fan.yuv", "size"), ("Fan_12x7.yuv", "multiple")])
def test_the_name_of_a_raw_video_must_have_a_size_that_fits(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(bytes(12 * 8 * 3 // 2))
    with pytest.raises(InputError, match=message):
        get_data_set("yuv25").open(tmp_path)
