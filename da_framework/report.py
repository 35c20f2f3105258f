"""Finished runs as tables."""

import argparse
import json
import shlex
import statistics
from collections.abc import Mapping, Sequence
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


def show(record: Mapping[str, Any], folder: Path) -> None:
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


def keep(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Writes what tables are made of, without what belongs to a single run."""
    apart = ("recall_per_class", "domains")
    kept = [
        {
            "command": record["command"],
            "choices": {"method": record["choices"]["method"]},
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
    """

    task: str
    method: str
    rest: str
    config: str


def cell(record: Mapping[str, Any]) -> Cell:
    """The cell of a run, by its resolved config."""
    config = results.without(record["config"], (*IRRELEVANT, "seed"))
    if config["dataset"].get("split_seed") == record["config"]["seed"]:
        del config["dataset"]["split_seed"]  # drawn anew for every seed
    apart = {name: value for name, value in config.items() if name != "method"}
    return Cell(
        " → ".join("+".join(record["domains"][side]) for side in ("source", "target")),
        record["choices"]["method"],
        json.dumps(apart, sort_keys=True),
        json.dumps(config, sort_keys=True),
    )


def markdown(records: Sequence[Mapping[str, Any]], *, against: Sequence[str] = ()) -> str:
    """Mean and standard deviation over seeds, a row for what differs between the runs otherwise.

    Args:
        records: of the runs.
        against: methods: how far the last step is above each on the same seeds and otherwise the
            same config, in the mean and on the worst seed; empty where there is no such run.

    Raises:
        InputError: two runs of one cell have the same seed, or nothing is named so in ``against``.
    """
    cells: dict[Cell, dict[int, Mapping[str, Any]]] = {}
    for record in records:
        runs = cells.setdefault(cell(record), {})
        seed = record["config"]["seed"]
        if seed in runs:
            raise InputError(
                f"two runs of one config with seed {seed}: {runs[seed]['command']} and "
                f"{record['command']}; report one folder at a time"
            )
        runs[seed] = record
    if unknown := set(against) - {one.method for one in cells}:
        raise InputError(
            f"--against {listed(sorted(unknown))}: there is no such run; the methods here are "
            f"{listed(sorted({one.method for one in cells}))}"
        )
    gain = "".join(f" above `{other}` (worst seed) |" for other in against)
    lines = [f"| task | method | last | chosen | oracle |{gain} seeds |"]
    lines += ["|---" * lines[0].count(" |") + "|"]
    tasks = list(dict.fromkeys(one.task for one in cells))
    for one, runs in sorted(cells.items(), key=lambda item: tasks.index(item[0].task)):
        figures = [spread([r["target"][pick]["accuracy"] for r in runs.values()]) for pick in PICKS]
        for other in against:
            same = [c for c in cells if (c.task, c.rest, c.method) == (one.task, one.rest, other)]
            figures.append(gains(runs, cells[same[0]]) if len(same) == 1 else "")
        name = f"`{one.method}` {setting(next(iter(runs.values())))}".rstrip()
        lines.append(f"| {one.task} | {name} | {' | '.join(figures)} | {len(runs)} |")
    return "\n".join(lines)


def gains(own: Mapping[int, Mapping[str, Any]], base: Mapping[int, Mapping[str, Any]]) -> str:
    """Paired differences of the last step in points: mean, and the worst seed."""
    last = [
        100 * (own[seed]["target"]["last"]["accuracy"] - base[seed]["target"]["last"]["accuracy"])
        for seed in own.keys() & base.keys()
    ]
    return f"{statistics.mean(last):+.1f} ({min(last):+.1f})" if last and own is not base else ""


def setting(record: Mapping[str, Any]) -> str:
    """The overrides of a run beyond method, domains and seed: what the eye tells it by."""
    apart = ("method=", "seed=", "dataset=", "dataset.source=", "dataset.target=", "dataset.pair=")
    words = [w for w in relevant(shlex.split(record["command"])[2:]) if not w.startswith(apart)]
    return ", ".join(sorted(word.removeprefix("method.") for word in words))


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation in percent."""
    deviation = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{deviation}"


def main(arguments: list[str]) -> None:
    """``da report FOLDER ...``: a Markdown table of the runs below."""
    parser = argparse.ArgumentParser(prog="da report", description=main.__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="of runs, or files made by --keep")
    parser.add_argument(
        "--against", nargs="+", default=(), help="methods: also print how far others are above them"
    )
    parser.add_argument("--keep", type=Path, help="a file to keep these runs' numbers in")
    parsed = parser.parse_args(arguments)
    records = gather(parsed.folders)
    if parsed.keep:
        keep(parsed.keep, records)
    print(markdown(records, against=parsed.against))
