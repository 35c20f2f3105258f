"""What runs share that differ in their seed alone, and how such cells compare."""

import json
import math
import re
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from da_framework.config.relevance import relevant_config
from da_framework.config.run_names import relevant_overrides
from da_framework.core.errors import InputError, listed
from da_framework.results import record as results

Record = Mapping[str, Any]
Runs = Mapping[int, Record]
"""Of one config, by seed."""
Value = int | float | str
"""Of a key: a number as it is, all else in words."""

PICKS = {
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


def cell_of(record: Record, *, over: str = "") -> Cell:
    """The cell of a run, by its resolved config; ``over`` is the key whose value stands apart."""
    config = results.without_keys(relevant_config(record["config"]), ("seed", over))
    seed = rf"(?<!\d){record['config']['seed']}(?!\d)"
    for key in ("init_from", "teachers"):  # each seed goes on from its own
        if config.get(key):
            config[key] = re.sub(seed, "*", json.dumps(config[key]))
    if config["dataset"].get("split_seed") == record["config"]["seed"]:
        del config["dataset"]["split_seed"]  # drawn anew for every seed
    apart = {name: value for name, value in config.items() if name != "method"}
    return Cell(
        " → ".join("+".join(record["domains"][side]) for side in ("source", "target")),
        record["choices"]["method"],
        json.dumps(apart, sort_keys=True),
        json.dumps(config, sort_keys=True),
        flatten(record["config"]).get(over) if over else None,
    )


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Value]:
    """Values by dotted key."""
    found: dict[str, Value] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= flatten(value, f"{prefix}{name}.")
        else:
            plain = isinstance(value, int | float | str) and not isinstance(value, bool)
            found[f"{prefix}{name}"] = value if plain else json.dumps(value)
    return found


def group_by_cell(records: Sequence[Record], *, over: str = "") -> dict[Cell, dict[int, Record]]:
    """The runs of each cell, by seed.

    Raises:
        InputError: two of them have the same seed.
    """
    cells: dict[Cell, dict[int, Record]] = {}
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
        setting: what else the eye tells it by.
        runs: by seed.
        missing: seeds that others of this task have.
        figures: by pick.
        gains: by method: how far the last step is above it.
        negative_transfer: by how much it is below which baselines; ``no``, or empty if there is
            none.
    """

    task: str
    method: str
    setting: tuple[str, ...]
    runs: Runs
    missing: Sequence[int]
    figures: Mapping[str, "Mean"]
    gains: Mapping[str, "Gain"]
    negative_transfer: str


class Mean(NamedTuple):
    """Over seeds, in percent.

    Attributes:
        mean: of them.
        half: of the width of its 95 % t-interval, where there are two values.
    """

    mean: float
    half: float | None

    def __str__(self) -> str:
        return f"{self.mean:.1f}" if self.half is None else f"{self.mean:.1f} ± {self.half:.1f}"


class Gain(NamedTuple):
    """Over another method on the same seeds and in otherwise the same config, in points.

    Attributes:
        mean: of the seeds.
        worst: of them.
        p: of the paired t-test, corrected by Holm for all that are compared with this method;
            ``None`` where the seeds do not differ in their gain, or there is one.
    """

    mean: float
    worst: float
    p: float | None

    def __str__(self) -> str:
        p = "" if self.p is None else ", p < .001" if self.p < 0.001 else f", p = {self.p:.3f}"
        return f"{self.mean:+.1f} ({self.worst:+.1f}){p.replace('0.', '.', 1)}"


def compare_runs(records: Sequence[Record], *, against: Sequence[str] = ()) -> list[Row]:
    """Every cell with its statistics, task by task.

    Raises:
        InputError: two runs of one cell have the same seed.
    """
    cells = group_by_cell(records)
    pairs: dict[str, dict[Cell, Runs]] = {other: {} for other in against}
    harms: dict[Cell, str] = {}
    for one, runs in cells.items():
        alike = {c: cells[c] for c in cells if (c.task, c.rest) == (one.task, one.rest)}
        harms[one] = negative_transfer(runs, alike)
        for other, found in pairs.items():
            same = [base for c, base in alike.items() if c.method == other]
            if len(same) == 1 and same[0] is not runs and paired_differences(runs, same[0]):
                found[one] = same[0]
    gains = {
        other: paired_gains(
            {one: paired_differences(cells[one], base) for one, base in found.items()}
        )
        for other, found in pairs.items()
    }
    tasks = list(dict.fromkeys(one.task for one in cells))
    seeds = {t: {s for one in cells if one.task == t for s in cells[one]} for t in tasks}
    settings = disambiguated_settings(cells)
    return [
        Row(
            *(one.task, one.method, settings[one], runs),
            missing=sorted(seeds[one.task] - runs.keys()),
            figures={p: over_seeds([accuracy_of(run, p) for run in runs.values()]) for p in PICKS},
            gains={other: found[one] for other, found in gains.items() if one in found},
            negative_transfer=harms[one],
        )
        for one, runs in sorted(cells.items(), key=lambda item: tasks.index(item[0].task))
    ]


def to_frame(table: Sequence[Row]) -> Any:
    """A table as numbers, a column a figure: a pandas ``DataFrame``."""
    import pandas

    lines = []
    for one in table:
        line: dict[str, Any] = {
            "task": one.task,
            "method": one.method,
            "setting": ", ".join(one.setting),
        }
        line |= {"seeds": len(one.runs), "missing_seeds": " ".join(map(str, one.missing))}
        for pick, own in one.figures.items():
            line |= {pick: own.mean, f"{pick}_half_95": own.half}
        for other, gain in one.gains.items():
            line |= {f"above_{other}": gain.mean, f"above_{other}_worst": gain.worst}
            line |= {f"above_{other}_p_holm": gain.p}
        lines.append(line | {"harm": one.negative_transfer})
    return pandas.DataFrame(lines)


def accuracy_of(record: Record, pick: str = "last") -> float:
    """On the target, a fraction of 1."""
    return float(record["target"][pick]["accuracy"])


def evaluations(record: Record) -> list[tuple[int, float]]:
    """Step and target accuracy, a fraction of 1, of every evaluation that the record has."""
    if "readings" in record:
        return [(int(step), float(value)) for step, value in record["readings"]]
    name = "oracle/accuracy"
    return [(row["step"], row[name]) for row in record.get("curve", ()) if name in row]


def last_diagnosis(record: Record) -> dict[str, float]:
    """The figures of its last diagnosis, if it has one."""
    if "diagnosis" in record:
        return dict(record["diagnosis"])
    prefix = "diagnosis/"
    found = [
        {name.removeprefix(prefix): row[name] for name in row if name.startswith(prefix)}
        for row in record.get("curve", ())
    ]
    return next((own for own in reversed(found) if own), {})


def over_seeds(values: Sequence[float]) -> Mean:
    """Fractions of 1 as mean and interval."""
    # scipy is imported here: showing a result does not wait for it
    from scipy.special import stdtrit

    n, mean = len(values), 100 * statistics.mean(values)
    if n < 2:
        return Mean(mean, None)
    half = stdtrit(n - 1, 0.975) * statistics.stdev(values) / math.sqrt(n)
    return Mean(mean, 100 * float(half))


def paired_differences(own: Runs, base: Runs) -> list[float]:
    """Paired differences of the last step in points, a seed that both have each."""
    return [
        100 * (accuracy_of(own[seed]) - accuracy_of(base[seed])) for seed in own if seed in base
    ]


def paired_gains(points: Mapping[Cell, Sequence[float]]) -> dict[Cell, Gain]:
    """Paired differences as gains; those that can be tested are corrected for one another."""
    from scipy.stats import ttest_1samp

    # of differences this is the paired test; without any spread there is nothing to test against
    tested = {
        one: own for one, own in points.items() if len(own) > 1 and max(own) - min(own) > 1e-9
    }
    raw = [float(ttest_1samp(own, 0.0).pvalue) for own in tested.values()]
    p = dict(zip(tested, holm_correction(raw), strict=True))
    return {one: Gain(statistics.mean(own), min(own), p.get(one)) for one, own in points.items()}


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


def negative_transfer(own: Runs, alike: Mapping[Cell, Runs]) -> str:
    """By how many points these runs are below which baselines; empty if there is no such pair."""
    compared = [
        (one.method, statistics.mean(points))
        for one, base in alike.items()
        if is_baseline(base) and not is_baseline(own) and (points := paired_differences(own, base))
    ]
    below: dict[str, float] = {}
    for name, mean in compared:
        if mean < -1e-9:  # rounding alone harms nobody
            below[name] = max(-mean, below.get(name, 0.0))
    words = [f"`{name}` by {points:.1f}" for name, points in below.items()]
    return f"below {listed(words)}" if below else "no" if compared else ""


def is_baseline(runs: Runs) -> bool:
    """Whether their method transfers nothing; records from before that was kept say no."""
    return any(run.get("baseline", False) for run in runs.values())


def setting_of(record: Record) -> list[str]:
    """The overrides of a run beyond method, domains and seed: what the eye tells it by."""
    apart = ("method=", "seed=", "dataset=", "dataset.source=", "dataset.target=", "dataset.pair=")
    words = [
        w for w in relevant_overrides(shlex.split(record["command"])[2:]) if not w.startswith(apart)
    ]
    return sorted(word.removeprefix("method.") for word in words)


def disambiguated_settings(cells: Mapping[Cell, Runs]) -> dict[Cell, tuple[str, ...]]:
    """The settings of cells; those that their commands do not tell apart have keys added."""
    found = {one: tuple(setting_of(next(iter(runs.values())))) for one, runs in cells.items()}
    alike: dict[tuple[str, str, tuple[str, ...]], list[Cell]] = {}
    for one, words in found.items():
        alike.setdefault((one.task, one.method, words), []).append(one)
    for several in alike.values():
        configs = [flatten(json.loads(one.config)) for one in several]
        for one, config in zip(several, configs, strict=True):
            found[one] += tuple(f"{key}={config.get(key, '')}" for key in differing_keys(configs))
    return found


def differing_keys(configs: Sequence[Mapping[str, Value]]) -> list[str]:
    """The keys that these configs differ in."""
    keys = dict.fromkeys(key for config in configs for key in config)
    return [key for key in keys if len({config.get(key) for config in configs}) > 1]


def describe_difference(one: Cell, other: Cell) -> str:
    """In words."""
    configs = [flatten(json.loads(own.config)) for own in (one, other)]
    return "; ".join(
        f"{key}: {' and '.join(str(config.get(key, 'not there')) for config in configs)}"
        for key in differing_keys(configs)
    )
