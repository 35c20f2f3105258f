"""Simulates audits of recorded runs, and fills the table of experiments/audit.

    python scripts/audit_labels.py multirun/audit-digits
    python scripts/audit_labels.py --best multirun/estimates-amazon multirun/estimates-office

Without ``--best`` the runs are those of ``experiments=audit/digits``: DANN beside what does not
adapt. With it they may be of many methods, as those of experiments/estimates: of each task and
seed the best is audited beside what does not adapt, and beside the second best.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from da_framework.audit.pool import Pool
from da_framework.audit.simulation import simulate_pair
from da_framework.core.files import write_text
from da_framework.core.rounding import format_percent, format_signed
from da_framework.core.text import replace_marked
from da_framework.results.cells import task_of
from da_framework.results.record_schema import RunRecord
from da_framework.results.tables import gather_records
from da_framework.training.audit_pool import gather_pool
from da_framework.training.feature_cache import SharedFeatures

ON_DISK = {"in_memory": False, "cache": "cache"}
ROOT = Path(__file__).resolve().parents[1] / "experiments" / "audit"
BEGIN, END = "<!-- labels -->", "<!-- /labels -->"
"""Around the table in the README."""
BEST, END_BEST = "<!-- best -->", "<!-- /best -->"
"""Around that of many methods."""
BASELINE, ADAPTED = "source_only", "dann"
ORDERS = 200
SHARED = SharedFeatures()


def simulate_runs(sweep: Path, *, alpha: float) -> list[dict[str, Any]]:
    """Labels until a verdict for each task and seed."""
    rows = []
    for (task, seed), pair in sorted(runs_by_place([sweep]).items()):
        pool = pool_of([pair[name] for name in (BASELINE, ADAPTED)])
        found = simulate_pair(pool, 1, 0, alpha=alpha, orders=ORDERS, seed=0)
        rows.append({"task": task, "seed": seed, "samples": pool.size, **found._asdict()})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def simulate_best(sweeps: Sequence[Path], *, alpha: float) -> list[dict[str, Any]]:
    """Labels until a verdict on the best run of each task and seed, beside two others."""
    rows = []
    for (task, seed), runs in sorted(runs_by_place(sweeps).items()):
        best, second = sorted(runs, key=lambda name: (-accuracy_of(runs[name]), name))[:2]
        names = list(dict.fromkeys((best, BASELINE, second)))
        pool = pool_of([runs[name] for name in names])
        for other in range(1, len(names)):
            found = simulate_pair(pool, 0, other, alpha=alpha, orders=ORDERS, seed=0)
            pair = {"best": best, "beside": names[other], "samples": pool.size}
            rows.append({"task": task, "seed": seed, **pair, **found._asdict()})
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def runs_by_place(sweeps: Sequence[Path]) -> dict[tuple[str, int], dict[str, RunRecord]]:
    """Runs of each task and seed, by method."""
    runs: dict[tuple[str, int], dict[str, RunRecord]] = {}
    for record in gather_records(sweeps):
        place = task_of(record), record["config"]["seed"]
        runs.setdefault(place, {})[record["choices"]["method"]] = record
    return runs


def accuracy_of(record: RunRecord) -> float:
    """On the target's test samples, of the last step."""
    return record["target"]["last"]["accuracy"]


def pool_of(records: Sequence[RunRecord]) -> Pool:
    """The test samples of runs that were trained here."""
    config: Any = records[0]["config"]
    return gather_pool(
        [record["folder"] for record in records],
        pick="last",
        # images are decoded once, not for every run
        dataset=ON_DISK if "in_memory" in config["dataset"] else {},
        data_dir=config["dataset"].get("data_dir"),
        trust=[config["network"]["weights"]] if config["network"].get("weights") else [],
        shared=SHARED,
    )


def render_best(rows: list[dict[str, Any]]) -> str:
    """The table of the best beside others in Markdown."""
    heads = "task, seed, best, beside, gain in points, differ on, median, random: median, wrong"
    columns = heads.split(", ")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in rows:
        numbers = ("-" if row[key] is None else row[key] for key in ("median", "random"))
        lines.append(
            f"| {row['task']} | {row['seed']} | `{row['best']}` | `{row['beside']}` "
            f"| {format_signed(100 * row['gain'])} | {row['differ']} of {row['samples']} "
            f"| {' | '.join(map(str, numbers))} | {format_percent(row['wrong'])} |"
        )
    return "\n".join(lines)


def render_table(rows: list[dict[str, Any]]) -> str:
    """The table in Markdown, and what it comes to."""
    heads = "task, seed, gain in points, differ on, median, nine tenths, random: median, wrong"
    columns = heads.split(", ")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in rows:
        numbers = ("-" if row[key] is None else row[key] for key in ("median", "most", "random"))
        lines.append(
            f"| {row['task']} | {row['seed']} | {format_signed(100 * row['gain'])} "
            f"| {row['differ']} of {row['samples']} | {' | '.join(map(str, numbers))} "
            f"| {format_percent(row['wrong'])} |"
        )
    shares = [row["median"] / row["random"] for row in rows if row["median"] and row["random"]]
    return "\n".join(
        [
            *lines,
            "",
            f"In the median over these {len(shares)}, an audit asks for "
            f"{format_percent(median(shares), 0)} of the labels that drawing from all samples "
            f"needs, at most for {format_percent(max(shares), 0)}.",
        ]
    )


def main(arguments: list[str]) -> None:
    """Simulates, records and fills the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("sweeps", type=Path, nargs="+")
    parser.add_argument("--best", action="store_true", help="of many methods, beside two others")
    parsed = parser.parse_args(arguments)
    if parsed.best:
        rows = beside_others("labels_best.recorded.json", simulate_best(parsed.sweeps, alpha=0.05))
        fill("labels_best.recorded.json", rows, render_best(rows), BEST, END_BEST)
    else:
        rows = simulate_runs(*parsed.sweeps, alpha=0.05)
        fill("labels.recorded.json", rows, render_table(rows), BEGIN, END)


def beside_others(name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows beside what is recorded of other tasks."""
    file, tasks = ROOT / name, {row["task"] for row in rows}
    known = json.loads(file.read_text("utf-8")) if file.is_file() else []
    return [row for row in known if row["task"] not in tasks] + rows


def fill(name: str, rows: list[dict[str, Any]], table: str, begin: str, end: str) -> None:
    """Records rows, and puts their table between two marks of the page."""
    write_text(ROOT / name, json.dumps(rows, indent=1) + "\n")
    readme = ROOT / "README.md"
    write_text(readme, replace_marked(readme.read_text("utf-8"), begin, end, table))
    print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
