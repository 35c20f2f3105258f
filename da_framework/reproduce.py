"""``da reproduce``: a paper's table, its numbers beside ours, and a verdict for every cell."""

import argparse
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import fmean
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table as Grid

from da_framework import report, results
from da_framework.cells import Cell as Kind
from da_framework.cells import cell as kind_of
from da_framework.cells import difference, leaves, readings
from da_framework.errors import InputError, PreemptedError, listed
from da_framework.plugins import NEEDS, conf_dir, require

RECORDED = ".recorded.json"
MARKS = {True: "inside", False: "OUTSIDE", None: ""}
MEAN = "mean"
"""The column of a row's mean, and the verdict that is on it alone."""
SIDES = ("dataset.pair", "dataset.source", "dataset.target")
"""The keys that a sweep goes through a table's columns by."""
JOBLIB = "hydra/launcher=joblib"


@dataclass(frozen=True)
class Table:
    """A paper's table as an experiment states it.

    Attributes:
        name: of the experiment.
        paper: its ``paper:`` part: ``title``, ``known`` (how surely), ``columns``
            (``source-target``), ``rows`` (a method's values in percent), ``tolerance`` (in points)
            or ``bands`` (lowest and highest of a row) and the ``reason`` of it; maybe ``baseline``,
            a row, ``quick``, overrides, ``first``, experiments whose runs come before its own
            (earlier stages, or rows with keys of their own), ``minutes``, an estimate of what all
            of it costs, ``beside``, others' values by their name and row, ``reference``, whose
            values they are if not a paper's, ``measure``, if not the accuracy (``recall``: its mean
            over classes), ``readings``, so many of the last evaluations whose mean is shown,
            ``tuned``, keys that the validator chooses among the values of, and ``verdict``:
            ``mean``, if it is on the mean of a row alone, over the columns that were run.
        folder: that its sweep writes to.
        file: that says all this.
        params: what its sweep goes through.
        start: the runs that its own begin with, if any.
    """

    name: str
    paper: Mapping[str, Any]
    folder: Path
    file: Path
    params: Mapping[str, Any] = field(default_factory=dict)
    start: str = ""

    @property
    def cells(self) -> dict[tuple[str, str], float]:
        """The paper's value by row and column."""
        return {
            (row, column): float(value)
            for row, values in self.paper["rows"].items()
            for column, value in zip(self.paper["columns"], values, strict=True)
            if value is not None
        }

    @property
    def on_means(self) -> bool:
        """Whether its verdicts are on the means of its rows alone."""
        return bool(self.paper.get("verdict") == MEAN)

    @property
    def measure(self) -> str:
        """What its values are of."""
        return str(self.paper.get("measure", "accuracy"))

    @property
    def tuned(self) -> list[str]:
        """The keys that the validator chooses among the values of."""
        return list(self.paper.get("tuned", ()))

    @property
    def seeds(self) -> list[int]:
        """Those that its sweep goes through."""
        return [int(seed) for seed in str(self.params.get("seed", "")).split(",") if seed.strip()]

    @property
    def kept(self) -> Path:
        """The file of our recorded runs, there or not."""
        return self.file.with_name(f"{self.file.stem}{RECORDED}")

    @property
    def recorded(self) -> list[dict[str, Any]]:
        """Our recorded runs."""
        return report.kept(self.kept) if self.kept.is_file() else []

    def chosen(self, words: str | None) -> list[tuple[str, str]]:
        """The cells that ``row/column,...`` names, ``*`` for any; all where nothing is named.

        Raises:
            InputError: there is no such cell.
        """
        found: dict[tuple[str, str], None] = {}
        for word in words.split(",") if words else ["*"]:
            own = [cell for cell in self.cells if fnmatchcase("/".join(cell), word)]
            if not own:
                raise InputError(
                    f"--cells {word}: {self.name} has no such cell; ROW/COLUMN has the rows "
                    f"{listed(self.paper['rows'])} and the columns {listed(self.paper['columns'])}"
                    ", and * is any of them"
                )
            found |= dict.fromkeys(own)
        return list(found)

    def starts(self, other: "Table") -> bool:
        """Whether runs of another experiment begin with its own."""
        return other.start.startswith(f"{self.folder}/")

    def sweeps(self, cells: Sequence[tuple[str, str]], *, needed: bool = False) -> list[list[str]]:
        """The overrides of sweeps that make these of its own cells together, and no other.

        Where what follows needs it, they make all its rows of those columns.
        """
        methods = str(self.params.get("method", "")).split(",")
        if needed:
            cells = list(dict.fromkeys((row, column) for _, column in cells for row in methods))
        columns: dict[str, tuple[str, ...]] = {}
        for row, column in cells:
            if row in methods:
                columns[row] = (*columns.get(row, ()), column)
        rows: dict[tuple[str, ...], list[str]] = {}
        for row, own in columns.items():
            rows.setdefault(own, []).append(row)
        keys = [key for key in SIDES if key in self.params]
        return [
            [f"method={','.join(alike)}", *sides(part, keys)]
            for own, alike in rows.items()
            for part in ([own] if len(keys) < 2 else [(column,) for column in own])
        ]

    @property
    def first(self) -> list["Table"]:
        """The experiments whose runs come before its own; they state no values."""
        return [loaded(name) for name in self.paper.get("first", ())]

    def band(self, row: str, paper: float, *, cells: int = 1) -> tuple[float, float]:
        """The lowest and highest values that reproduce a paper's, of a cell or a mean of some.

        The tolerance of means is of a whole row: fewer cells stray from it by the root of how many
        times fewer they are.
        """
        if band := self.paper.get("bands", {}).get(row):
            return float(band[0]), float(band[1])
        fewer = len(self.paper["columns"]) / cells if self.on_means else 1.0
        tolerance = self.paper["tolerance"] * fewer**0.5
        return paper - tolerance, paper + tolerance


@dataclass(frozen=True)
class Cell:
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

    def short(self, table: Table) -> bool:
        """Whether it has runs, but fewer seeds than the experiment states."""
        return 0 < len(self.runs) < len(table.seeds)

    def words(self, table: Table) -> list[str]:
        """As the table shows it."""
        picks = ("last", "chosen", "oracle")
        own = {pick: figures(self.runs, pick, table.measure) for pick in picks}
        mark = report.MARK if self.short(table) else ""
        beside = [rows.get(self.row) for rows in table.paper.get("beside", {}).values()]
        late = settled(self.runs, last) if (last := table.paper.get("readings")) else None
        return [
            f"`{self.row}`",
            self.column,
            f"{self.paper:.2f}",
            *(
                "" if values is None else number(values[table.paper["columns"].index(self.column)])
                for values in beside
            ),
            number(self.recorded),
            f"{spread(own['last'])}{mark}" if self.runs else "",
            *([] if late is None else [spread(late) if late else ""]),
            *(f"{fmean(own[pick]):.2f}" if self.runs else "" for pick in ("chosen", "oracle")),
            "" if self.gain is None else f"{self.gain:+.2f}",
            f"{len(self.runs)}{mark}",
            MARKS[self.inside] if self.runs else "not run",
        ]


def tables() -> dict[str, Table]:
    """Every experiment that states a paper's values."""
    root = conf_dir() / "experiments"
    names = [file.relative_to(root).with_suffix("").as_posix() for file in root.rglob("*.yaml")]
    return {name: own for name in sorted(names) if (own := loaded(name)).paper}


def loaded(name: str) -> Table:
    """An experiment by its name."""
    file = conf_dir() / "experiments" / f"{name}.yaml"
    node: Any = OmegaConf.to_container(OmegaConf.load(file))
    sweep = node["hydra"]
    return Table(
        name,
        node.get("paper", {}),
        Path(sweep["sweep"]["dir"]),
        file,
        params=sweep.get("sweeper", {}).get("params", {}),
        start=str(node.get("init_from", "")),
    )


def sides(columns: Sequence[str], keys: Sequence[str]) -> list[str]:
    """The overrides that choose these columns of a sweep which goes through these keys."""
    parts = [column.replace("+", ",").split("-") for column in columns]
    values = {
        "dataset.pair": [f"[{source},{target}]" for source, target in parts],
        "dataset.source": [f"[{source}]" for source, _ in parts],
        "dataset.target": [f"[{target}]" for _, target in parts],
    }
    return [f"{key}={','.join(values[key])}" for key in keys]


def reproduced(table: Table, records: Sequence[Mapping[str, Any]]) -> list[Cell]:
    """Every cell of a table, judged by the records of runs.

    Raises:
        InputError: runs of one cell differ in more than their seeds.
    """
    recorded, own = (by_cell(some, tuned=table.tuned) for some in (table.recorded, records))
    base = str(table.paper.get("baseline"))
    cells = []
    for row, name, columns in places(table, own):
        runs, before = averaged(table, own, row, columns), averaged(table, recorded, row, columns)
        others = {r["config"]["seed"]: r for r in averaged(table, own, base, columns)}
        pairs = [(r, others[r["config"]["seed"]]) for r in runs if r["config"]["seed"] in others]
        gains = [a - b for a, b in (figures(two, "last", table.measure) for two in pairs)]
        judged = runs and (name in table.paper["columns"]) != table.on_means
        mean = fmean(figures(runs, "last", table.measure)) if judged else None
        paper = fmean(table.cells[row, column] for column in columns)
        cells.append(
            Cell(
                *(row, name, paper),
                recorded=fmean(figures(before, "last", table.measure)) if before else None,
                runs=runs,
                gain=fmean(gains) if gains and row != base else None,
                inside=None
                if mean is None
                else within(mean, table.band(row, paper, cells=len(columns))),
            )
        )
    return cells


def places(
    table: Table, cells: Mapping[tuple[str, str], object]
) -> list[tuple[str, str, Sequence[str]]]:
    """The cells as a row, a name and columns: one, or those that were run, whose mean is judged."""
    found: list[tuple[str, str, Sequence[str]]] = [
        (row, column, [column]) for row, column in table.cells
    ]
    for row in table.paper["rows"] if table.on_means else ():
        every = [column for own, column in table.cells if own == row]
        ran = [column for column in every if (row, column) in cells] or every
        if len(ran) > 1:
            found.append((row, MEAN if ran == every else f"{MEAN} of {len(ran)}", ran))
    return found


def averaged(
    table: Table,
    cells: Mapping[tuple[str, str], list[Mapping[str, Any]]],
    row: str,
    columns: Sequence[str],
) -> list[Mapping[str, Any]]:
    """The records of a row's cell; of several their mean, a record for each seed that all have."""
    if len(columns) == 1:
        return cells.get((row, columns[0]), [])
    runs = [{run["config"]["seed"]: run for run in cells.get((row, one), [])} for one in columns]
    return [
        {
            "config": {"seed": seed},
            "target": {
                pick: {
                    table.measure: fmean(own[seed]["target"][pick][table.measure] for own in runs)
                }
                for pick in ("last", "chosen", "oracle")
            },
        }
        for seed in sorted(set[int].intersection(*map(set, runs)))
    ]


def spread(values: Sequence[float]) -> str:
    """Mean, and half the width of its 95 % t-interval where there are two values or more."""
    mean = f"{fmean(values):.2f}"
    if len(values) < 2:
        return mean
    from scipy import stats

    half = float(stats.sem(values) * stats.t.ppf(0.975, len(values) - 1))
    return f"{mean} ± {half:.2f}"


def within(mean: float, band: tuple[float, float]) -> bool:
    """Whether a mean, rounded as tables are, lies where it should."""
    return band[0] - 1e-9 <= round(mean, 2) <= band[1] + 1e-9


def by_cell(
    records: Sequence[Mapping[str, Any]], *, tuned: Sequence[str] = ()
) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """Records by method and pair of domains.

    Of those with one seed that differ in tuned keys, the one is kept that the validator scores
    highest; of equals the first.

    Raises:
        InputError: those of one cell differ in more than their seeds.
    """
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    kinds: dict[tuple[str, str], Kind] = {}
    for record in records:
        sides = ("+".join(record["domains"][side]) for side in ("source", "target"))
        where = record["choices"]["method"], "-".join(sides)
        kind = kind_of({**record, "config": results.without(record["config"], tuple(tuned))})
        if (other := kinds.setdefault(where, kind)) != kind:
            raise InputError(
                f"runs of the cell {where[0]}, {where[1]} differ in more than their seeds "
                f"({difference(other, kind)}): {found[where][0]['command']} and "
                f"{record['command']}"
            )
        found.setdefault(where, []).append(record)
    if tuned:
        return {where: best(several) for where, several in found.items()}
    return found


def best(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The record of each seed that its validator scores highest."""
    found: dict[int, Mapping[str, Any]] = {}
    for record in records:
        other = found.setdefault(record["config"]["seed"], record)
        if score(record) > score(other):
            found[record["config"]["seed"]] = record
    return list(found.values())


def score(record: Mapping[str, Any]) -> float:
    """What the validator makes of the step that it has chosen."""
    return float(record["target"]["chosen"]["score"])


def figures(records: Sequence[Mapping[str, Any]], pick: str, measure: str) -> list[float]:
    """Accuracy of each record, or another measure, in percent."""
    return [100 * record["target"][pick][measure] for record in records]


def settled(records: Sequence[Mapping[str, Any]], last: int) -> list[float]:
    """Mean accuracy of the last readings of each run in percent; none if a run has fewer."""
    found = [[100 * value for step, value in readings(record) if step > 0] for record in records]
    return [fmean(own[-last:]) for own in found] if all(len(own) >= last for own in found) else []


def number(value: float | None) -> str:
    """As it stands in a table."""
    return "" if value is None else f"{value:.2f}"


def markdown(table: Table, cells: Sequence[Cell], records: Sequence[Mapping[str, Any]] = ()) -> str:
    """The table with its verdicts, and what is said of the records that it was made of."""
    late = [f"mean of the last {last}"] if (last := table.paper.get("readings")) else []
    reference = table.paper.get("reference", "paper")
    whose = "The paper" if reference == "paper" else reference
    columns = ["row", "cell", reference, *table.paper.get("beside", {}), "recorded", "ours, last"]
    head = [*columns, *late, "chosen", "oracle", "gain", "seeds", "verdict"]
    lines = [head, ["---"] * len(head), *(cell.words(table) for cell in cells)]
    judged = [cell for cell in cells if cell.inside is not None]
    missing = sum(not cell.runs for cell in cells)
    good = sum(bool(cell.inside) for cell in judged)
    reason = table.paper.get("reason", "")
    bands = [
        f"{row} {low:g} to {high:g}" for row, (low, high) in table.paper.get("bands", {}).items()
    ]
    bound = listed(bands) if bands else f"{table.paper['tolerance']} points"
    if any(cell.column.startswith(f"{MEAN} of ") for cell in judged):
        bound += ", of fewer columns by the root of how many times fewer they are"
    return "\n".join(
        [
            f"{table.paper['title']}. {whose}'s values are {table.paper['known']}.",
            "",
            *(f"| {' | '.join(words)} |" for words in lines),
            "",
            f"{good} of {len(judged)} cells within {bound}"
            f"{f' ({reason})' if reason else ''}; {missing} not run.",
            *notes(table, cells, records),
        ]
    )


def tuning(table: Table, records: Sequence[Mapping[str, Any]]) -> str:
    """What each row was tuned over, and by which validator: with equal budgets, or not."""
    tried: dict[str, dict[str, dict[str, None]]] = {}
    for record in records:
        flat = leaves(record["config"])
        for key in table.tuned:
            if key in flat:
                own = tried.setdefault(record["choices"]["method"], {})
                own.setdefault(key, {})[str(flat[key])] = None
    validator = records[0]["config"]["validator"]["_target_"].rpartition(".")[2]
    rows = [
        f"`{row}` over {listed(f'`{key}` {listed(values)}' for key, values in own.items())}"
        for row, own in tried.items()
    ]
    return f"Tuned for each cell by `{validator}`, without target labels: {'; '.join(rows)}."


def notes(table: Table, cells: Sequence[Cell], records: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is said below a table: what lacks seeds, and of when and what our values are."""
    found = [tuning(table, records)] if table.tuned and records else []
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


def overview(known: Mapping[str, Table]) -> Grid:
    """Every table with its cells, what it costs, and when it was recorded."""
    grid = Grid("table", "cells", "CPU minutes", "recorded", show_lines=True)
    for name, table in known.items():
        estimate = table.paper.get("minutes")
        if recorded := table.recorded:
            # before the processor's time was kept, the clock's stands in for it
            spent = [own["seconds"].get("cpu", own["seconds"]["all"]) for own in recorded]
            cost = f"{sum(spent) / 60:.1f}"
        else:
            cost = "not known" if estimate is None else f"about {estimate}"
        title = table.paper["title"].partition(" (")[0]
        cells = f"{len(table.cells)}: {listed(table.paper['rows'])}"
        made = provenance(recorded) if recorded else "not recorded"
        grid.add_row(f"{name}\n{title}", cells, cost, made)
    return grid


def run(table: Table, overrides: Sequence[str]) -> None:
    """Runs what is missing of the sweep; its output goes to a file beside the runs.

    Raises:
        InputError: it failed.
    """
    table.folder.mkdir(parents=True, exist_ok=True)
    log = table.folder / "reproduce.log"
    command = [
        *(sys.executable, "-m", "da_framework", "train"),
        *(f"experiments={table.name}", *overrides),
    ]
    with log.open("w") as stream, Console(stderr=True).status("") as status:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        try:
            while True:
                there = sum(1 for _ in table.folder.rglob(results.RESULT))
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
    known = tables()
    if parsed.list or parsed.table is None:
        Console(width=None if sys.stdout.isatty() else 160).print(overview(known))
        return
    if parsed.table not in known:
        raise InputError(f"no table {parsed.table}; the tables are {listed(known)}")
    table = known[parsed.table]
    chosen = table.chosen(parsed.cells)
    stages = [*table.first, table]
    if parsed.record and (parsed.quick or parsed.cells or parsed.seeds or parsed.overrides):
        raise InputError("--record: whole tables with their own keys alone are kept as ours")
    quick = list(table.paper.get("quick", ())) if parsed.quick else []
    given = [*quick, *seeded(table, parsed.seeds), *launched(parsed.jobs), *parsed.overrides]
    # what is of another config stays apart: no cell mixes it
    changed = list(filter(foreign, quick))
    other = ["quick"] if changed else []
    other += [re.sub(r"\W+", "_", word) for word in parsed.overrides if foreign(word)]
    if other:
        *_, table = stages = apart(stages, "-".join(other))
    for stage in stages:
        # earlier stages are of methods of their own
        late = () if stage is table else ("method=", "method.", "hydra.sweep.")
        own = [word for word in given if not word.startswith(late)]
        if other:
            own.append(f"hydra.sweep.dir={stage.folder}")
            own += [f"init_from='{stage.start}'" for one in stages if one.starts(stage)]
        for part in stage.sweeps(chosen, needed=stage.starts(table)) if parsed.cells else [[]]:
            run(stage, [*own, *part])
    rows, columns = table.paper["rows"], table.paper["columns"]
    folders = [stage.folder for stage in stages]
    records = [r for r in report.gather(folders) if r["choices"]["method"] in rows]
    cells = [
        cell
        for cell in reproduced(table, records)
        if (cell.row, cell.column) in chosen or (cell.column not in columns and cell.runs)
    ]
    if changed:
        cells = [replace(cell, inside=None) for cell in cells]
    text = markdown(table, cells, records)
    if changed:
        text += f"\n\nNo verdict: --quick runs it with {listed(changed)}."
    results.write_text(table.folder / f"{table.file.stem}.md", text + "\n")
    print(text)
    if parsed.record:
        keep(table, records)
    whole = not (parsed.quick or parsed.overrides)
    if any(cell.inside is False or (whole and not cell.runs) for cell in cells):
        raise SystemExit(1)


def apart(stages: Sequence[Table], words: str) -> list[Table]:
    """The same in folders of their own, where each begins with the others' runs there."""
    moved = []
    for stage in stages:
        start = stage.start
        for other in stages:
            if other.starts(stage):
                start = start.replace(str(other.folder), f"{other.folder}-{words}", 1)
        moved.append(replace(stage, folder=Path(f"{stage.folder}-{words}"), start=start))
    return moved


def foreign(word: str) -> bool:
    """Whether an override changes more than which cells and seeds are run, and where."""
    return not word.startswith(("seed=", "method=", "hydra", *(f"{key}=" for key in SIDES)))


def seeded(table: Table, words: str | None) -> list[str]:
    """The override that runs these of a table's seeds alone.

    Raises:
        InputError: it has no such seed.
    """
    if words is None:
        return []
    known = list(map(str, table.seeds))
    if not known:
        raise InputError(f"--seeds {words}: the runs of {table.name} go through no seeds")
    if unknown := [word for word in words.split(",") if word not in known]:
        raise InputError(
            f"--seeds {listed(unknown)}: {table.name} has the seeds {listed(known)}; "
            f"seed={','.join(unknown)} without the dashes runs others"
        )
    return [f"seed={words}"]


def launched(jobs: int | None) -> list[str]:
    """The overrides that run so many jobs side by side.

    Raises:
        InputError: there are none, or what launches them is not installed.
    """
    if jobs is None:
        return []
    if jobs < 1:
        raise InputError(f"--jobs {jobs}: at least one run at a time")
    require(f"--jobs {jobs}", *NEEDS[JOBLIB])
    return [JOBLIB, f"hydra.launcher.n_jobs={jobs}"]


def keep(table: Table, records: Sequence[Mapping[str, Any]]) -> None:
    """Keeps runs as ours; with a picture of their readings where the table shows these."""
    report.keep(table.kept, records)
    if not table.paper.get("readings"):
        return
    # matplotlib is imported here: tables do not wait for it
    from da_framework.callbacks import readings as pictures

    bands = {(row, column): table.band(row, paper) for (row, column), paper in table.cells.items()}
    panels: dict[str, dict[str, list[Any]]] = {}
    for (row, column), runs in by_cell(records, tuned=table.tuned).items():
        if (row, column) in bands:
            panels.setdefault(column, {})[row] = [readings(own) for own in runs]
    pictures.draw(table.file.with_suffix(".png"), panels, bands)
