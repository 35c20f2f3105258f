"""How far off the agreement of two seeds is from their accuracy, for experiments/estimates.

da train experiments=estimates/amazon
python scripts/seed_agreement.py multirun/estimates-amazon
"""

import argparse
import json
import sys
from itertools import permutations
from pathlib import Path
from statistics import fmean
from typing import Any

from da_framework.core.files import write_text
from da_framework.core.rounding import format_fixed, format_percent, format_signed
from da_framework.core.text import replace_marked
from da_framework.results.cells import task_of
from da_framework.results.record_schema import RunRecord
from da_framework.results.tables import gather_records
from da_framework.training.audit_pool import gather_pool
from da_framework.training.feature_cache import SharedFeatures

ON_DISK = {"in_memory": False, "cache": "cache"}
ROOT = Path(__file__).resolve().parents[1] / "experiments" / "estimates"
FILE = ROOT / "agreement.recorded.json"
BEGIN, END = "<!-- agreement -->", "<!-- /agreement -->"
"""Around the table in the README."""


def compare_seeds(sweep: Path) -> list[dict[str, Any]]:
    """For each method the error of ``gde`` over all tasks and all pairs of seeds."""
    runs: dict[str, dict[str, list[RunRecord]]] = {}
    for record in gather_records([sweep]):
        tasks = runs.setdefault(record["choices"]["method"], {})
        tasks.setdefault(task_of(record), []).append(record)
    rows, shared = [], SharedFeatures()
    for method, tasks in sorted(runs.items()):
        errors: list[float] = []
        accuracies: list[float] = []
        for seeds in tasks.values():
            if len(seeds) < 2:
                continue
            config: Any = seeds[0]["config"]
            pool = gather_pool(
                [own["folder"] for own in seeds],
                pick="last",
                # images are decoded once, not for every run
                dataset=ON_DISK if "in_memory" in config["dataset"] else {},
                data_dir=config["dataset"].get("data_dir"),  # who runs this trained them
                trust=[config["network"]["weights"]] if config["network"].get("weights") else [],
                shared=shared,
            )
            right = (pool.answers == pool.labels).mean(1)
            accuracies += right.tolist()
            errors += [
                1 - pool.differ(a, b) / pool.size - right[a]
                for a, b in permutations(range(len(seeds)), 2)
            ]
        if errors:
            rows.append(
                {
                    "sweep": sweep.name,
                    "method": method,
                    "accuracy": fmean(accuracies),
                    "absolute": fmean(map(abs, errors)),
                    "bias": fmean(errors),
                    "pairs": len(errors) // 2,
                }
            )
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def render_table(rows: list[dict[str, Any]]) -> str:
    """The table in Markdown."""
    lines = ["| sweep | method | accuracy | `gde` | pairs of runs |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['sweep']} | `{row['method']}` | {format_percent(row['accuracy'])} "
        f"| {format_fixed(100 * row['absolute'])} ({format_signed(100 * row['bias'])}) "
        f"| {row['pairs']} |"
        for row in rows
    ]
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Compares, records beside what is recorded of other sweeps, and fills the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("sweeps", type=Path, nargs="+")
    sweeps = parser.parse_args(arguments).sweeps
    known = json.loads(FILE.read_text("utf-8")) if FILE.is_file() else []
    kept = [row for row in known if row["sweep"] not in {sweep.name for sweep in sweeps}]
    rows = kept + [row for sweep in sweeps for row in compare_seeds(sweep)]
    rows.sort(key=lambda row: (row["sweep"], row["method"]))
    write_text(FILE, json.dumps(rows, indent=1) + "\n")
    readme = ROOT / "README.md"
    write_text(readme, replace_marked(readme.read_text("utf-8"), BEGIN, END, render_table(rows)))


if __name__ == "__main__":
    main(sys.argv[1:])
