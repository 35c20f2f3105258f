"""Reproductions of papers' tables: their numbers beside ours, and a verdict for every cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

from da_framework.core.errors import InputError, listed
from da_framework.core.rounding import format_fixed, format_signed, round_half_up
from da_framework.results.cells import (
    Cell,
    assign_cells,
    describe_difference,
    flatten,
    sides,
)
from da_framework.results.experiments import MEAN, PaperTable
from da_framework.results.record import without_keys
from da_framework.results.record_schema import Measure, Pick, RunRecord
from da_framework.results.report import MISSING_SEEDS
from da_framework.results.statistics import (
    PICKS,
    accuracy_curve,
    chosen_score,
    format_spread,
    half_interval,
    or_lowest,
    picked_figures,
)
from da_framework.results.tables import keep_records

VERDICTS = {True: "inside", False: "OUTSIDE", None: ""}
READ_OFF = "read off"
"""In the place of a verdict, of a cell whose setting was read off the paper's value."""

CellPlace = tuple[str, str]
"""Where a cell stands: row and column."""


class SeedRun(NamedTuple):
    """A run of a cell, or the mean of several cells' runs with one seed.

    Attributes:
        seed: of the run.
        figures: the table's measure by pick, a fraction of 1; without ``chosen`` where nothing was.
        evaluations: step and accuracy of each; none of a mean.
    """

    seed: int
    figures: Mapping[Pick, float]
    evaluations: Sequence[tuple[int, float]]


@dataclass(frozen=True)
class ReproducedCell:
    """A cell as reproduced.

    Attributes:
        row, column: where it stands.
        paper: its value there, in percent.
        recorded: our recorded value.
        runs: this machine's, a seed each.
        gain: over the baseline's on the same seeds, in points.
        inside: whether this machine's mean is as near as the table says; ``None``: it was not run,
            or the verdict is on another.
    """

    row: str
    column: str
    paper: float
    recorded: float | None
    runs: Sequence[SeedRun]
    gain: float | None
    inside: bool | None

    def lacks_seeds(self, table: PaperTable) -> bool:
        """Whether it has runs, but fewer seeds than the experiment states."""
        return 0 < len(self.runs) < len(table.seeds)

    def verdict(self, table: PaperTable) -> str:
        """What it is said to be; nothing where another cell has the verdict."""
        return READ_OFF if table.paper.read_off else VERDICTS[self.inside]

    def fields(self, table: PaperTable) -> list[str]:
        """Its line of the table, a text a column."""
        means = {pick: percents(self.runs, pick) for pick in PICKS}
        mark = MISSING_SEEDS if self.lacks_seeds(table) else ""
        beside = [rows.get(self.row) for rows in table.paper.beside.values()]
        late = mean_of_last(self.runs, last) if (last := table.paper.readings) else None
        return [
            f"`{self.row}`",
            self.column,
            format_fixed(self.paper, 2),
            *(
                ""
                if values is None
                else format_number(values[table.paper.columns.index(self.column)])
                for values in beside
            ),
            format_number(self.recorded),
            f"{format_mean(means['last'])}{mark}" if self.runs else "",
            *([] if late is None else [format_mean(late) if late else ""]),
            format_fixed(fmean(means["chosen"]), 2) if means["chosen"] else "",
            format_fixed(fmean(means["oracle"]), 2) if means["oracle"] else "",
            "" if self.gain is None else format_signed(self.gain, 2),
            f"{len(self.runs)}{mark}",
            self.verdict(table) if self.runs else "not run",
        ]


def judge_cells(table: PaperTable, records: Sequence[RunRecord]) -> list[ReproducedCell]:
    """Every cell of a table, judged by the records of runs.

    Raises:
        InputError: runs of one cell differ in more than their seeds.
    """
    recorded, reproduced = (
        group_by_column(with_settings_read_off(table, some), tuned=table.paper.tuned)
        for some in (table.recorded, records)
    )
    baseline = str(table.paper.baseline)
    cells = []
    for row, name, columns in list_cell_places(table, reproduced):
        runs = runs_of_cell(table, reproduced, row, columns)
        before = runs_of_cell(table, recorded, row, columns)
        others = {run.seed: run for run in runs_of_cell(table, reproduced, baseline, columns)}
        pairs = [(run, others[run.seed]) for run in runs if run.seed in others]
        gains = [ours - base for ours, base in (percents(pair, "last") for pair in pairs)]
        judged = runs and (name not in table.paper.columns or table.paper.verdict is None)
        judged = judged and not table.paper.read_off
        mean = fmean(percents(runs, "last")) if judged else None
        paper = fmean(table.cells[row, column] for column in columns)
        cells.append(
            ReproducedCell(
                *(row, name, paper),
                recorded=fmean(percents(before, "last")) if before else None,
                runs=runs,
                gain=fmean(gains) if gains and row != baseline else None,
                inside=None
                if mean is None
                else is_within(mean, table.band(row, paper, cells=len(columns))),
            )
        )
    return cells


def with_settings_read_off(table: PaperTable, records: Sequence[RunRecord]) -> list[RunRecord]:
    """The records whose settings are those that were read off for their column."""
    wanted = {
        column: {key: values[place] for key, values in table.paper.read_off.items()}
        for place, column in enumerate(table.paper.columns)
    }
    return [
        record
        for record in records
        if wanted.get(column_of(record), {}).items() <= flatten(record["config"]).items()
    ]


def column_of(record: RunRecord) -> str:
    """The column that a run stands in."""
    return "-".join(map("+".join, sides(record)))


def list_cell_places(
    table: PaperTable, cells: Mapping[CellPlace, object]
) -> list[tuple[str, str, Sequence[str]]]:
    """The cells as a row, a name and columns: one, or those that were run, whose mean is judged."""
    places: list[tuple[str, str, Sequence[str]]] = [
        (row, column, [column]) for row, column in table.cells
    ]
    for row in table.paper.rows if table.paper.judges_means else ():
        every = [column for other, column in table.cells if other == row]
        ran = [column for column in every if (row, column) in cells] or every
        if len(ran) > 1:
            places.append((row, MEAN if ran == every else f"{MEAN} of {len(ran)}", ran))
    return places


def runs_of_cell(
    table: PaperTable, cells: Mapping[CellPlace, list[RunRecord]], row: str, columns: Sequence[str]
) -> list[SeedRun]:
    """The runs of a row's cell; of several columns their mean, one for each seed that all have."""
    columns_runs = [
        [to_seed_run(record, table.paper.measure) for record in cells.get((row, column), [])]
        for column in columns
    ]
    if len(columns) == 1:
        return columns_runs[0]
    by_seed = [{run.seed: run for run in runs} for runs in columns_runs]
    return [
        SeedRun(
            seed,
            {
                pick: fmean(runs[seed].figures[pick] for runs in by_seed)
                for pick in PICKS
                if all(pick in runs[seed].figures for runs in by_seed)
            },
            evaluations=(),
        )
        for seed in sorted(set[int].intersection(*map(set, by_seed)))
    ]


def to_seed_run(record: RunRecord, measure: Measure) -> SeedRun:
    """A run as a cell of a table shows it."""
    figures = {pick: figures[measure] for pick, figures in picked_figures(record)}
    return SeedRun(record["config"]["seed"], figures, accuracy_curve(record))


def format_mean(values: Sequence[float]) -> str:
    """Mean and 95 % t-interval; of fewer than three values the values themselves."""
    return f"{format_fixed(fmean(values), 2)}{format_spread(half_interval(values), values, 2)}"


def is_within(mean: float, band: tuple[float, float]) -> bool:
    """Whether a mean, rounded as tables are, lies where it should."""
    return band[0] - 1e-9 <= float(round_half_up(mean, 2)) <= band[1] + 1e-9


def group_by_column(
    records: Sequence[RunRecord], *, tuned: Sequence[str] = ()
) -> dict[CellPlace, list[RunRecord]]:
    """Records by method and pair of domains.

    Of those with one seed that differ in tuned keys, the one is kept that the validator scores
    highest; of equals the first.

    Raises:
        InputError: those of one cell differ in more than their seeds, or not even in these.
    """
    grouped: dict[CellPlace, list[RunRecord]] = {}
    kinds: dict[CellPlace, Cell] = {}
    untuned: list[Any] = [
        {**record, "config": without_keys(record["config"], tuple(tuned))} for record in records
    ]
    for record, kind in zip(records, assign_cells(untuned), strict=True):
        where = record["choices"]["method"], column_of(record)
        if (other := kinds.setdefault(where, kind)) != kind:
            raise InputError(
                f"runs of the cell {where[0]}, {where[1]} differ in more than their seeds "
                f"({describe_difference(other, kind)}): {grouped[where][0]['command']} and "
                f"{record['command']}"
            )
        others = grouped.setdefault(where, [])
        seed = record["config"]["seed"]
        twice = [before for before in others if before["config"]["seed"] == seed]
        if twice and not tuned:
            both = (run.get("folder", run["command"]) for run in (twice[0], record))
            raise InputError(
                f"two runs of the cell {where[0]}, {where[1]} have the seed {seed}: "
                f"{' and '.join(both)}; move one away"
            )
        others.append(record)
    if tuned:
        return {where: choose_by_validator(several) for where, several in grouped.items()}
    return grouped


def choose_by_validator(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The record of each seed that its validator scores highest; one without a score is last."""
    chosen: dict[int, RunRecord] = {}
    for record in records:
        seed = record["config"]["seed"]
        best = chosen_score(chosen.setdefault(seed, record))
        if or_lowest(chosen_score(record)) > or_lowest(best):
            chosen[seed] = record
    return list(chosen.values())


def percents(runs: Sequence[SeedRun], pick: Pick) -> list[float]:
    """The table's measure of each run, in percent; none where a run has no such pick."""
    if any(pick not in run.figures for run in runs):
        return []
    return [100 * run.figures[pick] for run in runs]


def mean_of_last(runs: Sequence[SeedRun], last: int) -> list[float]:
    """Mean accuracy of each run's last evaluations in percent; none if a run has fewer."""
    curves = [[100 * value for step, value in run.evaluations if step > 0] for run in runs]
    return [fmean(curve[-last:]) for curve in curves] if all(len(c) >= last for c in curves) else []


def format_number(value: float | None) -> str:
    """A number as it stands in a table; empty if there is none."""
    return "" if value is None else format_fixed(value, 2)


def render_reproduction(
    table: PaperTable, cells: Sequence[ReproducedCell], records: Sequence[RunRecord] = ()
) -> str:
    """The table with its verdicts, and notes on the records that it was made of."""
    late = [f"mean of the last {last}"] if (last := table.paper.readings) else []
    reference = table.paper.reference
    whose = "The paper" if reference == "paper" else reference
    columns = ["row", "cell", reference, *table.paper.beside, "recorded", "ours, last"]
    head = [*columns, *late, "chosen", "oracle", "gain", "seeds", "verdict"]
    lines = [head, ["---"] * len(head), *(cell.fields(table) for cell in cells)]
    judged = [cell for cell in cells if cell.inside is not None]
    missing = sum(not cell.runs for cell in cells)
    good = sum(bool(cell.inside) for cell in judged)
    reason = table.paper.reason
    bounds = [f"{row} {low:g} to {high:g}" for row, (low, high) in table.paper.bands.items()]
    if table.paper.rows.keys() - table.paper.bands.keys():
        bounds.append(f"{table.paper.tolerance} points")
    if table.paper.mean_tolerance is not None:
        bounds.append(f"{table.paper.mean_tolerance} of means")
    bound = listed(bounds)
    if any(cell.column.startswith(f"{MEAN} of ") for cell in judged):
        bound += ", of fewer columns by the root of how many times fewer they are"
    return "\n".join(
        [
            f"{table.paper.title}. {whose}'s values are {table.paper.known}.",
            "",
            *(f"| {' | '.join(fields)} |" for fields in lines),
            "",
            f"{good} of {len(judged)} cells within {bound}"
            f"{f' ({reason})' if reason else ''}; {missing} not run."
            if not table.paper.read_off
            else f"{read_off_note(table, cells)} {missing} not run.",
            *reproduction_notes(table, cells, records),
        ]
    )


def read_off_note(table: PaperTable, cells: Sequence[ReproducedCell]) -> str:
    """What was read off the paper's values, and how many cells are near them for it."""
    ran = [cell for cell in cells if cell.runs]
    near = sum(
        is_within(fmean(percents(cell.runs, "last")), table.band(cell.row, cell.paper))
        for cell in ran
    )
    settings = listed(f"`{key}` {listed(values)}" for key, values in table.paper.read_off.items())
    return (
        "No cell has a verdict, for its setting was read off the paper's value in it: "
        f"{settings}, in the order of the columns. So {near} of {len(ran)} are within "
        f"{table.paper.tolerance} points;"
    )


def tuning_note(table: PaperTable, records: Sequence[RunRecord]) -> str:
    """The values that each row was tuned over, and the validator that chose among them."""
    tried: dict[str, dict[str, dict[str, None]]] = {}
    for record in records:
        flat = flatten(record["config"])
        for key in table.paper.tuned:
            if key in flat:
                keys = tried.setdefault(record["choices"]["method"], {})
                keys.setdefault(key, {})[str(flat[key])] = None
    validator = records[0]["config"]["validator"]["_target_"].rpartition(".")[2]
    rows = [
        f"`{row}` over {listed(f'`{key}` {listed(values)}' for key, values in keys.items())}"
        for row, keys in tried.items()
    ]
    return f"Tuned for each cell by `{validator}`, without target labels: {'; '.join(rows)}."


def reproduction_notes(
    table: PaperTable, cells: Sequence[ReproducedCell], records: Sequence[RunRecord]
) -> list[str]:
    """The notes below a table: tuned keys, missing seeds, and when our values were recorded."""
    notes = [tuning_note(table, records)] if table.paper.tuned and records else []
    if any(cell.lacks_seeds(table) for cell in cells):
        stated = f"fewer seeds than the experiment states ({listed(table.seeds)})"
        notes.append(f"{MISSING_SEEDS}: {stated}; what is missing is run by the same command.")
    if recorded := table.recorded:
        notes.append(f"Recorded: {describe_provenance(recorded)}.")
    return [line for note in notes for line in ("", note)]


def describe_provenance(records: Sequence[RunRecord]) -> str:
    """When records were made, and with which versions of torch and of this package."""
    days = sorted(record["finished"][:10] for record in records if "finished" in record)
    dates = [" to ".join(dict.fromkeys([days[0], days[-1]]))] if days else []
    dates += ["date not known"] * (len(days) < len(records))
    kinds: dict[str, set[str]] = {"torch": set(), "da_framework": set(), "code": set()}
    for record in records:
        versions = record["environment"]["versions"]
        kinds["torch"].add(versions["torch"])
        # run from a checkout, it has no version
        if "da_framework" in versions:
            kinds["da_framework"].add(versions["da_framework"])
        else:
            kinds["code"].add(record["code"][:8])
    parts = [f"{name} {listed(sorted(versions))}" for name, versions in kinds.items() if versions]
    return "; ".join([listed(dates), *parts])


def record_table(table: PaperTable, records: Sequence[RunRecord]) -> None:
    """Keeps runs as ours; with a figure of their evaluations where the table shows these."""
    keep_records(table.kept, records)
    if not table.paper.readings:
        return
    from da_framework.results.curves_figure import draw_curves
    from da_framework.results.figure_process import draw_apart

    bands = {(row, column): table.band(row, paper) for (row, column), paper in table.cells.items()}
    panels: dict[str, dict[str, list[list[tuple[int, float]]]]] = {}
    ours = group_by_column(with_settings_read_off(table, records), tuned=table.paper.tuned)
    for (row, column), runs in ours.items():
        if (row, column) in bands:
            panels.setdefault(column, {})[row] = [accuracy_curve(record) for record in runs]
    draw_apart(draw_curves, table.file.with_suffix(".png"), panels, bands)
