"""Finished runs as tables and pictures."""

import argparse
import json
import math
import re
import shlex
import statistics
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from da_framework import results
from da_framework.errors import InputError, listed
from da_framework.names import IRRELEVANT, relevant

PICKS = {
    "last": "last step",
    "chosen": "chosen by {validator}",
    "oracle": "oracle (uses target labels)",
}

Record = Mapping[str, Any]
Runs = Mapping[int, Record]
"""Of one config, by seed."""
Value = int | float | str
"""Of a key: a number as it is, all else in words."""


def show(record: Record, folder: Path) -> None:
    """The three numbers of a run, and where its files are."""
    console = Console(highlight=False)
    side = {name: "+".join(own) for name, own in record["domains"].items()}
    table = Table(title=f"{record['choices']['method']}: {side['source']} -> {side['target']}")
    for column in ("target", "step", "accuracy", "F1", "calibration error"):
        table.add_column(column, justify="left" if column == "target" else "right")
    for pick, words in PICKS.items():
        own = record["target"][pick]
        table.add_row(
            words.format(**record["choices"]),
            str(own["step"]),
            f"{own['accuracy']:.2%}",
            f"{own['f1']:.3f}",
            f"{own['calibration_error']:.3f}",
        )
    console.print(table)
    console.print(
        f"trained for {record['seconds']['training']:.0f} s; written to {folder}:", soft_wrap=True
    )
    files = sorted(
        file.name for file in folder.iterdir() if file.suffix in (".json", ".png", ".csv")
    )
    console.print(f"  {'  '.join(files)}", soft_wrap=True)


def gather(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The records of the runs below these folders, or kept in these files.

    Raises:
        InputError: there is none, or one is damaged.
    """
    records: list[dict[str, Any]] = []
    files: dict[Path, None] = {}
    for path in paths:
        if path.is_file() and path.name != results.RESULT:
            records += kept(path)
        for file in [path] if path.is_file() else sorted(path.rglob(results.RESULT)):
            below = file.relative_to(path).parts
            if file.name == results.RESULT and not any(p.startswith("before-") for p in below):
                files[file.resolve()] = None
    records += [found for file in files if (found := results.read(file.parent))]
    if not records:
        raise InputError(f"no {results.RESULT} below {', '.join(map(str, paths))}")
    return records


def keep(path: Path, records: Sequence[Record]) -> None:
    """Writes what tables are made of, without what belongs to a single run."""
    apart = ("precision_per_class", "recall_per_class", "f1_per_class", "domains")
    kept = [
        {
            "command": record["command"],
            "choices": {"method": record["choices"]["method"]},
            "baseline": record.get("baseline", False),
            "config": results.without(record["config"], IRRELEVANT),
            "domains": record["domains"],
            "target": {
                pick: {name: value for name, value in own.items() if name not in apart}
                for pick, own in record["target"].items()
            },
            "seconds": record["seconds"],
            "code": record["code"],
            "environment": record["environment"],
        }
        for record in records
    ]
    results.write_text(path, "[\n" + ",\n".join(map(json.dumps, kept)) + "\n]\n")


def kept(path: Path) -> list[dict[str, Any]]:
    """The records in a file that ``keep`` wrote.

    Raises:
        InputError: it is another file.
    """
    try:
        records = json.loads(path.read_text())
        if not all({"choices", "config", "target"} <= record.keys() for record in records):
            raise ValueError("keys are missing")
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{path} holds no runs kept by da report --keep ({error})") from None
    return list(records)


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


def cell(record: Record, *, over: str = "") -> Cell:
    """The cell of a run, by its resolved config; ``over`` is the key whose value stands apart."""
    config = results.without(record["config"], (*IRRELEVANT, "seed", over))
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
        leaves(record["config"]).get(over),
    )


def leaves(config: Mapping[str, Any], prefix: str = "") -> dict[str, Value]:
    """Values by dotted key."""
    found: dict[str, Value] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= leaves(value, f"{prefix}{name}.")
        else:
            plain = isinstance(value, int | float | str) and not isinstance(value, bool)
            found[f"{prefix}{name}"] = value if plain else json.dumps(value)
    return found


def by_cell(records: Sequence[Record], *, over: str = "") -> dict[Cell, dict[int, Record]]:
    """The runs of each cell, by seed.

    Raises:
        InputError: two of them have the same seed.
    """
    cells: dict[Cell, dict[int, Record]] = {}
    for record in records:
        runs = cells.setdefault(cell(record, over=over), {})
        seed = record["config"]["seed"]
        if seed in runs:
            raise InputError(
                f"two runs of one config with seed {seed}: {runs[seed]['command']} and "
                f"{record['command']}; report one folder at a time"
            )
        runs[seed] = record
    return cells


def markdown(records: Sequence[Record], *, against: Sequence[str] = ()) -> str:
    """Mean and 95 % interval over seeds, a row for what differs between the runs otherwise.

    With runs of a baseline among them, a column says where adapting did harm: where the last step
    is, in the mean over the same seeds and in otherwise the same config, below the baseline's.

    Args:
        records: of the runs.
        against: methods: how far the last step is above each on the same seeds and otherwise the
            same config, in the mean and on the worst seed; empty where there is no such run.

    Raises:
        InputError: two runs of one cell have the same seed, or nothing is named so in ``against``.
    """
    cells = by_cell(records)
    if unknown := set(against) - {one.method for one in cells}:
        raise InputError(
            f"--against {listed(sorted(unknown))}: there is no such run; the methods here are "
            f"{listed(sorted({one.method for one in cells}))}"
        )
    based = any(baseline(runs) for runs in cells.values())
    columns = ["task", "method", *(f"{pick} ± 95 % interval" for pick in PICKS)]
    columns += [f"above `{other}` (worst seed)" for other in against]
    columns += ["harm", "seeds"] if based else ["seeds"]
    lines = [row(columns), "|---" * len(columns) + "|"]
    tasks = list(dict.fromkeys(one.task for one in cells))
    for one, runs in sorted(cells.items(), key=lambda item: tasks.index(item[0].task)):
        name = f"`{one.method}` {', '.join(setting(next(iter(runs.values()))))}".rstrip()
        figures = [interval([accuracy(run, pick) for run in runs.values()]) for pick in PICKS]
        alike = {c: cells[c] for c in cells if (c.task, c.rest) == (one.task, one.rest)}
        for other in against:
            same = [base for c, base in alike.items() if c.method == other]
            figures.append(gains(runs, same[0]) if len(same) == 1 else "")
        if based:
            figures.append(harm(runs, alike))
        lines.append(row([one.task, name, *figures, str(len(runs))]))
    return "\n".join(lines)


def row(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def accuracy(record: Record, pick: str = "last") -> float:
    """On the target, a fraction of 1."""
    return float(record["target"][pick]["accuracy"])


def interval(values: Sequence[float]) -> str:
    """Mean in percent, and half the width of its 95 % t-interval where there are two values."""
    # scipy is imported here: showing a result does not wait for it
    from scipy.special import stdtrit

    n, mean = len(values), f"{100 * statistics.mean(values):.1f}"
    if n < 2:
        return mean
    half = stdtrit(n - 1, 0.975) * statistics.stdev(values) / math.sqrt(n)
    return f"{mean} ± {100 * half:.1f}"


def above(own: Runs, base: Runs) -> list[float]:
    """Paired differences of the last step in points, a seed that both have each."""
    return [100 * (accuracy(own[seed]) - accuracy(base[seed])) for seed in own if seed in base]


def gains(own: Runs, base: Runs) -> str:
    """How far these runs are above others: mean, and the worst seed."""
    points = above(own, base) if own is not base else []
    return f"{statistics.mean(points):+.1f} ({min(points):+.1f})" if points else ""


def harm(own: Runs, alike: Mapping[Cell, Runs]) -> str:
    """By how many points these runs are below which baselines; empty if there is no such pair."""
    compared = [
        (one.method, statistics.mean(points))
        for one, base in alike.items()
        if baseline(base) and not baseline(own) and (points := above(own, base))
    ]
    below: dict[str, float] = {}
    for name, mean in compared:
        if mean < -1e-9:  # rounding alone harms nobody
            below[name] = max(-mean, below.get(name, 0.0))
    words = [f"`{name}` by {points:.1f}" for name, points in below.items()]
    return f"below {listed(words)}" if below else "no" if compared else ""


def baseline(runs: Runs) -> bool:
    """Whether their method transfers nothing; records from before that was kept say no."""
    return any(run.get("baseline", False) for run in runs.values())


def setting(record: Record) -> list[str]:
    """The overrides of a run beyond method, domains and seed: what the eye tells it by."""
    apart = ("method=", "seed=", "dataset=", "dataset.source=", "dataset.target=", "dataset.pair=")
    words = [w for w in relevant(shlex.split(record["command"])[2:]) if not w.startswith(apart)]
    return sorted(word.removeprefix("method.") for word in words)


def draw(path: Path, records: Sequence[Record], *, over: str) -> None:
    """Target accuracy of the last step over the values of a key: a panel a task, a line a method.

    What differs between runs otherwise makes lines of its own. Runs without the key are a level.

    Args:
        path: of the picture.
        records: of the runs.
        over: the dotted key.

    Raises:
        InputError: no run has the key, or all the same value; two runs differ in nothing.
    """
    # matplotlib is imported here: tables do not wait for it
    from da_framework.callbacks import sensitivity

    values = swept(records, over)
    common = set.intersection(*(set(setting(record)) for record in records))
    lines: dict[Cell, tuple[str, dict[Value | None, list[float]]]] = {}
    for one, runs in by_cell(records, over=over).items():
        words = [w for w in setting(next(iter(runs.values()))) if w not in common]
        own = [w for w in words if w.partition("=")[0] not in (over, over.removeprefix("method."))]
        name = " ".join([one.method, *own])
        _, line = lines.setdefault(one._replace(value=None), (name, {}))
        line[one.value] = [100 * accuracy(run) for run in runs.values()]
    panels: dict[str, dict[str, dict[Value | None, list[float]]]] = {}
    for one, (name, line) in lines.items():
        panel = panels.setdefault(one.task, {})
        # configs may differ by more than their commands say
        panel[name if name not in panel else f"{name} ({len(panel) + 1})"] = line
    sensitivity.draw(path, panels, key=over, values=values)


def swept(records: Sequence[Record], key: str) -> list[Value]:
    """The values of a key, in order.

    Raises:
        InputError: there are not two.
    """
    configs = [leaves(record["config"]) for record in records]
    known = list(dict.fromkeys(name for config in configs for name in config))
    if key not in known:
        inside = [name for name in known if f".{key}." in f".{name}."]
        near = inside or get_close_matches(key, known, n=5, cutoff=0.5)
        raise InputError(f"--over {key}: no run here has this key; nearest are {listed(near[:5])}")
    values = {config[key] for config in configs if key in config}
    if len(values) == 1:
        raise InputError(
            f"--over {key}: its one value here is {listed(values)}; a picture needs two or more, "
            f"as of da train -m {key}=..."
        )
    return sorted(values, key=lambda value: (isinstance(value, str), value))


def main(arguments: list[str]) -> None:
    """``da report FOLDER ...``: a Markdown table of the runs below, and a picture if asked for."""
    parser = argparse.ArgumentParser(prog="da report", description=main.__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="of runs, or files made by --keep")
    parser.add_argument(
        "--against", nargs="+", default=(), help="methods: also print how far others are above them"
    )
    parser.add_argument("--keep", type=Path, help="a file to keep these runs' numbers in")
    parser.add_argument("--over", metavar="KEY", help="of the config: --picture draws its values")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="accuracy over --over KEY")
    parsed = parser.parse_args(arguments)
    if (parsed.over is None) != (parsed.picture is None):
        parser.error("--over KEY and --picture PNG go together")
    records = gather(parsed.folders)
    if parsed.keep:
        keep(parsed.keep, records)
    print(markdown(records, against=parsed.against))
    if parsed.picture:
        draw(parsed.picture, records, over=parsed.over)
