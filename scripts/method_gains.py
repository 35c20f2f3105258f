"""What every method gains over source-only, on rotated two moons and on the digits pair.

    python scripts/method_gains.py                 # every method of ours; hours on two cores
    python scripts/method_gains.py dann mmd        # some

Each method has the same tuning budget: three values of its ``weight`` (0.3, 1 and 3 times the
default; methods without one run as they are), one seed each, chosen by the validator, which sees no
target label. Then five other seeds, last step. Repeating the command continues; the runs are below
``multirun/method_gains``, the table in ``experiments/method_gains``.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any

from da_framework.config.plugins import conf_dir
from da_framework.core.files import write_text
from da_framework.core.rounding import format_fixed, format_signed
from da_framework.core.text import replace_marked
from da_framework.methods.base import Method
from da_framework.results.folder import RunFolder
from da_framework.results.record_schema import RunRecord
from da_framework.results.statistics import half_interval, or_lowest
from da_framework.training.build import compose
from da_framework.training.method_check import method_class

ROOT = Path(__file__).resolve().parents[1] / "experiments" / "method_gains"
RUNS = Path("multirun/method_gains")
SEEDS = (1, 2, 3, 4, 5)
TUNING = 11
FACTORS = (0.3, 1.0, 3.0)
DIVERGED = 3
"""Exit code of a sweep in which a run diverged: it has no result, and so is not chosen."""
TASKS = {
    "two_moons": ["dataset=two_moons", "network=mlp", "dataset.rotation=35.0"],
    "digits": ["dataset=digits"],
}
SETTINGS = {
    ("two_moons", "closed"): [],
    ("two_moons", "labelled"): ["dataset.labels_per_class=3"],
    ("two_moons", "batch norm"): ["network.backbone.batch_norm=true"],
    ("digits", "closed"): [],
    ("digits", "labelled"): ["dataset.labels_per_class=3"],
    ("digits", "batch norm"): [],
    ("digits", "partial"): ["dataset.target_classes=['0','1','2','3','4']"],
    ("digits", "open"): ["dataset.source_classes=['0','1','2','3','4','5']"],
}
"""Keys of the data by task and setting; where there are none, a method is not run."""
BASELINE = "source_only"
BEGIN, END = "<!-- gains -->", "<!-- /gains -->"
"""Around the table in the README."""


def adapts(method: type[Method]) -> bool:
    """Whether it belongs here: closed forms and heirs of former runs have tables of their own."""
    inherits = method.needs_init_from and "target" not in method.roles
    return not (method.closed_form or method.needs_teachers or inherits)


def data_setting(method: type[Method]) -> str:
    """What a method is made for."""
    if method.needs_batch_norm:
        return "batch norm"
    return "labelled" if "target_labelled" in method.roles else method.setting


def run_sweep(task: str, situation: str, method: str, *overrides: str, folder: Path) -> None:
    """One ``da train -m``; what is finished is not run again."""
    command = [
        *(sys.executable, "-m", "da_framework", "train", "-m", f"method={method}"),
        *(*TASKS[task], *SETTINGS[task, situation], *overrides),
        *("logger=[]", "callback=[]", f"hydra.sweep.dir={folder}"),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode not in (0, DIVERGED):
        raise RuntimeError(f"{' '.join(command)}\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}")


def run_method(task: str, situation: str, method: str, config: dict[str, Any]) -> None:
    """Tunes, then trains on the other seeds."""
    folder = RUNS / task / situation / method
    start = RUNS / task / situation / BASELINE / "seed_${seed}"
    begun = [f"init_from='{start}'"] if method_class(config).needs_init_from else []
    weight = config["method"].get("weight")
    tuned = []
    if weight and method != BASELINE:
        values = [f"{factor * weight:g}" for factor in FACTORS]
        named = "hydra.sweep.subdir='tuning_${method.weight}'"
        grid = f"method.weight={','.join(values)}"
        run_sweep(task, situation, method, f"seed={TUNING}", grid, named, *begun, folder=folder)
        by_weight = {
            record["config"]["method"]["weight"]: record
            for record in read_records(folder, "tuning_*")
        }
        scores = {
            value: or_lowest(record["target"]["last"].get("score"))
            for value, record in by_weight.items()
        }
        best = max(scores, key=scores.__getitem__)
        tuned = [f"method.weight={best:g}"]
    seeds = ",".join(map(str, (*SEEDS, TUNING) if method == BASELINE else SEEDS))
    named = "hydra.sweep.subdir='seed_${seed}'"
    run_sweep(task, situation, method, f"seed={seeds}", named, *tuned, *begun, folder=folder)


def read_records(folder: Path, pattern: str) -> list[RunRecord]:
    """The records of finished runs in a folder."""
    return list(
        filter(None, (RunFolder(path).read_record() for path in sorted(folder.glob(pattern))))
    )


def accuracy_or_hos(record: RunRecord) -> float:
    """Accuracy in percent; in the open setting the harmonic mean of known and unknown."""
    last = record["target"]["last"]
    return 100 * float(last["open_set"]["hos"] if "open_set" in last else last["accuracy"])


def compare_runs(task: str, situation: str, method: str) -> dict[str, Any] | None:
    """A method's figures on a task beside source-only's on the same seeds."""
    runs, base = (
        {r["config"]["seed"]: r for r in read_records(RUNS / task / situation / name, "seed_*")}
        for name in (method, BASELINE)
    )
    seeds = [seed for seed in SEEDS if seed in runs and seed in base]
    if not seeds:
        return None
    gains = [accuracy_or_hos(runs[seed]) - accuracy_or_hos(base[seed]) for seed in seeds]
    half = half_interval(gains)
    return {
        "figures": [round(accuracy_or_hos(runs[seed]), 2) for seed in seeds],
        "gain": round(fmean(gains), 2),
        "half_interval": None if half is None else round(half, 2),
        "weight": runs[seeds[0]]["config"]["method"].get("weight"),
        "seconds": round(fmean(runs[seed]["seconds"]["training"] for seed in seeds), 1),
    }


def render_table(methods: dict[str, Any]) -> str:
    """The gains as Markdown, a line a method."""
    lines = [
        "| `method=` | setting | two moons | gain | digits | gain |",
        "|---|---|---|---|---|---|",
    ]
    for method, gains in methods.items():
        cells = [f"`{method}`", gains["setting"]]
        for task in TASKS:
            if outcome := gains.get(task):
                spread = (
                    f" ± {format_fixed(outcome['half_interval'])}"
                    if outcome["half_interval"]
                    else ""
                )
                cells += [
                    format_fixed(fmean(outcome["figures"])),
                    f"{format_signed(outcome['gain'])}{spread}",
                ]
            else:
                cells += ["", ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Runs what is missing and writes the table."""
    every = sorted(path.stem for path in (conf_dir() / "method").glob("*.yaml"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", default=every)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--table", action="store_true", help="gather what is there, run nothing")
    parsed = parser.parse_args(arguments)
    # composed here: not by several threads at once
    configs = {name: compose(f"method={name}") for name in every}
    configs = {name: config for name, config in configs.items() if adapts(method_class(config))}
    kinds = {name: data_setting(method_class(config)) for name, config in configs.items()}
    cells = [
        (task, situation, name)
        for task in parsed.tasks
        for name, situation in kinds.items()
        if name in parsed.methods and (task, situation) in SETTINGS and name != BASELINE
    ]
    base = dict.fromkeys((task, situation, BASELINE) for task, situation, _ in cells)
    with ThreadPoolExecutor(parsed.jobs) as pool:
        for wave in () if parsed.table else (base, cells):
            for cell, future in [
                (cell, pool.submit(run_method, *cell, configs[cell[-1]])) for cell in wave
            ]:
                try:
                    future.result()
                    print("done", *cell, flush=True)
                except RuntimeError as error:
                    print("FAILED", *cell, error, flush=True)
    methods: dict[str, Any] = {}
    for situation in dict.fromkeys(kinds.values()):
        for name in (BASELINE, *(n for n in kinds if kinds[n] == situation and n != BASELINE)):
            tasks = {task: o for task in TASKS if (o := compare_runs(task, situation, name))}
            if tasks:
                label = name if name != BASELINE else f"{name}, {situation}"
                methods[label] = {"setting": situation, **tasks}
    write_text(ROOT / "gains.recorded.json", json.dumps(methods, indent=1) + "\n")
    readme = ROOT / "README.md"
    write_text(readme, replace_marked(readme.read_text("utf-8"), BEGIN, END, render_table(methods)))
    print(render_table(methods))


if __name__ == "__main__":
    main(sys.argv[1:])
