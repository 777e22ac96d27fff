"""Write src/ls3d/models/measured.json: the scores and seconds that ``ls3d models`` prints.

    python scripts/measured_scores.py

Scores are those of benchmarks/results/{interpolation,super-resolution,denoising}, for registered networks. Of several
reports of a network under the same protocol, the one over the most clips is taken. Seconds are those of
benchmarks/results/speed/cpu_zen4.json.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from ls3d.models import MeasuredScore, list_models, model_info
from ls3d.models.registry import is_registered

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
FOLDERS = ("interpolation", "super-resolution", "denoising")
SPEED = RESULTS / "speed" / "cpu_zen4.json"
SCORES = ROOT / "src" / "ls3d" / "models" / "measured.json"


def read_report(path: Path) -> tuple[str, MeasuredScore]:
    """Read the name of the network and its score from a report of ``ls3d evaluate``."""
    report = json.loads(path.read_text())
    score = MeasuredScore(
        report["protocol"],
        round(report["mean"]["psnr"], 2),
        len(report["clips"]),
        bool(report["complete"]),
        report["weights"]["sha256"],
    )
    return report["model"], score


def collect() -> dict[str, list[MeasuredScore]]:
    """Read the scores of each registered network, from the protocol with the most clips to that with the fewest."""
    found: dict[str, dict[str, MeasuredScore]] = {name: {} for name in list_models()}
    for folder in FOLDERS:
        for path in sorted((RESULTS / folder).glob("*.json")):
            model, score = read_report(path)
            if not is_registered(model):
                continue  # another program's
            scores = found[model_info(model).name]
            if score.protocol not in scores or score.clips > scores[score.protocol].clips:
                scores[score.protocol] = score
    return {name: sorted(scores.values(), key=lambda score: -score.clips) for name, scores in found.items() if scores}


def content() -> str:
    """Make the content of the file."""
    scores = {name: [asdict(score) for score in scores] for name, scores in collect().items()}
    seconds = json.loads(SPEED.read_text())["seconds"]
    return json.dumps({"scores": scores, "seconds": seconds}, indent=2) + "\n"


if __name__ == "__main__":
    SCORES.write_text(content())
    print(f"wrote {SCORES}")
