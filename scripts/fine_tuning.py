"""Ways to use a source run and a few labelled target rows, side by side on the digits pair.

    python scripts/fine_tuning.py            # all of it; continues when repeated
    python scripts/fine_tuning.py --table    # gathers what is there

The runs are below ``multirun/fine_tuning``, the table in ``experiments/fine_tuning``.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any

from da_framework.core.files import write_text
from da_framework.core.rounding import format_fixed
from da_framework.core.text import replace_marked
from da_framework.results.folder import RunFolder
from da_framework.results.statistics import half_interval

ROOT = Path(__file__).resolve().parents[1] / "experiments" / "fine_tuning"
RUNS = Path("multirun/fine_tuning")
SEEDS = (1, 2, 3, 4, 5)
LABELS = (3, 10, 50)
START = "source run as it is"
DATA = ["dataset=digits", "dataset.pair=[mnist,usps]", "dataset.split_seed='${seed}'"]
QUIET = ["logger=[]", "callback=[]"]
BEGUN = f"init_from='{RUNS}/start/seed_${{seed}}'"
ROWS = {
    "training from scratch": ["method=target_only"],
    "full fine-tuning": ["method=fine_tuning", BEGUN],
    "linear probe": ["method=fine_tuning", "network.freeze=all", BEGUN],
    "gradual unfreezing": ["method=fine_tuning", "method.gradual=0.5", BEGUN],
    "L2-SP": ["method=l2_sp", BEGUN],
    "DELTA": ["method=delta", BEGUN],
    "parameter mixing, α = 0.5": ["method=fine_tuning", "init_share=0.5", BEGUN],
    "parameter mixing, tanh, α = 0.5": [
        *("method=fine_tuning", "init_share=0.5", "init_function=tanh", BEGUN)
    ],
    "distillation": [
        *("method=distillation", "dataset.pair=null", "dataset.source=[]"),
        *("dataset.target=[usps]", f"teachers=['{RUNS}/start/seed_${{seed}}']"),
    ],
    "joint loss, α = 0.5": ["method=joint"],
}
BEGIN, END = "<!-- fine_tuning -->", "<!-- /fine_tuning -->"


def run_sweep(*overrides: str, folder: Path, subdir: str) -> None:
    """One ``da train -m``; what is finished is not run again."""
    command = [
        *(sys.executable, "-m", "da_framework", "train", "-m", *DATA, *QUIET, *overrides),
        *(f"seed={','.join(map(str, SEEDS))}", f"hydra.sweep.dir={folder}"),
        f"hydra.sweep.subdir='{subdir}'",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}")


def row_folder(row: str) -> Path:
    """The folder of a row's runs."""
    return RUNS / re.sub(r"[^a-z0-9.]+", "_", row.lower())


def run_row(row: str) -> None:
    """All label counts and seeds of a row."""
    labels = f"dataset.labels_per_class={','.join(map(str, LABELS))}"
    subdir = "labels_${dataset.labels_per_class}-seed_${seed}"
    run_sweep(*ROWS[row], labels, "steps=500", folder=row_folder(row), subdir=subdir)


def summarize_runs(paths: Sequence[Path]) -> dict[str, Any] | None:
    """Mean of the last step's accuracy in percent, with its 95 % interval."""
    records = filter(None, (RunFolder(path).read_record() for path in paths))
    accuracies = [100 * record["target"]["last"]["accuracy"] for record in records]
    if not accuracies:
        return None
    half = half_interval(accuracies)
    return {
        "figures": [round(value, 2) for value in accuracies],
        "mean": round(fmean(accuracies), 2),
        "half_interval": None if half is None else round(half, 2),
    }


def gather_rows() -> dict[str, dict[str, Any]]:
    """Every row's figures by label count."""
    rows: dict[str, dict[str, Any]] = {}
    start = summarize_runs([RUNS / "start" / f"seed_{seed}" for seed in SEEDS])
    if start:
        rows[START] = {str(count): start for count in LABELS}
    for row in ROWS:
        paths = {
            count: [row_folder(row) / f"labels_{count}-seed_{seed}" for seed in SEEDS]
            for count in LABELS
        }
        counts = {
            str(count): figures for count in LABELS if (figures := summarize_runs(paths[count]))
        }
        if counts:
            rows[row] = counts
    return rows


def render_table(rows: dict[str, dict[str, Any]]) -> str:
    """The figures as Markdown."""
    head = " | ".join(f"{count} a class" for count in LABELS)
    lines = [f"| | {head} |", "|---" * (len(LABELS) + 1) + "|"]
    for row, counts in rows.items():
        cells = []
        for count in LABELS:
            figures = counts.get(str(count))
            half = figures and figures["half_interval"]
            cells.append(
                f"{format_fixed(figures['mean'])} ± {format_fixed(half)}"
                if figures and half
                else ""
            )
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Runs what is missing and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="sweeps at a time")
    parser.add_argument("--table", action="store_true", help="gather what is there, run nothing")
    parsed = parser.parse_args(arguments)
    if not parsed.table:
        run_sweep("method=source_only", folder=RUNS / "start", subdir="seed_${seed}")
        with ThreadPoolExecutor(parsed.jobs) as pool:
            for row, future in [(row, pool.submit(run_row, row)) for row in ROWS]:
                future.result()
                print("done", row, flush=True)
    rows = gather_rows()
    write_text(ROOT / "fine_tuning.recorded.json", json.dumps(rows, indent=1) + "\n")
    readme = ROOT / "README.md"
    write_text(readme, replace_marked(readme.read_text("utf-8"), BEGIN, END, render_table(rows)))
    print(render_table(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
