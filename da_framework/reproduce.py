"""``da reproduce``: a paper's table, its numbers beside ours, and a verdict for every cell."""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console

from da_framework import report, results
from da_framework.cells import Cell as Kind
from da_framework.cells import cell as kind_of
from da_framework.cells import difference
from da_framework.errors import InputError, PreemptedError, listed
from da_framework.plugins import conf_dir

RECORDED = ".recorded.json"
MARKS = {True: "inside", False: "OUTSIDE", None: "not run"}


@dataclass(frozen=True)
class Table:
    """A paper's table as an experiment states it.

    Attributes:
        name: of the experiment.
        paper: its ``paper:`` part: ``title``, ``known`` (how surely), ``columns``
            (``source-target``), ``rows`` (a method's values in percent), ``tolerance`` (in points)
            or ``bands`` (lowest and highest of a row) and the ``reason`` of it; maybe ``baseline``,
            a row, ``quick``, overrides, and ``first``, experiments whose runs come before its own:
            earlier stages, or rows with keys of their own.
        folder: that its sweep writes to.
        file: that says all this.
    """

    name: str
    paper: Mapping[str, Any]
    folder: Path
    file: Path

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
    def first(self) -> list["Table"]:
        """The experiments whose runs come before its own; they state no values."""
        return [loaded(name) for name in self.paper.get("first", ())]

    def band(self, row: str, paper: float) -> tuple[float, float]:
        """The lowest and highest values that reproduce a paper's."""
        if band := self.paper.get("bands", {}).get(row):
            return float(band[0]), float(band[1])
        return paper - self.paper["tolerance"], paper + self.paper["tolerance"]


@dataclass(frozen=True)
class Cell:
    """A cell as reproduced.

    Attributes:
        row, column: where it stands.
        paper: its value there, in percent.
        recorded: our recorded value.
        runs: the records of this machine's runs.
        gain: over the baseline's on the same seeds, in points.
        inside: whether this machine's mean is as near as the table says; ``None``: there is none.
    """

    row: str
    column: str
    paper: float
    recorded: float | None
    runs: Sequence[Mapping[str, Any]]
    gain: float | None
    inside: bool | None

    def words(self) -> list[str]:
        """As the table shows it."""
        own = {pick: figures(self.runs, pick) for pick in ("last", "chosen", "oracle")}
        last = spread(own["last"]) if self.runs else ""
        return [
            f"`{self.row}`",
            self.column,
            f"{self.paper:.2f}",
            "" if self.recorded is None else f"{self.recorded:.2f}",
            last,
            *(f"{fmean(own[pick]):.2f}" if self.runs else "" for pick in ("chosen", "oracle")),
            "" if self.gain is None else f"{self.gain:+.2f}",
            str(len(self.runs)),
            MARKS[self.inside],
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
    return Table(name, node.get("paper", {}), Path(node["hydra"]["sweep"]["dir"]), file)


def reproduced(table: Table, records: Sequence[Mapping[str, Any]]) -> list[Cell]:
    """Every cell of a table, judged by the records of runs.

    Raises:
        InputError: runs of one cell differ in more than their seeds.
    """
    kept = table.file.with_name(f"{table.file.stem}{RECORDED}")
    recorded = by_cell(report.kept(kept)) if kept.is_file() else {}
    own = by_cell(records)
    base = str(table.paper.get("baseline"))
    cells = []
    for (row, column), paper in table.cells.items():
        runs = own.get((row, column), [])
        before = recorded.get((row, column), [])
        others = {r["config"]["seed"]: r for r in own.get((base, column), [])}
        pairs = [(r, others[r["config"]["seed"]]) for r in runs if r["config"]["seed"] in others]
        gains = [figures([one], "last")[0] - figures([other], "last")[0] for one, other in pairs]
        mean = fmean(figures(runs, "last")) if runs else None
        cells.append(
            Cell(
                *(row, column, paper),
                recorded=fmean(figures(before, "last")) if before else None,
                runs=runs,
                gain=fmean(gains) if gains and row != base else None,
                inside=None if mean is None else within(mean, table.band(row, paper)),
            )
        )
    return cells


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
    records: Sequence[Mapping[str, Any]],
) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """Records by method and pair of domains.

    Raises:
        InputError: those of one cell differ in more than their seeds.
    """
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    kinds: dict[tuple[str, str], Kind] = {}
    for record in records:
        sides = ("+".join(record["domains"][side]) for side in ("source", "target"))
        where = record["choices"]["method"], "-".join(sides)
        kind = kind_of(record)
        if (other := kinds.setdefault(where, kind)) != kind:
            raise InputError(
                f"runs of the cell {where[0]}, {where[1]} differ in more than their seeds "
                f"({difference(other, kind)}): {found[where][0]['command']} and "
                f"{record['command']}"
            )
        found.setdefault(where, []).append(record)
    return found


def figures(records: Sequence[Mapping[str, Any]], pick: str) -> list[float]:
    """Accuracy of each record in percent."""
    return [100 * record["target"][pick]["accuracy"] for record in records]


def markdown(table: Table, cells: Sequence[Cell]) -> str:
    """The table with its verdicts."""
    columns = ["row", "cell", "paper", "recorded", "ours, last", "chosen", "oracle", "gain"]
    head = [*columns, "seeds", "verdict"]
    lines = [head, ["---"] * len(head), *(cell.words() for cell in cells)]
    judged = [cell for cell in cells if cell.inside is not None]
    good = sum(bool(cell.inside) for cell in judged)
    reason = table.paper.get("reason", "")
    bands = [
        f"{row} {low:g} to {high:g}" for row, (low, high) in table.paper.get("bands", {}).items()
    ]
    bound = listed(bands) if bands else f"{table.paper['tolerance']} points"
    return "\n".join(
        [
            f"{table.paper['title']}. The paper's values are {table.paper['known']}.",
            "",
            *(f"| {' | '.join(words)} |" for words in lines),
            "",
            f"{good} of {len(judged)} cells within {bound}"
            f"{f' ({reason})' if reason else ''}; {len(cells) - len(judged)} not run.",
        ]
    )


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
    """``da reproduce TABLE``: runs what is missing; ends with 1 if a cell is outside its band."""
    parser = argparse.ArgumentParser(prog="da reproduce", description=main.__doc__)
    parser.add_argument("table", nargs="?", help="an experiment that states a paper's values")
    parser.add_argument("overrides", nargs="*", help="of the sweep: method=jda seed=1,2,3")
    parser.add_argument("--list", action="store_true", help="the tables there are")
    parser.add_argument("--quick", action="store_true", help="some cells alone, cheap ones")
    parser.add_argument("--record", action="store_true", help="keep these numbers as ours")
    parsed = parser.parse_intermixed_args(arguments)
    known = tables()
    if parsed.list or parsed.table is None:
        for name, own in known.items():
            kept = own.file.with_name(f"{own.file.stem}{RECORDED}")
            state = "recorded" if kept.is_file() else "not recorded"
            print(f"{name}: {own.paper['title']}; {len(own.cells)} cells, {state}")
        return
    if parsed.table not in known:
        raise InputError(f"no table {parsed.table}; the tables are {listed(known)}")
    table = known[parsed.table]
    quick = list(table.paper.get("quick", ())) if parsed.quick else []
    overrides = [*quick, *parsed.overrides]
    for stage in table.first:  # of methods of its own, in a place of its own
        run(stage, [o for o in overrides if not o.startswith(("method", "hydra.sweep"))])
    run(table, overrides)
    rows, folders = table.paper["rows"], [own.folder for own in (*table.first, table)]
    records = [r for r in report.gather(folders) if r["choices"]["method"] in rows]
    cells = reproduced(table, records)
    text = markdown(table, cells)
    results.write_text(table.folder / f"{table.file.stem}.md", text + "\n")
    print(text)
    if parsed.record:
        report.keep(table.file.with_name(f"{table.file.stem}{RECORDED}"), records)
    whole = not (parsed.quick or parsed.overrides)
    if any(cell.inside is False or (whole and cell.inside is None) for cell in cells):
        raise SystemExit(1)
