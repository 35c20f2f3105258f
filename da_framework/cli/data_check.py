"""``da data check``: reads all of a data set once and says what is wrong with it."""

import json
import math
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from da_framework.cli.exit import exit_with
from da_framework.config.schema import check_config, instantiate, to_plain
from da_framework.core.errors import listed
from da_framework.core.files import make_fresh_folder, write_text
from da_framework.core.terminal import open_console
from da_framework.core.text import file_name, printable
from da_framework.core.types import ConfigNode
from da_framework.datasets.base import Dataset, SampleReport
from da_framework.results.contact_sheet import draw_contact_sheet
from da_framework.results.figure_process import draw_or_warn

SHOWN = 20
"""Lines of a list that are printed; ``report.json`` has all."""
SHEET = 100
"""Pictures on a contact sheet."""


@dataclass(frozen=True)
class DataCheckSettings:
    """The keys of ``conf/data_check.yaml``."""

    dataset: ConfigNode
    out: str
    data_dir: str


class Copy(NamedTuple):
    """One of several rows with the same content."""

    domain: str
    name: str
    label: str | None
    test: bool | None


def main(config: Any) -> None:
    """Looks at every sample of every domain; ends with 1 if some cannot be read.

    Args:
        config: of ``conf/data_check.yaml``.

    Raises:
        InputError: the data set is not there, or a key is wrong.
    """
    config = to_plain(config)
    config = check_config(config, DataCheckSettings)
    dataset: Dataset = instantiate(config["dataset"])
    reports = {name: inspect_domain(dataset, name) for name in dataset.names}
    out = make_fresh_folder(Path(config["out"]))
    report = {
        "domains": {
            name: domain_facts(own) | {"ignored": [str(path) for path in dataset.ignored(name)]}
            for name, own in reports.items()
        },
        "copies": [[copy._asdict() for copy in group] for group in find_copies(reports)],
    }
    for name, rows in reports.items():
        if shown := [
            (row.thumbnail, row.label or "no label") for row in rows if row.thumbnail is not None
        ]:
            draw_or_warn(draw_contact_sheet, out / f"{file_name(name)}.png", shown)
    write_text(out / "report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print("\n".join(report_lines(reports, dataset, out)))
    if any(row.broken for rows in reports.values() for row in rows):
        exit_with("some of it is broken", code=1)


def inspect_domain(dataset: Dataset, name: str) -> list[SampleReport]:
    """Reads every row of a domain, in parallel; some evenly spaced ones become pictures."""
    calls = dataset.inspections(name)
    every = max(1, math.ceil(len(calls) / SHEET))
    title = TextColumn("{task.description}", markup=False)
    columns = (title, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not sys.stderr.isatty()
    console = open_console(
        stderr=True, quiet=hidden
    )  # a hidden bar of rich 13 ends in an empty line
    bar = Progress(*columns, console=console, disable=hidden, transient=True)
    with bar, ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        rows = pool.map(lambda number: calls[number](number % every == 0), range(len(calls)))
        return list(bar.track(rows, total=len(calls), description=printable(name)))


def domain_facts(rows: Sequence[SampleReport]) -> dict[str, Any]:
    """What is to be known of a domain, for the report."""
    whole = [row for row in rows if not row.broken]
    return {
        "rows": len(rows),
        "test": sum(bool(row.test) for row in rows),
        "labelled": sum(row.label is not None for row in whole),
        "classes": dict(
            sorted(Counter(row.label for row in whole if row.label is not None).items())
        ),
        "sizes": size_ranges(whole),
        "broken": {row.name: row.broken for row in rows if row.broken},
        "notes": {row.name: list(row.notes) for row in rows if row.notes},
    }


def size_ranges(rows: Sequence[SampleReport]) -> list[list[int]]:
    """Least, median and greatest of every side that the rows' contents have."""
    if len({len(row.shape) for row in rows}) != 1:
        return []
    sides = np.array([row.shape for row in rows])
    return [[int(own(side)) for own in (np.min, np.median, np.max)] for side in sides.T]


def find_copies(reports: Mapping[str, Sequence[SampleReport]]) -> list[list[Copy]]:
    """Rows of the same content, wherever they are."""
    groups: dict[str, list[Copy]] = defaultdict(list)
    for name, rows in reports.items():
        for row in rows:
            if not row.broken:
                groups[row.digest].append(Copy(name, row.name, row.label, row.test))
    return [group for group in groups.values() if len(group) > 1]


def report_lines(
    reports: Mapping[str, Sequence[SampleReport]], dataset: Dataset, out: Path
) -> list[str]:
    """The findings, for a person."""
    lines = []
    for name, rows in reports.items():
        facts = domain_facts(rows)
        test = f", {facts['test']} of them the official test part" if facts["test"] else ""
        lines.append(f"{printable(name)}: {facts['rows']} rows{test}")
        balance = describe_balance(facts, dataset)
        lines += [f"  {line}" for line in (balance, describe_sizes(facts["sizes"]))]
        if ignored := dataset.ignored(name):
            shown = listed(ignored[:3])
            lines.append(f"  not read, as they are no images of a class: {len(ignored)}: {shown}")
        if (sheet := out / f"{file_name(name)}.png").is_file():
            lines.append(f"  pictures: {sheet}")
    everything = [row for rows in reports.values() for row in rows]
    noted = [printable(f"{row.name}: {'; '.join(row.notes)}") for row in everything if row.notes]
    broken = [printable(f"{row.name}: {row.broken}") for row in everything if row.broken]
    lines += titled_list("read rightly, though unusual", noted)
    lines += describe_copies(find_copies(reports))
    lines += titled_list("broken", broken) or ["broken: none"]
    return [*lines, f"all of it: {out / 'report.json'}"]


def describe_balance(facts: Mapping[str, Any], dataset: Dataset) -> str:
    """How even the classes are, and how many labels there are where some lack."""
    classes: Mapping[str, int] = facts["classes"]
    whole = facts["rows"] - len(facts["broken"])
    if not classes:
        return f"labels: none of {whole} samples has one" if whole else "classes: none can be read"
    least, most = (own(classes, key=lambda name: classes[name]) for own in (min, max))
    ends = (f"{classes[name]} ({printable(name)})" for name in (least, most))
    same = classes[least] == classes[most]
    span = f"of {classes[least]} each" if same else f"from {' to '.join(ends)}"
    text = f"classes: {len(classes)}, {span}"
    if facts["labelled"] < whole:
        text = f"labels: {facts['labelled']} of {whole} samples have one; {text}"
    lacking = [name for name in dataset.classes if name not in classes]
    return text + (f"; without {listed(lacking[:5])}" if lacking else "")


def describe_sizes(sides: Sequence[Sequence[int]]) -> str:
    """How large the rows' contents are."""
    shown = [
        str(low) if low == high else f"{low} to {high} (median {middle})"
        for low, middle, high in sides
    ]
    return f"size: {' x '.join(shown) or 'of different kinds'}"


def describe_copies(groups: Sequence[Sequence[Copy]]) -> list[str]:
    """What is there more than once, the worst first."""
    kinds: dict[str, list[str]] = {
        "the same content in several domains (leakage)": [],
        "the same content in the training and the test part (leakage)": [],
        "the same content under several classes": [],
        "the same content more than once": [],
    }
    for group in groups:
        across = [
            len({copy.domain for copy in group}) > 1,
            len({(copy.domain, copy.test) for copy in group})
            > len({copy.domain for copy in group}),
            len({copy.label for copy in group}) > 1,
            True,
        ]
        kind = list(kinds)[across.index(True)]
        kinds[kind].append(" = ".join(printable(f"{copy.domain}: {copy.name}") for copy in group))
    return [line for kind, lines in kinds.items() for line in titled_list(kind, lines)]


def titled_list(title: str, lines: Sequence[str]) -> list[str]:
    """A list under its title, cut to a bearable length; nothing where there is nothing."""
    more = [f"  ... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [f"{title}: {len(lines)}", *(f"  {line}" for line in lines[:SHOWN]), *more] * bool(lines)
