"""``da reproduce``: a paper's table, its numbers beside ours, and a verdict for every cell."""

import argparse
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from da_framework.config.plugins import NEEDS, require_package
from da_framework.core.errors import InputError, PreemptedError, listed
from da_framework.core.files import run_lock, wait_for_lock, write_text
from da_framework.results import record as results
from da_framework.results import tables as report
from da_framework.results.experiments import (
    MEAN,
    SIDES,
    Experiment,
    PaperTable,
    find_experiments,
    find_tables,
    load_experiment,
)
from da_framework.results.folder import find_finished_runs
from da_framework.results.statistics import Cell as Kind
from da_framework.results.statistics import cell_of as kind_of
from da_framework.results.statistics import describe_difference, evaluations, flatten

MARKS = {True: "inside", False: "OUTSIDE", None: ""}
JOBLIB = "hydra/launcher=joblib"


@dataclass(frozen=True)
class ReproducedCell:
    """A cell as reproduced.

    Attributes:
        row, column: where it stands.
        paper: its value there, in percent.
        recorded: our recorded value.
        runs: the records of this machine's runs.
        gain: over the baseline's on the same seeds, in points.
        inside: whether this machine's mean is as near as the table says; ``None``: it was not run,
            or the verdict is on another.
    """

    row: str
    column: str
    paper: float
    recorded: float | None
    runs: Sequence[Mapping[str, Any]]
    gain: float | None
    inside: bool | None

    def short(self, table: PaperTable) -> bool:
        """Whether it has runs, but fewer seeds than the experiment states."""
        return 0 < len(self.runs) < len(table.seeds)

    def words(self, table: PaperTable) -> list[str]:
        """As the table shows it."""
        picks = ("last", "chosen", "oracle")
        own = {pick: percents(self.runs, pick, table.paper.measure) for pick in picks}
        mark = report.MARK if self.short(table) else ""
        beside = [rows.get(self.row) for rows in table.paper.beside.values()]
        late = mean_of_last(self.runs, last) if (last := table.paper.readings) else None
        return [
            f"`{self.row}`",
            self.column,
            f"{self.paper:.2f}",
            *(
                ""
                if values is None
                else format_number(values[table.paper.columns.index(self.column)])
                for values in beside
            ),
            format_number(self.recorded),
            f"{format_mean(own['last'])}{mark}" if self.runs else "",
            *([] if late is None else [format_mean(late) if late else ""]),
            *(f"{fmean(own[pick]):.2f}" if self.runs else "" for pick in ("chosen", "oracle")),
            "" if self.gain is None else f"{self.gain:+.2f}",
            f"{len(self.runs)}{mark}",
            MARKS[self.inside] if self.runs else "not run",
        ]


def reproduced(table: PaperTable, records: Sequence[Mapping[str, Any]]) -> list[ReproducedCell]:
    """Every cell of a table, judged by the records of runs.

    Raises:
        InputError: runs of one cell differ in more than their seeds.
    """
    recorded, own = (
        group_by_column(some, tuned=table.paper.tuned) for some in (table.recorded, records)
    )
    base = str(table.paper.baseline)
    cells = []
    for row, name, columns in cell_places(table, own):
        runs, before = (
            cell_records(table, own, row, columns),
            cell_records(table, recorded, row, columns),
        )
        others = {r["config"]["seed"]: r for r in cell_records(table, own, base, columns)}
        pairs = [(r, others[r["config"]["seed"]]) for r in runs if r["config"]["seed"] in others]
        gains = [a - b for a, b in (percents(two, "last", table.paper.measure) for two in pairs)]
        judged = runs and (name in table.paper.columns) != (table.paper.verdict is not None)
        mean = fmean(percents(runs, "last", table.paper.measure)) if judged else None
        paper = fmean(table.cells[row, column] for column in columns)
        cells.append(
            ReproducedCell(
                *(row, name, paper),
                recorded=fmean(percents(before, "last", table.paper.measure)) if before else None,
                runs=runs,
                gain=fmean(gains) if gains and row != base else None,
                inside=None
                if mean is None
                else is_within(mean, table.band(row, paper, cells=len(columns))),
            )
        )
    return cells


def cell_places(
    table: PaperTable, cells: Mapping[tuple[str, str], object]
) -> list[tuple[str, str, Sequence[str]]]:
    """The cells as a row, a name and columns: one, or those that were run, whose mean is judged."""
    found: list[tuple[str, str, Sequence[str]]] = [
        (row, column, [column]) for row, column in table.cells
    ]
    for row in table.paper.rows if table.paper.verdict else ():
        every = [column for own, column in table.cells if own == row]
        ran = [column for column in every if (row, column) in cells] or every
        if len(ran) > 1:
            found.append((row, MEAN if ran == every else f"{MEAN} of {len(ran)}", ran))
    return found


def cell_records(
    table: PaperTable,
    cells: Mapping[tuple[str, str], list[Mapping[str, Any]]],
    row: str,
    columns: Sequence[str],
) -> list[Mapping[str, Any]]:
    """The records of a row's cell; of several their mean, a record for each seed that all have."""
    measure = table.paper.measure
    if len(columns) == 1:
        return cells.get((row, columns[0]), [])
    runs = [{run["config"]["seed"]: run for run in cells.get((row, one), [])} for one in columns]
    return [
        {
            "config": {"seed": seed},
            "target": {
                pick: {measure: fmean(own[seed]["target"][pick][measure] for own in runs)}
                for pick in ("last", "chosen", "oracle")
            },
        }
        for seed in sorted(set[int].intersection(*map(set, runs)))
    ]


def format_mean(values: Sequence[float]) -> str:
    """Mean, and half the width of its 95 % t-interval where there are two values or more."""
    mean = f"{fmean(values):.2f}"
    if len(values) < 2:
        return mean
    from scipy import stats

    half = float(stats.sem(values) * stats.t.ppf(0.975, len(values) - 1))
    return f"{mean} ± {half:.2f}"


def is_within(mean: float, band: tuple[float, float]) -> bool:
    """Whether a mean, rounded as tables are, lies where it should."""
    return band[0] - 1e-9 <= round(mean, 2) <= band[1] + 1e-9


def group_by_column(
    records: Sequence[Mapping[str, Any]], *, tuned: Sequence[str] = ()
) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """Records by method and pair of domains.

    Of those with one seed that differ in tuned keys, the one is kept that the validator scores
    highest; of equals the first.

    Raises:
        InputError: those of one cell differ in more than their seeds, or not even in these.
    """
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    kinds: dict[tuple[str, str], Kind] = {}
    for record in records:
        sides = ("+".join(record["domains"][side]) for side in ("source", "target"))
        where = record["choices"]["method"], "-".join(sides)
        kind = kind_of({**record, "config": results.without_keys(record["config"], tuple(tuned))})
        if (other := kinds.setdefault(where, kind)) != kind:
            raise InputError(
                f"runs of the cell {where[0]}, {where[1]} differ in more than their seeds "
                f"({describe_difference(other, kind)}): {found[where][0]['command']} and "
                f"{record['command']}"
            )
        others = found.setdefault(where, [])
        twice = [own for own in others if own["config"]["seed"] == record["config"]["seed"]]
        if twice and not tuned:
            two = (own.get("folder", own["command"]) for own in (twice[0], record))
            raise InputError(
                f"two runs of the cell {where[0]}, {where[1]} have the seed "
                f"{record['config']['seed']}: {' and '.join(two)}; move one away"
            )
        others.append(record)
    if tuned:
        return {where: chosen_by_validator(several) for where, several in found.items()}
    return found


def chosen_by_validator(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The record of each seed that its validator scores highest."""
    found: dict[int, Mapping[str, Any]] = {}
    for record in records:
        other = found.setdefault(record["config"]["seed"], record)
        if chosen_score(record) > chosen_score(other):
            found[record["config"]["seed"]] = record
    return list(found.values())


def chosen_score(record: Mapping[str, Any]) -> float:
    """What the validator makes of the step that it has chosen."""
    return float(record["target"]["chosen"]["score"])


def percents(records: Sequence[Mapping[str, Any]], pick: str, measure: str) -> list[float]:
    """Accuracy of each record, or another measure, in percent."""
    return [100 * record["target"][pick][measure] for record in records]


def mean_of_last(records: Sequence[Mapping[str, Any]], last: int) -> list[float]:
    """Mean accuracy of the last readings of each run in percent; none if a run has fewer."""
    found = [[100 * value for step, value in evaluations(record) if step > 0] for record in records]
    return [fmean(own[-last:]) for own in found] if all(len(own) >= last for own in found) else []


def format_number(value: float | None) -> str:
    """As it stands in a table."""
    return "" if value is None else f"{value:.2f}"


def render_reproduction(
    table: PaperTable, cells: Sequence[ReproducedCell], records: Sequence[Mapping[str, Any]] = ()
) -> str:
    """The table with its verdicts, and what is said of the records that it was made of."""
    late = [f"mean of the last {last}"] if (last := table.paper.readings) else []
    reference = table.paper.reference
    whose = "The paper" if reference == "paper" else reference
    columns = ["row", "cell", reference, *table.paper.beside, "recorded", "ours, last"]
    head = [*columns, *late, "chosen", "oracle", "gain", "seeds", "verdict"]
    lines = [head, ["---"] * len(head), *(cell.words(table) for cell in cells)]
    judged = [cell for cell in cells if cell.inside is not None]
    missing = sum(not cell.runs for cell in cells)
    good = sum(bool(cell.inside) for cell in judged)
    reason = table.paper.reason
    bounds = [f"{row} {low:g} to {high:g}" for row, (low, high) in table.paper.bands.items()]
    if table.paper.rows.keys() - table.paper.bands.keys():
        bounds.append(f"{table.paper.tolerance} points")
    bound = listed(bounds)
    if any(cell.column.startswith(f"{MEAN} of ") for cell in judged):
        bound += ", of fewer columns by the root of how many times fewer they are"
    return "\n".join(
        [
            f"{table.paper.title}. {whose}'s values are {table.paper.known}.",
            "",
            *(f"| {' | '.join(words)} |" for words in lines),
            "",
            f"{good} of {len(judged)} cells within {bound}"
            f"{f' ({reason})' if reason else ''}; {missing} not run.",
            *table_notes(table, cells, records),
        ]
    )


def tuning_note(table: PaperTable, records: Sequence[Mapping[str, Any]]) -> str:
    """What each row was tuned over, and by which validator: with equal budgets, or not."""
    tried: dict[str, dict[str, dict[str, None]]] = {}
    for record in records:
        flat = flatten(record["config"])
        for key in table.paper.tuned:
            if key in flat:
                own = tried.setdefault(record["choices"]["method"], {})
                own.setdefault(key, {})[str(flat[key])] = None
    validator = records[0]["config"]["validator"]["_target_"].rpartition(".")[2]
    rows = [
        f"`{row}` over {listed(f'`{key}` {listed(values)}' for key, values in own.items())}"
        for row, own in tried.items()
    ]
    return f"Tuned for each cell by `{validator}`, without target labels: {'; '.join(rows)}."


def table_notes(
    table: PaperTable, cells: Sequence[ReproducedCell], records: Sequence[Mapping[str, Any]]
) -> list[str]:
    """What is said below a table: what lacks seeds, and of when and what our values are."""
    found = [tuning_note(table, records)] if table.paper.tuned and records else []
    if any(cell.short(table) for cell in cells):
        stated = f"fewer seeds than the experiment states ({listed(table.seeds)})"
        found.append(f"{report.MARK}: {stated}; what is missing is run by the same command.")
    if recorded := table.recorded:
        found.append(f"Recorded: {provenance(recorded)}.")
    return [line for note in found for line in ("", note)]


def provenance(records: Sequence[Mapping[str, Any]]) -> str:
    """When records were made, and with which versions of torch and of this package."""
    days = sorted(record["finished"][:10] for record in records if "finished" in record)
    dates = [" to ".join(dict.fromkeys([days[0], days[-1]]))] if days else []
    dates += ["date not known"] * (len(days) < len(records))
    made: dict[str, set[str]] = {"torch": set(), "da_framework": set(), "code": set()}
    for record in records:
        versions = record["environment"]["versions"]
        made["torch"].add(versions["torch"])
        # run from a checkout, it has no version
        own = "da_framework" if "da_framework" in versions else "code"
        made[own].add(versions.get("da_framework", record["code"][:8]))
    said = [f"{name} {listed(sorted(own))}" for name, own in made.items() if own]
    return "; ".join([listed(dates), *said])


def tables_overview(known: Mapping[str, PaperTable]) -> Grid:
    """Every table with its cells, what it costs, and when it was recorded."""
    grid = Grid("table", "cells", "CPU minutes", "recorded", show_lines=True)
    for name, table in known.items():
        estimate = table.paper.minutes
        if recorded := table.recorded:
            # before the processor's time was kept, the clock's stands in for it
            spent = [own["seconds"].get("cpu", own["seconds"]["all"]) for own in recorded]
            cost = f"{sum(spent) / 60:.1f}"
        else:
            cost = "not known" if estimate is None else f"about {estimate}"
        title = table.paper.title.partition(" (")[0]
        cells = f"{len(table.cells)}: {listed(table.paper.rows)}"
        made = provenance(recorded) if recorded else "not recorded"
        grid.add_row(f"{name}\n{title}", cells, cost, made)
    return grid


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
    with log.open("w") as stream, Console(stderr=True).status("") as status:
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
        last = log.read_text().strip().splitlines()[-1:]
        raise InputError(f"{' '.join(command[3:])} failed: {listed(last)}; see {log}")


def main(arguments: list[str]) -> None:
    """``da reproduce TABLE``: runs what is missing; ends with 1 if a cell is outside or not run."""
    parser = argparse.ArgumentParser(prog="da reproduce", description=main.__doc__)
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
        Console(width=None if sys.stdout.isatty() else 160).print(tables_overview(find_tables()))
        return
    table = load_experiment(parsed.table) if parsed.table in find_experiments() else None
    if not isinstance(table, PaperTable):
        raise InputError(f"no table {parsed.table}; the tables are {listed(find_tables())}")
    check_overrides(table, parsed.overrides, cells=parsed.cells is not None)
    chosen = table.chosen(parsed.cells)
    stages: list[Experiment] = [*table.first, table]
    if parsed.record and (parsed.quick or parsed.cells or parsed.seeds or parsed.overrides):
        raise InputError("--record: whole tables with their own keys alone are kept as ours")
    quick = list(table.paper.quick) if parsed.quick else []
    given = [
        *quick,
        *seed_overrides(table, parsed.seeds),
        *job_overrides(parsed.jobs),
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
        own = [word for word in given if not word.startswith(late)]
        if other:
            own.append(f"hydra.sweep.dir={stage.folder}")
            own += [f"init_from='{stage.start}'" for one in stages if one.starts(stage)]
        for part in stage.sweeps(chosen, needed=stage.starts(stages[-1])) if parsed.cells else [[]]:
            run_sweep(stage, [*own, *part])
    rows, columns = table.paper.rows, table.paper.columns
    folders = [stage.folder for stage in stages]
    records = [r for r in report.gather_records(folders) if r["choices"]["method"] in rows]
    cells = [
        cell
        for cell in reproduced(table, records)
        if (cell.row, cell.column) in chosen or (cell.column not in columns and cell.runs)
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


def with_suffix(stages: Sequence[Experiment], words: str) -> list[Experiment]:
    """The same in folders of their own, where each begins with the others' runs there."""
    moved = []
    for stage in stages:
        start = stage.start
        for other in stages:
            if other.starts(stage):
                start = start.replace(str(other.folder), f"{other.folder}-{words}", 1)
        moved.append(replace(stage, folder=Path(f"{stage.folder}-{words}"), start=start))
    return moved


def changes_result(word: str) -> bool:
    """Whether an override changes more than which cells and seeds are run, and where."""
    return not word.startswith(("seed=", "method=", "hydra", *(f"{key}=" for key in SIDES)))


def seed_overrides(table: PaperTable, words: str | None) -> list[str]:
    """The override that runs these of a table's seeds alone.

    Raises:
        InputError: it has no such seed.
    """
    if words is None:
        return []
    words = words.replace(" ", "")
    known = list(map(str, table.seeds))
    if not known:
        raise InputError(f"--seeds {words}: the runs of {table.name} go through no seeds")
    if unknown := [word for word in words.split(",") if word not in known]:
        raise InputError(
            f"--seeds {listed(unknown)}: {table.name} has the seeds {listed(known)}; "
            f"seed={','.join(unknown)} without the dashes runs others"
        )
    return [f"seed={words}"]


def job_overrides(jobs: int | None) -> list[str]:
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


def record_table(table: PaperTable, records: Sequence[Mapping[str, Any]]) -> None:
    """Keeps runs as ours; with a picture of their readings where the table shows these."""
    report.keep_records(table.kept, records)
    if not table.paper.readings:
        return
    # matplotlib is imported here: tables do not wait for it
    from da_framework.results import curves_figure as pictures

    bands = {(row, column): table.band(row, paper) for (row, column), paper in table.cells.items()}
    panels: dict[str, dict[str, list[Any]]] = {}
    for (row, column), runs in group_by_column(records, tuned=table.paper.tuned).items():
        if (row, column) in bands:
            panels.setdefault(column, {})[row] = [evaluations(own) for own in runs]
    pictures.draw_curves(table.file.with_suffix(".png"), panels, bands)
