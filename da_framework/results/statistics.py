"""Statistics of cells: means and intervals over seeds, and paired tests."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from da_framework.core.errors import listed
from da_framework.core.rounding import format_fixed, format_p, format_percent, format_signed
from da_framework.results.cells import Cell, Runs, cell_settings, group_by_cell
from da_framework.results.record_schema import CurvePoint, Pick, RunRecord, TargetFigures

PICKS: Mapping[Pick, str] = {
    "last": "last step",
    "chosen": "chosen by {validator}",
    "oracle": "oracle (uses target labels)",
}


FEWEST = 3
"""Seeds from which on there are intervals and tests; of fewer the values themselves are shown."""
NO_LABELS = "no labels: not known"
"""What is said in the place of an accuracy that nobody knows."""
LEVEL = 0.05
"""Of p-values: below it a difference is significant."""


@dataclass(frozen=True)
class Row:
    """A cell as tables show it.

    Attributes:
        task: source and target.
        method: its name.
        setting: what else tells it from the other rows.
        runs: by seed.
        missing: seeds that others of this task have.
        figures: by pick; none where a run has none.
        gains: by method: how far the last step is above it.
        negative_transfer: by how much it is below which baselines, and whether a test says so;
            ``no``, or empty if there is none.
        scores: the validator's of what it has chosen, a seed each; none where a run has none.
    """

    task: str
    method: str
    setting: tuple[str, ...]
    runs: Runs
    missing: Sequence[int]
    figures: Mapping[Pick, "Mean | None"]
    gains: Mapping[str, "Gain"]
    negative_transfer: str
    scores: tuple[float, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether its accuracy is: whether its targets have labels."""
        return self.figures["last"] is not None

    @property
    def name(self) -> str:
        """What it is called beside others: method and setting."""
        return " ".join([self.method, ", ".join(self.setting)]).rstrip()


class Mean(NamedTuple):
    """A mean over seeds, in percent.

    Attributes:
        mean: of the values.
        half: half of the width of its 95 % t-interval; ``None`` for fewer than three values.
        values: a seed each.
    """

    mean: float
    half: float | None
    values: tuple[float, ...]

    def __str__(self) -> str:
        return f"{format_fixed(self.mean)}{format_spread(self.half, self.values)}"


class Gain(NamedTuple):
    """The gain over another method on the same seeds and in otherwise the same config, in points.

    Attributes:
        mean: over the seeds: the effect.
        half: half of the width of its 95 % t-interval; ``None`` for fewer than three seeds.
        p: of the paired t-test, corrected by Holm for all that are compared with this method;
            ``None`` where the seeds do not differ in their gain, or there are fewer than three.
        values: a seed each.
    """

    mean: float
    half: float | None
    p: float | None
    values: tuple[float, ...]

    @property
    def worst(self) -> float:
        """On a single seed."""
        return min(self.values)

    def __str__(self) -> str:
        few = ", ".join(map(format_signed, self.values))
        spread = (
            f" ± {format_fixed(self.half)} (worst {format_signed(self.worst)})"
            if self.half is not None
            else f" ({few})"
            if len(self.values) > 1
            else ""
        )
        p = "" if self.p is None else f", {format_p(self.p)}"
        return f"{format_signed(self.mean)}{spread}{p}, n = {len(self.values)}"


def format_spread(half: float | None, values: Sequence[float], digits: int = 1) -> str:
    """What stands behind a mean: its interval, or the values where they are too few for one."""
    if half is not None:
        return f" ± {format_fixed(half, digits)}"
    few = ", ".join(format_fixed(value, digits) for value in values)
    return f" ({few})" if len(values) > 1 else ""


Pair = tuple[Cell, Cell]
"""A cell, and the one that it is compared with."""


def compare_runs(
    records: Sequence[RunRecord],
    *,
    against: Sequence[str] = (),
    common: Sequence[str] = (),
    shared: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[Row]:
    """Every cell with its statistics, task by task.

    Args:
        records: of the runs.
        against: methods that the others are compared with.
        common: what no row's setting need say.
        shared: what none of a task's rows need say, by task.

    Raises:
        InputError: two runs of one cell have the same seed.
    """
    cells = group_by_cell(records)
    seeds: dict[str, set[int]] = {}
    for cell, runs in cells.items():
        seeds.setdefault(cell.task, set()).update(runs)
    settings = cell_settings(cells, common, shared)
    baselines = [cell.method for cell, runs in cells.items() if is_baseline(runs)]
    compared = {
        other: gains_per_cell(compare_with(cells, other))
        for other in dict.fromkeys([*against, *baselines])
    }
    rows = [
        Row(
            *(cell.task, cell.method, settings[cell], runs),
            missing=sorted(seeds[cell.task] - runs.keys()),
            figures={pick: mean_accuracy(runs, pick) for pick in PICKS},
            gains={
                other: gains[0][1]
                for other in against
                if len(gains := compared[other].get(cell, [])) == 1
            },
            negative_transfer=describe_negative_transfer(
                {
                    base: gain
                    for gains in compared.values()
                    for base, gain in gains.get(cell, [])
                    if is_baseline(cells[base])
                }
            )
            if not is_baseline(runs)
            else "",
            scores=chosen_scores(runs),
        )
        for cell, runs in cells.items()
    ]
    # where no label is known, by the validator; otherwise as they came
    place = {task: number for number, task in enumerate(seeds)}
    return sorted(rows, key=lambda row: (place[row.task], -worth_unlabelled(row)))


def worth_unlabelled(row: Row) -> float:
    """What a row is ordered by within its task: 0 where its accuracy is known."""
    if row.is_known:
        return 0.0
    return statistics.fmean(row.scores) if row.scores else -math.inf


def compare_with(cells: Mapping[Cell, Runs], method: str) -> dict[Pair, Gain]:
    """The gains of all cells over those of a method, where the config is otherwise the same."""
    bases: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        if cell.method == method:
            bases.setdefault((cell.task, cell.rest), []).append(cell)
    differences = {
        (cell, base): paired_differences(runs, cells[base])
        for cell, runs in cells.items()
        for base in bases.get((cell.task, cell.rest), ())
        if base != cell
    }
    return paired_gains({pair: points for pair, points in differences.items() if points})


def gains_per_cell(gains: Mapping[Pair, Gain]) -> dict[Cell, list[tuple[Cell, Gain]]]:
    """The same by the cell that gains, each with what it gains over."""
    per_cell: dict[Cell, list[tuple[Cell, Gain]]] = {}
    for (cell, base), gain in gains.items():
        per_cell.setdefault(cell, []).append((base, gain))
    return per_cell


def to_frame(rows: Sequence[Row], common: Sequence[str] = ()) -> Any:
    """A table as numbers, a column a figure: a pandas ``DataFrame``.

    Args:
        rows: of the table.
        common: what all runs have in common, as overrides.
    """
    import pandas

    lines = []
    for row in rows:
        line: dict[str, Any] = {
            "task": row.task,
            "method": row.method,
            "setting": ", ".join(row.setting),
            "common": ", ".join(common),
        }
        line |= {"seeds": len(row.runs), "missing_seeds": " ".join(map(str, row.missing))}
        for pick, figure in row.figures.items():
            mean, half = (None, None) if figure is None else (figure.mean, figure.half)
            line |= {pick: mean, f"{pick}_half_95": half}
        for other, gain in row.gains.items():
            line |= {f"above_{other}": gain.mean, f"above_{other}_half_95": gain.half}
            line |= {f"above_{other}_worst": gain.worst, f"above_{other}_n": len(gain.values)}
            line |= {f"above_{other}_p_holm": gain.p}
        line["validator_score"] = statistics.fmean(row.scores) if row.scores else None
        lines.append(line | {"negative_transfer": row.negative_transfer})
    return pandas.DataFrame(lines)


def target_accuracy(record: RunRecord, pick: Pick = "last") -> float | None:
    """Accuracy on the target, a fraction of 1; none where nothing is picked or no label known."""
    figures: Mapping[str, Any] = record["target"].get(pick) or {}
    accuracy = figures.get("accuracy")
    return None if accuracy is None else float(accuracy)


def picked_figures(record: RunRecord) -> list[tuple[Pick, TargetFigures]]:
    """The picks that a run has, with their figures on the target; one may have no choice."""
    target = record["target"]
    return [(pick, figures) for pick in PICKS if (figures := target.get(pick)) is not None]


def chosen_scores(runs: Runs) -> tuple[float, ...]:
    """The validator's scores of what runs have chosen; none where one has none."""
    scores = [score for run in runs.values() if (score := chosen_score(run)) is not None]
    return tuple(scores) if len(scores) == len(runs) else ()


def chosen_score(record: RunRecord) -> float | None:
    """The validator's score of the evaluation that it has chosen, if it has."""
    return record["target"].get("chosen", {}).get("score")


def or_lowest(score: float | None) -> float:
    """A score to compare: that of none is the lowest."""
    return -math.inf if score is None else score


def format_accuracy(figures: Mapping[str, Any], digits: int = 1) -> str:
    """The accuracy of these figures in percent, or that no label is known."""
    accuracy = figures.get("accuracy")
    return NO_LABELS if accuracy is None else format_percent(accuracy, digits)


def format_figure(value: float | None, digits: int = 4) -> str:
    """A figure as tables show it; a dash where there is none."""
    return "-" if value is None else format_fixed(value, digits)


def accuracy_curve(record: RunRecord) -> list[tuple[int, float]]:
    """Step and target accuracy, a fraction of 1, of every evaluation that the record has."""
    if "readings" in record:
        return [(int(step), float(value)) for step, value in record["readings"]]
    name: Literal["oracle/accuracy"] = "oracle/accuracy"
    evaluations = record.get("curve", ())
    return [(point["step"], float(point[name])) for point in evaluations if name in point]


def named_figures(point: CurvePoint, prefix: str) -> dict[str, float]:
    """The figures of a point of the curve whose names begin so, by the rest of their names.

    Those that are null, as numbers that are not finite are written, are left out.
    """
    figures: Mapping[str, Any] = point
    return {
        name.removeprefix(prefix): float(value)
        for name, value in figures.items()
        if name.startswith(prefix) and value is not None
    }


def figures_per_evaluation(record: RunRecord, prefix: str) -> dict[str, list[float | None]]:
    """Figures whose names begin so, of every evaluation with a known accuracy, by the rest.

    None where an evaluation does not have one.
    """
    evaluations = [
        named_figures(point, prefix)
        for point in record.get("curve", ())
        if "oracle/accuracy" in point
    ]
    names = sorted({name for figures in evaluations for name in figures})
    return {name: [figures.get(name) for figures in evaluations] for name in names}


def last_diagnosis(record: RunRecord) -> dict[str, float]:
    """The figures of its last diagnosis, if it has one."""
    if "diagnosis" in record:
        return dict(record["diagnosis"])
    every = [named_figures(point, "diagnosis/") for point in record.get("curve", ())]
    return next((figures for figures in reversed(every) if figures), {})


def mean_over_seeds(values: Sequence[float]) -> Mean:
    """Fractions of 1 as mean and 95 % t-interval, in percent."""
    percents = tuple(100 * value for value in values)
    return Mean(statistics.fmean(percents), half_interval(percents), percents)


def mean_accuracy(runs: Runs, pick: Pick = "last") -> Mean | None:
    """Target accuracy over seeds; none where a run has none."""
    known = [a for run in runs.values() if (a := target_accuracy(run, pick)) is not None]
    return mean_over_seeds(known) if len(known) == len(runs) else None


def half_interval(values: Sequence[float]) -> float | None:
    """Half the width of the 95 % t-interval of a mean; none for fewer than three values.

    Every interval of tables, figures and the page is this one.
    """
    n = len(values)
    if n < FEWEST:
        return None
    return t_quantile(n) * statistics.stdev(values) / math.sqrt(n)


def t_quantile(n: int) -> float:
    """By how many standard errors the 95 % interval of a mean of so many values extends."""
    # scipy is imported here: showing a result does not wait for it
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 0.975))


def paired_differences(runs: Runs, base: Runs) -> list[float]:
    """Differences of the last step in points, one for each seed that both have."""
    return [
        100 * (ours - theirs)
        for seed in runs
        if seed in base
        and (ours := target_accuracy(runs[seed])) is not None
        and (theirs := target_accuracy(base[seed])) is not None
    ]


def paired_gains(differences: Mapping[Pair, Sequence[float]]) -> dict[Pair, Gain]:
    """Paired differences as gains; those that can be tested are corrected for one another."""
    # of differences this is the paired test; without any spread there is nothing to test against
    tested = {
        pair: points
        for pair, points in differences.items()
        if len(points) >= FEWEST and max(points) - min(points) > 1e-9
    }
    raw = [paired_test(points) for points in tested.values()]
    p = dict(zip(tested, holm_correction(raw), strict=True))
    return {
        pair: Gain(statistics.fmean(points), half_interval(points), p.get(pair), tuple(points))
        for pair, points in differences.items()
    }


def paired_test(differences: Sequence[float]) -> float:
    """The two-sided p-value of Student's test that differences have the mean 0."""
    from scipy.special import stdtr  # scipy.stats takes a second to be imported

    error = statistics.stdev(differences) / math.sqrt(len(differences))
    return float(2 * stdtr(len(differences) - 1, -abs(statistics.fmean(differences) / error)))


def holm_correction(p: Sequence[float]) -> list[float]:
    """p-values of several tests, each corrected for the others.

    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
    Statistics 1979.
    """
    corrected, largest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        corrected[index] = largest
    return corrected


def describe_negative_transfer(gains: Mapping[Cell, Gain]) -> str:
    """By how many points a cell is below which baselines, and what the paired test says of it.

    Args:
        gains: of the cell over baselines' cells.
    """
    lowest: dict[str, Gain] = {}
    for base, gain in gains.items():
        if gain.mean < -1e-9:  # not from rounding alone
            worse = base.method not in lowest or gain.mean < lowest[base.method].mean
            lowest |= {base.method: gain} if worse else {}
    verdicts: dict[str, list[str]] = {"yes": [], "not significant": [], "not tested": []}
    for name, gain in lowest.items():
        below = f"`{name}` by {format_fixed(-gain.mean)}"
        tested = "not significant" if gain.p is not None else "not tested"
        significant = gain.p is not None and gain.p < LEVEL
        verdicts["yes" if significant else tested].append(below)
    parts = [
        f"yes: below {listed(names)}" if verdict == "yes" else f"below {listed(names)}, {verdict}"
        for verdict, names in verdicts.items()
        if names
    ]
    return "; ".join(parts) or ("no" if gains else "")


def is_baseline(runs: Runs) -> bool:
    """Whether their method transfers nothing; records from before that was kept say no."""
    return any(run.get("baseline", False) for run in runs.values())
