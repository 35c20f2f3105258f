"""Finished runs as tables."""

import argparse
import json
import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from da_framework import results
from da_framework.errors import InputError

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
    kept = [path for path in paths if path.is_file()]
    records: list[dict[str, Any]] = [one for path in kept for one in json.loads(path.read_text())]
    files = {file.resolve() for path in paths for file in path.rglob(results.RESULT)}
    for file in sorted(files):
        if not any(part.startswith("before-") for part in file.parts):
            records += [found] if (found := results.read(file.parent)) else []
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
            "config": {"seed": record["config"]["seed"]},
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
    results.write_text(path, json.dumps(kept, indent=0) + "\n")


def markdown(records: Sequence[Mapping[str, Any]], *, against: Sequence[str] = ()) -> str:
    """Mean and standard deviation over seeds, a row for what differs between the runs otherwise.

    Args:
        records: of the runs.
        against: methods: how far the last step is above each on the same seeds, in the mean and on
            the worst seed.
    """
    cells: dict[tuple[str, str, str], dict[int, Mapping[str, Any]]] = {}
    for record in records:
        task = " → ".join("+".join(record["domains"][side]) for side in ("source", "target"))
        cell = cells.setdefault((task, record["choices"]["method"], setting(record)), {})
        seed = record["config"]["seed"]
        if seed in cell:
            raise InputError(
                f"two runs of {record['choices']['method']} on {task} with seed {seed}: "
                f"{cell[seed]['command']} and {record['command']}; report one folder at a time"
            )
        cell[seed] = record
    gain = "".join(f" above `{other}` (worst seed) |" for other in against)
    lines = [f"| task | method | last | chosen | oracle |{gain} seeds |"]
    lines += ["|---" * lines[0].count(" |") + "|"]
    tasks = list(dict.fromkeys(task for task, _, _ in cells))
    ordered = sorted(cells.items(), key=lambda cell: tasks.index(cell[0][0]))
    for (task, method, settings), own in ordered:
        figures = [spread([r["target"][pick]["accuracy"] for r in own.values()]) for pick in PICKS]
        for other in against:
            base = next((c for (t, m, _), c in cells.items() if (t, m) == (task, other)), {})
            figures.append(gains(own, base))
        name = f"`{method}` {settings}".rstrip()
        lines.append(f"| {task} | {name} | {' | '.join(figures)} | {len(own)} |")
    return "\n".join(lines)


def gains(own: Mapping[int, Mapping[str, Any]], base: Mapping[int, Mapping[str, Any]]) -> str:
    """Paired differences of the last step in points: mean, and the worst seed."""
    last = [
        100 * (own[seed]["target"]["last"]["accuracy"] - base[seed]["target"]["last"]["accuracy"])
        for seed in own.keys() & base.keys()
    ]
    return f"{statistics.mean(last):+.1f} ({min(last):+.1f})" if last and own is not base else ""


def setting(record: Mapping[str, Any]) -> str:
    """The overrides of a run beyond method, domains and seed."""
    apart = ("method=", "seed=", "dataset=", "dataset.source=", "dataset.target=", "experiments=")
    words = [word.lstrip("+") for word in shlex.split(record["command"])[2:]]
    shown = [w for w in words if not w.startswith((*apart, "logger", "callback", "again"))]
    return ", ".join(sorted(word.removeprefix("method.") for word in shown))


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
