"""Finished runs as tables."""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from da_framework import results
from da_framework.errors import InputError

PICKS = {"last": "last step", "chosen": "chosen by {validator}", "oracle": "oracle (uses target labels)"}


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
    console.print(f"trained for {record['seconds']['training']:.0f} s; written to {folder}:", soft_wrap=True)
    files = sorted(file.name for file in folder.iterdir() if file.suffix in (".json", ".png", ".csv"))
    console.print(f"  {'  '.join(files)}", soft_wrap=True)


def gather(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """The records below these folders.

    Raises:
        InputError: there is none, or one is damaged.
    """
    files = sorted({file for folder in folders for file in folder.rglob(results.RESULT)})
    kept = [file for file in files if not any(p.startswith("before-") for p in file.parts)]
    records = [record for file in kept if (record := results.read(file.parent)) is not None]
    if not records:
        raise InputError(f"no {results.RESULT} below {', '.join(map(str, folders))}")
    return records


def markdown(records: Sequence[Mapping[str, Any]]) -> str:
    """Mean and standard deviation over seeds, a row for what differs between the runs otherwise."""
    cells: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for record in records:
        domains = " -> ".join("+".join(record["domains"][side]) for side in ("source", "target"))
        cells.setdefault((domains, record["choices"]["method"], setting(record)), []).append(record)
    lines = [
        "| task | method | last | chosen | oracle | seeds |",
        "|---|---|---|---|---|---|",
    ]
    for (domains, method, settings), own in cells.items():
        figures = [spread([r["target"][pick]["accuracy"] for r in own]) for pick in PICKS]
        seeds = ", ".join(str(seed) for seed in sorted(r["config"]["seed"] for r in own))
        name = f"{method} ({settings})" if settings else method
        lines.append(f"| {domains} | {name} | {' | '.join(figures)} | {seeds} |")
    return "\n".join(lines)


def setting(record: Mapping[str, Any]) -> str:
    """The overrides of a run beyond method, domains and seed."""
    apart = ("method=", "seed=", "dataset=", "dataset.source=", "dataset.target=", "experiments=")
    words = [word.lstrip("+") for word in record["command"].split()[2:]]
    return ", ".join(sorted(w for w in words if not w.startswith((*apart, "logger", "callback", "again"))))


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation in percent."""
    deviation = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{deviation}"


def main(arguments: list[str]) -> None:
    """``da report FOLDER ...``: a Markdown table of the runs below."""
    parser = argparse.ArgumentParser(prog="da report", description=main.__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    print(markdown(gather(parser.parse_args(arguments).folders)))
