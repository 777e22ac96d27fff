"""The protocol of C3D (arXiv:1412.0767, section 4) on features of several networks: a table and a plot.

    ls3d features weights.safetensors body_gesture --output trained.npz
    ls3d features i3d_inception body_gesture --output kinetics.npz
    python -P benchmarks/c3d_svm.py trained.npz kinetics.npz --test S8 --unused S7 --json svm.json --plot svm.svg

One linear support vector machine for each class against the others is trained on all groups but --test and --unused, on
the first principal components of the features and on all of them.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from ls3d.files import atomic_write
from ls3d.recognition import FeatureSet, SvmReport, evaluate_svm

DIMENSIONS = (5, 10, 20, 50, 100)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("features", type=Path, nargs="+", help="files that ls3d features wrote")
    parser.add_argument("--test", action="append", required=True, metavar="GROUP", help="group to test on")
    parser.add_argument("--unused", action="append", default=[], metavar="GROUP", help="group that is left out")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--plot", type=Path)
    return parser.parse_args()


def measure(features: FeatureSet, test: list[str], unused: list[str]) -> SvmReport:
    training = features.of_groups([*test, *unused], inverted=True)
    most = min(training.values.shape)
    return evaluate_svm(training, features.of_groups(test), [count for count in DIMENSIONS if count <= most])


def plot(reports: dict[str, SvmReport], chance: float, path: Path) -> None:
    """Draw the accuracies against the number of principal components."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, report in reports.items():
        line = axes.plot(*zip(*sorted(report.by_dimension.items()), strict=True), marker="o", label=name)
        axes.axhline(report.top1, color=line[0].get_color(), linestyle=":", linewidth=1)
    axes.axhline(chance, color="gray", linewidth=1, label="chance")
    axes.set(xscale="log", xticks=DIMENSIONS, xticklabels=DIMENSIONS, ylim=(0, 100))
    axes.set(xlabel="principal components (dotted: all features)", ylabel="top-1 accuracy, %")
    axes.minorticks_off()
    axes.legend()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    options = parse()
    reports = {}
    for path in options.features:
        features = FeatureSet.load(path)
        reports[path.stem] = measure(features, options.test, options.unused)
        report = reports[path.stem]
        figures = ", ".join(f"{count}: {top1:.1f} %" for count, top1 in report.by_dimension.items())
        print(f"{path.stem:24} {figures}, all {report.dimensions}: {report.top1:.1f} %")
    chance = 100 / len(features.classes)
    content = {"test": options.test, "unused": options.unused, "chance": round(chance, 2)}
    content["networks"] = {name: asdict(report) for name, report in reports.items()}
    with atomic_write(options.json) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        plot(reports, chance, options.plot)


if __name__ == "__main__":
    main()
