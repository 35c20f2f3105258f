"""Simulates audits of recorded runs, and fills the table of experiments/audit.

da train experiments=audit/digits
python scripts/audit_labels.py multirun/audit-digits
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

from da_framework.audit.simulation import simulate_pair
from da_framework.core.files import write_text
from da_framework.core.rounding import format_percent, format_signed
from da_framework.results.cells import task_of
from da_framework.results.record_schema import RunRecord
from da_framework.results.tables import gather_records
from da_framework.training.audit_pool import gather_pool

ROOT = Path(__file__).resolve().parents[1] / "experiments" / "audit"
BEGIN, END = "<!-- labels -->", "<!-- /labels -->"
"""Around the table in the README."""
BASELINE, ADAPTED = "source_only", "dann"
ORDERS = 200


def simulate_runs(sweep: Path, *, alpha: float) -> list[dict[str, Any]]:
    """Labels until a verdict for each task and seed."""
    runs: dict[tuple[str, int], dict[str, RunRecord]] = {}
    for record in gather_records([sweep]):
        place = task_of(record), record["config"]["seed"]
        runs.setdefault(place, {})[record["choices"]["method"]] = record
    rows = []
    for (task, seed), pair in sorted(runs.items()):
        pool = gather_pool(
            [pair[name]["folder"] for name in (BASELINE, ADAPTED)],
            pick="last",
            dataset={},
            data_dir=pair[BASELINE]["config"]["dataset"]["data_dir"],  # who runs this trained them
            trust=(),
        )
        found = simulate_pair(pool, 1, 0, alpha=alpha, orders=ORDERS, seed=0)
        rows.append({"task": task, "seed": seed, "samples": pool.size, **found._asdict()})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


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
    parser.add_argument("sweep", type=Path)
    parsed = parser.parse_args(arguments)
    rows = simulate_runs(parsed.sweep, alpha=0.05)
    write_text(ROOT / "labels.recorded.json", json.dumps(rows, indent=1) + "\n")
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    table = render_table(rows)
    write_text(readme, f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.partition(END)[2]}")
    print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
