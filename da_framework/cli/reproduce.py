"""``da reproduce``: runs what is missing of a paper's table, and shows it beside our numbers."""

import re
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from da_framework.cli.arguments import ArgumentParser
from da_framework.config.plugins import NEEDS, require_package
from da_framework.core.errors import InputError, PreemptedError, listed
from da_framework.core.files import run_lock, wait_for_lock, write_text
from da_framework.core.terminal import open_console
from da_framework.results.computed_table import (
    compute_table,
    judge_table,
    load_computed_table,
    render_computed,
    table_files,
    write_record,
)
from da_framework.results.experiments import (
    SIDES,
    Experiment,
    PaperTable,
    find_experiments,
    find_tables,
    load_experiment,
)
from da_framework.results.folder import find_finished_runs
from da_framework.results.overview import list_overviews, render_overview
from da_framework.results.reproduction import judge_cells, record_table, render_reproduction
from da_framework.results.tables import gather_records

JOBLIB = "hydra/launcher=joblib"


def main(arguments: list[str]) -> None:
    """``da reproduce TABLE``: runs what is missing; ends with 1 if a cell is outside or not run."""
    parser = ArgumentParser(
        prog="da reproduce",
        description=main.__doc__,
        epilog="example: da reproduce jda_2013/office_caltech10 --jobs 2",
    )
    parser.add_argument("table", nargs="?", help="an experiment that states a paper's values")
    parser.add_argument("overrides", nargs="*", help="of the sweep: optimizer.lr=0.1")
    parser.add_argument("--list", action="store_true", help="the tables there are")
    parser.add_argument("--quick", action="store_true", help="some cells alone, cheap ones")
    parser.add_argument("--cells", metavar="ROW/COLUMN,...", help="these cells alone; * is any")
    parser.add_argument("--seeds", metavar="SEED,...", help="these seeds alone: 1,2")
    parser.add_argument("--jobs", type=int, metavar="N", help="so many runs side by side")
    parser.add_argument("--record", action="store_true", help="keep these numbers as ours")
    parsed = parser.parse_intermixed_args(arguments)
    if parsed.list or parsed.table is None:
        open_console(width=None if sys.stdout.isatty() else 160).print(
            render_overview(list_overviews())
        )
        return
    if parsed.table in table_files():
        reproduce_computed(parsed)
        return
    table = load_experiment(parsed.table) if parsed.table in find_experiments() else None
    if not isinstance(table, PaperTable):
        known = sorted([*find_tables(), *table_files()])
        raise InputError(f"no table {parsed.table}; the tables are {listed(known)}")
    check_overrides(table, parsed.overrides, cells=parsed.cells is not None)
    selected = table.select_cells(parsed.cells)
    stages: list[Experiment] = [*table.first, table]
    if parsed.record and (parsed.quick or parsed.cells or parsed.seeds or parsed.overrides):
        raise InputError("--record: whole tables with their own keys alone are kept as ours")
    quick = list(table.paper.quick) if parsed.quick else []
    given = [
        *quick,
        *seed_overrides(table, parsed.seeds),
        *launcher_overrides(parsed.jobs),
        *parsed.overrides,
    ]
    # what is of another config stays apart: no cell mixes it
    changed = list(filter(changes_result, quick))
    other = ["quick"] if changed else []
    other += [re.sub(r"[^\w.+-]+", "_", word) for word in parsed.overrides if changes_result(word)]
    if other:
        stages = with_suffix(stages, "-".join(other))
        table = replace(table, folder=stages[-1].folder)
    for stage in stages:
        # earlier stages are of methods of their own
        late = () if stage is stages[-1] else ("method=", "method.", "hydra.sweep.")
        overrides = [word for word in given if not word.startswith(late)]
        if other:
            overrides.append(f"hydra.sweep.dir={stage.folder}")
            begins = any(before.starts(stage) for before in stages)
            overrides += [f"init_from='{stage.start}'"] if begins else []
        needed = stage.starts(stages[-1])
        for part in stage.sweeps(selected, needed=needed) if parsed.cells else [[]]:
            run_sweep(stage, [*overrides, *part])
    rows, columns = table.paper.rows, table.paper.columns
    folders = [stage.folder for stage in stages]
    records = [r for r in gather_records(folders) if r["choices"]["method"] in rows]
    cells = [
        cell
        for cell in judge_cells(table, records)
        if (cell.row, cell.column) in selected or (cell.column not in columns and cell.runs)
    ]
    if changed:
        cells = [replace(cell, inside=None) for cell in cells]
    text = render_reproduction(table, cells, records)
    if changed:
        text += f"\n\nNo verdict: --quick runs it with {listed(changed)}."
    write_text(table.folder / f"{table.file.stem}.md", text + "\n")
    print(text)
    if parsed.record:
        record_table(table, records)
    whole = not (parsed.quick or parsed.overrides)
    if any(cell.inside is False or (whole and not cell.runs) for cell in cells):
        raise SystemExit(1)


def reproduce_computed(parsed: Namespace) -> None:
    """Computes what is missing of a table that no sweep makes; ends with 1 if a cell is outside.

    Raises:
        InputError: an option is of tables whose runs are trained.
    """
    given = {"--cells": parsed.cells, "--seeds": parsed.seeds, "--jobs": parsed.jobs}
    if foreign := [*(name for name, value in given.items() if value), *parsed.overrides]:
        raise InputError(
            f"{listed(foreign)}: {parsed.table} is computed as a whole, no runs to choose "
            f"from: da reproduce {parsed.table}"
        )
    if parsed.record and parsed.quick:
        raise InputError("--record: whole tables with their own keys alone are kept as ours")
    table = load_computed_table(parsed.table, table_files()[parsed.table])
    table.folder.mkdir(parents=True, exist_ok=True)
    with wait_for_lock(table.folder, "computes"), open_console(stderr=True).status(table.name):
        record = compute_table(table, quick=parsed.quick)
    text = render_computed(table, record, judged=not parsed.quick)
    if parsed.quick:
        keys = listed(f"{key}={value}" for key, value in table.quick.items())
        text += f"\n\nNo verdict: --quick computes it with {keys or 'the same keys'}."
    write_text(table.folder / "table.md", text + "\n")
    print(text)
    if parsed.record:
        write_record(table.kept, record)
    cells = judge_table(table, record)
    if not parsed.quick and any(cell.inside is False or cell.ours is None for cell in cells):
        raise SystemExit(1)


def run_sweep(table: Experiment, overrides: Sequence[str]) -> None:
    """Runs what is missing of the sweep; its output goes to a file beside the runs.

    Where another process is at it, such as what a killed call has left, it waits for that first.

    Raises:
        InputError: it failed.
    """
    try:
        with run_lock(table.folder):
            pass
    except InputError:
        print(f"another process trains in {table.folder}: waiting for it", file=sys.stderr)
        with wait_for_lock(table.folder, "trains"):
            pass
    log = table.folder / "reproduce.log"
    command = [
        *(sys.executable, "-m", "da_framework", "train"),
        *(f"experiments={table.name}", *overrides),
    ]
    with log.open("w") as stream, open_console(stderr=True).status("") as status:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        try:
            while True:
                there = len(find_finished_runs(table.folder))
                status.update(f"{table.name}: {there} runs there; {log} has the rest")
                try:
                    code = process.wait(timeout=1)
                    break
                except subprocess.TimeoutExpired:
                    continue
        except (KeyboardInterrupt, PreemptedError):
            process.terminate()
            process.wait()
            raise
    if code < 0:
        name = signal.Signals(-code).name
        raise InputError(f"{' '.join(command[3:])}: {name} ended it; the same command continues")
    if code:
        last = log.read_text("utf-8").strip().splitlines()[-1:]
        from da_framework.cli.sweeps import read_failures

        reasons = [f"  {words}" for words in read_failures(table.folder)]
        raise InputError(f"{' '.join(command[3:])} failed: {listed(last)}; see {log}", *reasons)


def check_overrides(table: PaperTable, overrides: Sequence[str], *, cells: bool) -> None:
    """Refuses what would be overridden, or send the runs where they are not looked for.

    Raises:
        InputError: there is such a word.
    """
    for word in overrides:
        if word.startswith(("hydra.sweep.", "hydra.run.")):
            raise InputError(
                f"{word}: the table reads {table.folder}; for another place, call it in another "
                "folder"
            )
        if cells and word.startswith(("method=", *(f"{key}=" for key in SIDES))):
            raise InputError(f"{word}: --cells says already which methods and domains are run")


def with_suffix(stages: Sequence[Experiment], suffix: str) -> list[Experiment]:
    """The same experiments in folders with a suffix, where each begins with the others' runs."""
    moved = []
    for stage in stages:
        start = stage.start
        for other in stages:
            if other.starts(stage):
                start = start.replace(str(other.folder), f"{other.folder}-{suffix}", 1)
        moved.append(replace(stage, folder=Path(f"{stage.folder}-{suffix}"), start=start))
    return moved


def changes_result(word: str) -> bool:
    """Whether an override changes more than which cells and seeds are run, and where."""
    return not word.startswith(("seed=", "method=", "hydra", *(f"{key}=" for key in SIDES)))


def seed_overrides(table: PaperTable, asked: str | None) -> list[str]:
    """The override that runs these of a table's seeds alone.

    Raises:
        InputError: it has no such seed.
    """
    if asked is None:
        return []
    asked = asked.replace(" ", "")
    known = list(map(str, table.seeds))
    if not known:
        raise InputError(f"--seeds {asked}: the runs of {table.name} go through no seeds")
    if unknown := [seed for seed in asked.split(",") if seed not in known]:
        raise InputError(
            f"--seeds {listed(unknown)}: {table.name} has the seeds {listed(known)}; "
            f"seed={','.join(unknown)} without the dashes runs others"
        )
    return [f"seed={asked}"]


def launcher_overrides(jobs: int | None) -> list[str]:
    """The overrides that run so many jobs side by side.

    Raises:
        InputError: there are none, or what launches them is not installed.
    """
    if jobs is None:
        return []
    if jobs < 1:
        raise InputError(f"--jobs {jobs}: at least one run at a time")
    require_package(f"--jobs {jobs}", *NEEDS[JOBLIB])
    return [JOBLIB, f"hydra.launcher.n_jobs={jobs}"]
