"""Write a strip for each picture of tests/helpers/pictures.py: what each network makes of it, and its error.

    python scripts/picture_strips.py FOLDER

``FOLDER/NAME.png`` shows, above, the first frame, the middle frame by ``blend``, ``bilateral`` and ``vfi``, and the
true one; below, the difference of the two given frames, the absolute error of each network multiplied by 3, and black.
Prints the PSNR of each as a table in Markdown.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

from ls3d.files import atomic_write
from ls3d.metrics import measure, to_8bit
from ls3d.models import load_model
from ls3d.video.images import encode_png

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from helpers.pictures import SCENES, Triplet, render

MODELS = ("blend", "bilateral", "vfi")

#: The errors are multiplied by this, to be visible.
GAIN = 3

#: Pixels that are repeated for each pixel along each side.
ZOOM = 2


@torch.inference_mode()
def interpolate(triplet: Triplet) -> dict[str, Tensor]:
    """The middle frame ``(1, 3, H, W)`` by each network."""
    frames = torch.stack([triplet.first, triplet.second], dim=2)
    return {name: load_model(name)(frames, [0.5])[:, :, 0] for name in MODELS}


def make_strip(triplet: Triplet, made: dict[str, Tensor]) -> Tensor:
    """The strip ``(1, 3, 2 * ZOOM * H, 5 * ZOOM * W)`` in [0, 1]."""
    errors = [(output - triplet.middle).abs() for output in made.values()]
    above = torch.cat([triplet.first, *made.values(), triplet.middle], dim=-1)
    change = (triplet.first - triplet.second).abs()
    below = torch.cat([change, *(GAIN * error for error in errors), torch.zeros_like(change)], dim=-1)
    strip = torch.cat([above, below], dim=-2)
    return strip.repeat_interleave(ZOOM, -1).repeat_interleave(ZOOM, -2)


def main() -> None:
    """Write all strips and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write the strips; it is created")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    print(f"| picture | {' | '.join(f'`{name}`' for name in MODELS)} |")
    print(f"|---|{'---:|' * len(MODELS)}")
    for name in SCENES:
        triplet = render(name)
        made = interpolate(triplet)
        strip = to_8bit(make_strip(triplet, made))[0].permute(1, 2, 0)
        with atomic_write(folder / f"{name}.png") as temporary:
            temporary.write_bytes(encode_png(strip.contiguous().numpy()))
        scores = [measure(["psnr-rgb"], output, triplet.middle)["psnr-rgb"].item() for output in made.values()]
        print(f"| {name} | {' | '.join(f'{score:.2f}' for score in scores)} |")


if __name__ == "__main__":
    main()
