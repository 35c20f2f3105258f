"""Statistics of runs: cells of those that differ in their seed alone, means, paired tests."""

import json
import math
import re
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from da_framework.config.relevance import relevant_config
from da_framework.config.run_names import relevant_overrides
from da_framework.core.errors import InputError, listed
from da_framework.results.record import without_keys
from da_framework.results.record_schema import CurvePoint, Pick, RunRecord, TargetFigures

Runs = Mapping[int, RunRecord]
"""The runs of one config, by seed."""
Value = int | float | str
"""Of a config key: a number as it is, all else as text."""

PICKS: Mapping[Pick, str] = {
    "last": "last step",
    "chosen": "chosen by {validator}",
    "oracle": "oracle (uses target labels)",
}


class Cell(NamedTuple):
    """What runs share that differ in their seed alone.

    Attributes:
        task: source and target.
        method: its name.
        rest: all that can change a number, but for the seed and the method.
        config: the same with the method's own keys.
        value: of a key that is kept out of both; ``None`` where there is no such key.
    """

    task: str
    method: str
    rest: str
    config: str
    value: Value | None


def cell_of(record: RunRecord, *, over: str = "") -> Cell:
    """The cell of a run, by its resolved config; ``over`` is the key whose value stands apart."""
    config = without_keys(relevant_config(record["config"]), ("seed", over))
    seed = rf"(?<!\d){record['config']['seed']}(?!\d)"
    for key in ("init_from", "teachers"):  # each seed goes on from its own
        if config.get(key):
            config[key] = re.sub(seed, "*", json.dumps(config[key]))
    if config["dataset"].get("split_seed") == record["config"]["seed"]:
        del config["dataset"]["split_seed"]  # drawn anew for every seed
    apart = {name: value for name, value in config.items() if name != "method"}
    return Cell(
        task_of(record),
        record["choices"]["method"],
        json.dumps(apart, sort_keys=True),
        json.dumps(config, sort_keys=True),
        flatten(record["config"]).get(over) if over else None,
    )


def task_of(record: RunRecord) -> str:
    """Source and target of a run: ``mnist → usps``."""
    return " → ".join("+".join(names) for names in sides(record))


def sides(record: RunRecord) -> tuple[list[str], list[str]]:
    """The names of the source's domains, and of the target's."""
    return record["domains"]["source"], record["domains"]["target"]


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Value]:
    """The values of a config by dotted key."""
    values: dict[str, Value] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            values |= flatten(value, f"{prefix}{name}.")
        else:
            plain = isinstance(value, int | float | str) and not isinstance(value, bool)
            values[f"{prefix}{name}"] = value if plain else json.dumps(value)
    return values


def group_by_cell(
    records: Sequence[RunRecord], *, over: str = ""
) -> dict[Cell, dict[int, RunRecord]]:
    """The runs of each cell, by seed.

    Raises:
        InputError: two of them have the same seed.
    """
    cells: dict[Cell, dict[int, RunRecord]] = {}
    for record in records:
        runs = cells.setdefault(cell_of(record, over=over), {})
        seed = record["config"]["seed"]
        if seed in runs:
            raise InputError(
                f"two runs of one config with seed {seed}: {runs[seed]['command']} and "
                f"{record['command']}; report one folder at a time"
            )
        runs[seed] = record
    return cells


@dataclass(frozen=True)
class Row:
    """A cell as tables show it.

    Attributes:
        task: source and target.
        method: its name.
        setting: what else a reader tells it by.
        runs: by seed.
        missing: seeds that others of this task have.
        figures: by pick; none where a run has no such pick.
        gains: by method: how far the last step is above it.
        negative_transfer: by how much it is below which baselines; ``no``, or empty if there is
            none.
    """

    task: str
    method: str
    setting: tuple[str, ...]
    runs: Runs
    missing: Sequence[int]
    figures: Mapping[Pick, "Mean | None"]
    gains: Mapping[str, "Gain"]
    negative_transfer: str


class Mean(NamedTuple):
    """A mean over seeds, in percent.

    Attributes:
        mean: of the values.
        half: half of the width of its 95 % t-interval; ``None`` for a single value.
    """

    mean: float
    half: float | None

    def __str__(self) -> str:
        return f"{self.mean:.1f}" if self.half is None else f"{self.mean:.1f} ± {self.half:.1f}"


class Gain(NamedTuple):
    """The gain over another method on the same seeds and in otherwise the same config, in points.

    Attributes:
        mean: over the seeds.
        worst: on a single seed.
        p: of the paired t-test, corrected by Holm for all that are compared with this method;
            ``None`` where the seeds do not differ in their gain, or there is one.
    """

    mean: float
    worst: float
    p: float | None

    def __str__(self) -> str:
        p = "" if self.p is None else ", p < .001" if self.p < 0.001 else f", p = {self.p:.3f}"
        return f"{self.mean:+.1f} ({self.worst:+.1f}){p.replace('0.', '.', 1)}"


def compare_runs(records: Sequence[RunRecord], *, against: Sequence[str] = ()) -> list[Row]:
    """Every cell with its statistics, task by task.

    Raises:
        InputError: two runs of one cell have the same seed.
    """
    cells = group_by_cell(records)
    bases: dict[str, dict[Cell, Runs]] = {other: {} for other in against}
    below: dict[Cell, str] = {}
    for cell, runs in cells.items():
        alike = {c: cells[c] for c in cells if (c.task, c.rest) == (cell.task, cell.rest)}
        below[cell] = describe_negative_transfer(runs, alike)
        for other, compared in bases.items():
            same = [base for c, base in alike.items() if c.method == other]
            if len(same) == 1 and same[0] is not runs and paired_differences(runs, same[0]):
                compared[cell] = same[0]
    gains = {
        other: paired_gains(
            {cell: paired_differences(cells[cell], base) for cell, base in compared.items()}
        )
        for other, compared in bases.items()
    }
    tasks = list(dict.fromkeys(cell.task for cell in cells))
    seeds = {t: {s for cell in cells if cell.task == t for s in cells[cell]} for t in tasks}
    settings = disambiguated_settings(cells)
    return [
        Row(
            *(cell.task, cell.method, settings[cell], runs),
            missing=sorted(seeds[cell.task] - runs.keys()),
            figures={
                pick: mean_over_seeds([target_accuracy(run, pick) for run in runs.values()])
                if all(pick in run["target"] for run in runs.values())
                else None
                for pick in PICKS
            },
            gains={other: points[cell] for other, points in gains.items() if cell in points},
            negative_transfer=below[cell],
        )
        for cell, runs in sorted(cells.items(), key=lambda item: tasks.index(item[0].task))
    ]


def to_frame(rows: Sequence[Row]) -> Any:
    """A table as numbers, a column a figure: a pandas ``DataFrame``."""
    import pandas

    lines = []
    for row in rows:
        line: dict[str, Any] = {
            "task": row.task,
            "method": row.method,
            "setting": ", ".join(row.setting),
        }
        line |= {"seeds": len(row.runs), "missing_seeds": " ".join(map(str, row.missing))}
        for pick, figure in row.figures.items():
            mean, half = figure or (None, None)
            line |= {pick: mean, f"{pick}_half_95": half}
        for other, gain in row.gains.items():
            line |= {f"above_{other}": gain.mean, f"above_{other}_worst": gain.worst}
            line |= {f"above_{other}_p_holm": gain.p}
        lines.append(line | {"negative_transfer": row.negative_transfer})
    return pandas.DataFrame(lines)


def target_accuracy(record: RunRecord, pick: Pick = "last") -> float:
    """Accuracy on the target, a fraction of 1."""
    return float(record["target"][pick]["accuracy"])


def picked_figures(record: RunRecord) -> list[tuple[Pick, TargetFigures]]:
    """The picks that a run has, with their figures on the target; one may have no choice."""
    target = record["target"]
    return [(pick, figures) for pick in PICKS if (figures := target.get(pick)) is not None]


def chosen_score(record: RunRecord) -> float | None:
    """The validator's score of the evaluation that it has chosen, if it has."""
    return record["target"].get("chosen", {}).get("score")


def or_lowest(score: float | None) -> float:
    """A score to compare: that of none is the lowest."""
    return -math.inf if score is None else score


def format_figure(value: float | None, digits: int = 4) -> str:
    """A figure as tables show it; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def accuracy_curve(record: RunRecord) -> list[tuple[int, float]]:
    """Step and target accuracy, a fraction of 1, of every evaluation that the record has."""
    if "readings" in record:
        return [(int(step), float(value)) for step, value in record["readings"]]
    name: Literal["oracle/accuracy"] = "oracle/accuracy"
    return [(point["step"], point[name]) for point in record.get("curve", ()) if name in point]


def named_figures(point: CurvePoint, prefix: str) -> dict[str, float]:
    """The figures of a point of the curve whose names begin so, by the rest of their names."""
    figures: Mapping[str, Any] = point
    return {
        name.removeprefix(prefix): value
        for name, value in figures.items()
        if name.startswith(prefix)
    }


def last_diagnosis(record: RunRecord) -> dict[str, float]:
    """The figures of its last diagnosis, if it has one."""
    if "diagnosis" in record:
        return dict(record["diagnosis"])
    every = [named_figures(point, "diagnosis/") for point in record.get("curve", ())]
    return next((figures for figures in reversed(every) if figures), {})


def mean_over_seeds(values: Sequence[float]) -> Mean:
    """Fractions of 1 as mean and 95 % t-interval, in percent."""
    # scipy is imported here: showing a result does not wait for it
    from scipy.special import stdtrit

    n, mean = len(values), 100 * statistics.mean(values)
    if n < 2:
        return Mean(mean, None)
    half = stdtrit(n - 1, 0.975) * statistics.stdev(values) / math.sqrt(n)
    return Mean(mean, 100 * float(half))


def paired_differences(runs: Runs, base: Runs) -> list[float]:
    """Differences of the last step in points, one for each seed that both have."""
    return [
        100 * (target_accuracy(runs[seed]) - target_accuracy(base[seed]))
        for seed in runs
        if seed in base
    ]


def paired_gains(differences: Mapping[Cell, Sequence[float]]) -> dict[Cell, Gain]:
    """Paired differences as gains; those that can be tested are corrected for one another."""
    from scipy.stats import ttest_1samp

    # of differences this is the paired test; without any spread there is nothing to test against
    tested = {
        cell: points
        for cell, points in differences.items()
        if len(points) > 1 and max(points) - min(points) > 1e-9
    }
    raw = [float(ttest_1samp(points, 0.0).pvalue) for points in tested.values()]
    p = dict(zip(tested, holm_correction(raw), strict=True))
    return {
        cell: Gain(statistics.mean(points), min(points), p.get(cell))
        for cell, points in differences.items()
    }


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


def describe_negative_transfer(runs: Runs, alike: Mapping[Cell, Runs]) -> str:
    """By how many points these runs are below which baselines; empty if there is no such pair."""
    compared = [
        (cell.method, statistics.mean(points))
        for cell, base in alike.items()
        if is_baseline(base)
        and not is_baseline(runs)
        and (points := paired_differences(runs, base))
    ]
    below: dict[str, float] = {}
    for name, mean in compared:
        if mean < -1e-9:  # no negative transfer from rounding alone
            below[name] = max(-mean, below.get(name, 0.0))
    parts = [f"`{name}` by {points:.1f}" for name, points in below.items()]
    return f"below {listed(parts)}" if below else "no" if compared else ""


def is_baseline(runs: Runs) -> bool:
    """Whether their method transfers nothing; records from before that was kept say no."""
    return any(run.get("baseline", False) for run in runs.values())


def setting_of(record: RunRecord) -> list[str]:
    """The overrides of a run beyond method, domains and seed: what a reader tells it by."""
    apart = ("method=", "seed=", "dataset=", "dataset.source=", "dataset.target=", "dataset.pair=")
    overrides = relevant_overrides(shlex.split(record["command"])[2:])
    return sorted(word.removeprefix("method.") for word in overrides if not word.startswith(apart))


def disambiguated_settings(cells: Mapping[Cell, Runs]) -> dict[Cell, tuple[str, ...]]:
    """The settings of cells; those that their commands do not tell apart have keys added."""
    settings = {cell: tuple(setting_of(next(iter(runs.values())))) for cell, runs in cells.items()}
    alike: dict[tuple[str, str, tuple[str, ...]], list[Cell]] = {}
    for cell, setting in settings.items():
        alike.setdefault((cell.task, cell.method, setting), []).append(cell)
    for several in alike.values():
        configs = [flatten(json.loads(cell.config)) for cell in several]
        for cell, config in zip(several, configs, strict=True):
            settings[cell] += tuple(
                f"{key}={config.get(key, '')}" for key in differing_keys(configs)
            )
    return settings


def differing_keys(configs: Sequence[Mapping[str, Value]]) -> list[str]:
    """The keys that these configs differ in."""
    keys = dict.fromkeys(key for config in configs for key in config)
    return [key for key in keys if len({config.get(key) for config in configs}) > 1]


def describe_difference(cell: Cell, other: Cell) -> str:
    """What the configs of two cells differ in: ``steps: 9 and 10``."""
    configs = [flatten(json.loads(each.config)) for each in (cell, other)]
    return "; ".join(
        f"{key}: {' and '.join(str(config.get(key, 'not there')) for config in configs)}"
        for key in differing_keys(configs)
    )
