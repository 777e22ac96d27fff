"""Write the mutation score of each module as JSON; an exit status of 1 if one is below 80 %.

python scripts/mutation_report.py RESULTS VERSION REPORT: the output of ``mutmut results --all true``, the version of
mutmut, and the file to write. ``scripts/mutation.sh`` calls it.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

#: The least score, of every module.
LEAST = 0.8

#: Statuses of mutants that a test noticed. A mutant that never ends is noticed, too.
KILLED = {"killed", "timeout", "segfault"}

LINE = re.compile(r"^ *(?P<module>[\w.]+)\.\w+__mutmut_\d+: (?P<status>.+)$")


def summarize(results: str) -> dict[str, Any]:
    """Mutants of each module, those that no test noticed, and the share that some test noticed."""
    statuses: dict[str, Counter[str]] = {}
    survivors: dict[str, list[str]] = {}
    for line in results.splitlines():
        if match := LINE.match(line):
            module, status = match["module"], match["status"]
            statuses.setdefault(module, Counter())[status] += 1
            if status not in KILLED:
                survivors.setdefault(module, []).append(line.strip())
    modules = {}
    for module, counts in sorted(statuses.items()):
        killed = sum(count for status, count in counts.items() if status in KILLED)
        modules[module] = {
            "mutants": counts.total(),
            "killed": killed,
            "score": round(killed / counts.total(), 4),
            "survivors": survivors.get(module, []),
        }
    return modules


def main(results: Path, version: str, report: Path) -> int:
    """Write the report, and return the exit status."""
    modules = summarize(results.read_text())
    report.write_text(json.dumps({"tool": version, "modules": modules}, indent=2) + "\n")
    for module, score in modules.items():
        print(f"{module}: {score['killed']} of {score['mutants']} mutants, {score['score']:.1%}")
    return int(not modules or any(score["score"] < LEAST for score in modules.values()))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
