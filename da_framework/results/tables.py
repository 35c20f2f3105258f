"""Tables of finished runs: gathered, compared, written as Markdown, CSV, Parquet or a page."""

import json
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from os.path import realpath
from pathlib import Path
from typing import Any

from rich.table import Table

from da_framework.config.moved import Parts, moved_record
from da_framework.config.relevance import relevant_config
from da_framework.core.damage import is_there, read_each, read_json
from da_framework.core.errors import InputError, listed
from da_framework.core.files import atomic_write, write_text
from da_framework.core.terminal import NARROW, open_console
from da_framework.core.text import csv_cell, printable
from da_framework.results import page
from da_framework.results.cells import (
    Cell,
    Value,
    alike_but_seed,
    common_words,
    draft_config,
    flatten,
    group_by_cell,
    setting_of,
    shared_setting,
    sides,
)
from da_framework.results.folder import RESULT, RunFolder, find_finished_runs
from da_framework.results.record import without_keys
from da_framework.results.record_schema import RunRecord, schema_error
from da_framework.results.report import Report, markdown_lines
from da_framework.results.statistics import (
    NO_LABELS,
    PICKS,
    accuracy_curve,
    format_accuracy,
    format_figure,
    last_diagnosis,
    mean_accuracy,
    picked_figures,
    target_accuracy,
    to_frame,
)
from da_framework.results.terminal import print_table, shown
from da_framework.results.verified import Verified, read_verified

APART = (*(f"{name}_per_class" for name in ("precision", "recall", "f1", "rows")), "domains")
"""Figures of single classes and domains, which no table over runs has."""
BEYOND_TABLES = ("curve", "source")
"""Most of a record, which tables are not made of; pages and files of kept runs are."""
ALIKE = ("choices", "domains", "classes", "rows", "inputs", "licences", "environment", "data")
"""Parts of a record that others have too; of the config it is known anyway."""


def print_run(record: RunRecord, folder: Path, *, beside: str = "") -> None:
    """Prints the three numbers of a run, and where its files are.

    Where no label of the target is known, the validator's scores stand in their place.

    Args:
        record: of the run.
        folder: that it is in.
        beside: a sentence to compare its numbers with.
    """
    console = open_console()
    known = target_accuracy(record) is not None
    measures = ("accuracy", "macro F1", "calibration error") if known else ("validator score",)
    source, target = ("+".join(names) for names in sides(record))
    title = printable(f"{record['choices']['method']}: {source} -> {target}")
    heads = ["target", "step", *measures]
    rows = []
    for pick, figures in picked_figures(record):
        values = (
            (
                format_accuracy(figures, 2),
                format_figure(figures.get("macro_f1"), 3),
                format_figure(figures.get("calibration_error"), 3),
            )
            if known
            else (format_figure(figures["score"]),)
        )
        rows.append([PICKS[pick].format(**record["choices"]), str(figures["step"]), *values])
    if console.width < NARROW:
        print_table(console, title, [heads, *rows])
    else:
        table = Table(title=title)
        for column in heads:
            table.add_column(column, justify="left" if column == "target" else "right")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    if beside:
        console.print(shown(beside, console))
    if not known:
        console.print(f"target accuracy: {NO_LABELS}")
    for verified in gather_verified([{**record, "folder": str(folder)}]).values():
        for sentence in verified.sentences:
            console.print(sentence, soft_wrap=True)
    if "chosen" not in record["target"]:
        console.print(f"nothing was chosen: no score of {record['choices']['validator']} is finite")
    console.print(
        f"trained for {record['seconds']['training']:.0f} s; written to {folder}:", soft_wrap=True
    )
    files = sorted(
        file.name for file in folder.iterdir() if file.suffix in (".csv", ".json", ".md", ".png")
    )
    if RunFolder(folder).checkpoints.is_dir():
        files.append(f"{RunFolder(folder).checkpoints.name}/")
    console.print(f"  {'  '.join(files)}", soft_wrap=True)


def gather_records(paths: Sequence[Path], *, curves: bool = True) -> list[RunRecord]:
    """The records of the runs below these folders, or kept in these files, each with its folder.

    Those that are damaged or of another program are named, skipped and counted. What records have
    in common is in memory once.

    Args:
        paths: folders of runs, or files of ``da report --keep``.
        curves: whether what a table is not made of is read as well, which is most of a record.

    Raises:
        InputError: there is none.
    """
    files: dict[Path, None] = {}
    for path in paths:
        folder = path.is_dir() or not is_there(path)
        runs = [run.result for run in find_finished_runs(path)] if folder else [path]
        # resolve() would raise where a link leads to itself
        files |= dict.fromkeys(Path(realpath(file.parent)) / file.name for file in runs)
    read = RecordReader(curves=curves).read
    records = [record for every in read_each(files, read, "results") for record in every]
    if not records:
        raise InputError(f"no {RESULT} below {listed(paths)}")
    return records


class RecordReader:
    """Reads many records: what they have in common is checked once and held once.

    Args:
        curves: whether what a table is not made of is kept.
    """

    def __init__(self, *, curves: bool = True) -> None:
        self.curves = curves
        self.parts = Parts()
        self.usable: set[Any] = set()

    def read(self, file: Path) -> list[RunRecord]:
        """The record of a run, or those that are kept in a file.

        Raises:
            InputError: it is damaged, or holds something else.
        """
        whole = [read_usable(RunFolder(file.parent), self)] if file.name == RESULT else None
        return [self.shared(record) for record in (whole or read_kept(file, self))]

    def shared(self, record: RunRecord) -> RunRecord:
        """A record that holds what it has in common with others, and no more than is asked for."""
        slim: Any = {
            key: self.parts.same(value) if key in ALIKE else value
            for key, value in record.items()
            if self.curves or key not in BEYOND_TABLES
        }
        if not self.curves:
            picks = slim["target"].items()
            slim["target"] = {pick: without_keys(own, APART) for pick, own in picks}
        typed: RunRecord = slim
        return typed


def read_usable(folder: RunFolder, reader: RecordReader | None = None) -> RunRecord:
    """The record of a finished run, with the folder it is in.

    Args:
        folder: of the run.
        reader: of records that were read before.

    Raises:
        InputError: it is damaged or no record of ours.
    """
    if (record := folder.read_record(None if reader is None else reader.parts)) is None:
        raise InputError(f"{folder.result} is not there any more")
    record["folder"] = str(folder.path)
    if reason := unusable_reason(record, reader):
        raise InputError(f"{folder.result} is no record of a run ({reason}); move it away")
    return record


def unusable_reason(record: Any, reader: RecordReader | None = None) -> str:
    """Why no table can be made of this, in words; empty if one can.

    Args:
        record: what may be one.
        reader: of records that were read before: what was of use in one is in others.
    """
    if reason := schema_error(record):
        return reason
    try:
        same = alike_but_seed(record)
        if reader is None or same not in reader.usable:
            draft_config(record, "")
        if reader is not None:
            reader.usable.add(same)
        setting_of(record)
    except Exception as error:  # what a record of another program makes of itself has no type
        return f"{type(error).__name__}: {error}"
    return ""


def gather_verified(records: Sequence[RunRecord]) -> dict[str, Verified]:
    """What audits have found of these runs, by their folders; damaged files are said."""
    found = {}
    for record in records:
        if folder := record.get("folder"):
            try:
                verified = read_verified(Path(folder))
            except InputError as error:
                print(f"skipped: {error}", file=sys.stderr)
                continue
            if verified is not None:
                found[folder] = verified
    return found


def keep_records(path: Path, records: Sequence[RunRecord]) -> None:
    """Writes what tables are made of, without what belongs to a single run."""
    kept = [shorten_record(record) for record in records]
    write_text(path, "[\n" + ",\n".join(map(json.dumps, kept)) + "\n]\n")


def shorten_record(record: RunRecord) -> dict[str, Any]:
    """What tables are made of: the curve as its ``readings``, and no figures of single classes."""
    from da_framework.results.estimate_quality import accuracy_estimates
    from da_framework.results.validator_quality import validator_scores

    diagnosis, scores = last_diagnosis(record), validator_scores(record)
    estimates = accuracy_estimates(record)
    return {
        "command": record["command"],
        "choices": record["choices"],
        "baseline": record.get("baseline", False),
        "config": without_paths(record["config"]),
        "domains": record["domains"],
        "target": {pick: without_keys(own, APART) for pick, own in picked_figures(record)},
        "readings": accuracy_curve(record),
        **({"diagnosis": diagnosis} if diagnosis else {}),
        **({"scores": scores} if scores else {}),
        **({"estimates": estimates} if estimates else {}),
        "seconds": record["seconds"],
        **({"finished": record["finished"]} if "finished" in record else {}),
        "code": record["code"],
        "environment": record["environment"],
    }


def without_paths(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config less what changes no number: of a file of weights, its name is left."""
    shortened = relevant_config(config)
    if weights := shortened.get("network", {}).get("weights"):
        shortened["network"] = {**shortened["network"], "weights": Path(weights).name}
    return shortened


def read_kept(path: Path, reader: RecordReader | None = None) -> list[RunRecord]:
    """The records in a file that ``da report --keep`` wrote.

    Args:
        path: of the file.
        reader: of records that were read before.

    Raises:
        InputError: it is another file.
    """
    records: Any = read_json(path, "file of runs kept by da report --keep")
    reason = (
        next(filter(None, (unusable_reason(record, reader) for record in records)), "")
        if isinstance(records, list)
        else "no list"
    )
    if reason:
        raise InputError(f"{path} holds no runs kept by da report --keep ({reason})")
    moved: list[Any] = [
        moved_record(record, None if reader is None else reader.parts) for record in records
    ]
    return moved


def draw_sensitivity(path: Path, records: Sequence[RunRecord], *, over: str) -> None:
    """Draws the last step's target accuracy over a key: a panel a task, a line a method.

    What differs between runs otherwise makes lines of its own. Runs without the key are a level.

    Args:
        path: of the figure.
        records: of the runs.
        over: the dotted key.

    Raises:
        InputError: no run has the key, or all the same value; two runs differ in nothing.
    """
    from da_framework.results.figure_process import draw_apart
    from da_framework.results.sensitivity_figure import draw_lines

    values = key_values(records, over)
    common = common_words(records)
    beside = (over, over.removeprefix("method."))
    lines: dict[Cell, tuple[str, dict[Value | None, list[float]]]] = {}
    for cell, runs in group_by_cell(records, over=over).items():
        setting = [word for word in shared_setting(cell, runs) if word not in common]
        name = " ".join([cell.method, *(w for w in setting if w.partition("=")[0] not in beside)])
        _, line = lines.setdefault(cell._replace(value=None), (name, {}))
        if figure := mean_accuracy(runs):
            line[cell.value] = list(figure.values)
    panels: dict[str, dict[str, dict[Value | None, list[float]]]] = {}
    for cell, (name, line) in lines.items():
        panel = panels.setdefault(cell.task, {})
        # configs may differ by more than their commands say
        panel[name if name not in panel else f"{name} ({len(panel) + 1})"] = line
    draw_apart(draw_lines, path, panels, key=over, values=values)


def key_values(records: Sequence[RunRecord], key: str) -> list[Value]:
    """The values that runs have of a key, in order.

    Raises:
        InputError: there are not two.
    """
    configs = [flatten(record["config"]) for record in records]
    known = list(dict.fromkeys(name for config in configs for name in config))
    if key not in known:
        inside = [name for name in known if f".{key}." in f".{name}."]
        near = inside or get_close_matches(key, known, n=5, cutoff=0.5)
        raise InputError(f"--over {key}: no run here has this key; nearest are {listed(near[:5])}")
    values = {config[key] for config in configs if key in config}
    if len(values) == 1:
        raise InputError(
            f"--over {key}: its one value here is {listed(values)}; a figure needs two or more, "
            f"as of da train -m {key}=..."
        )
    return sorted(values, key=lambda value: (isinstance(value, str), value))


def write_report(path: Path, report: Report) -> None:
    """Writes a report as a file of the kind that its name ends with.

    Raises:
        InputError: there is no such kind, or what writes it is not installed.
    """
    if path.suffix == ".html":
        write_text(path, page.render_page(report))
    elif path.suffix == ".md":
        write_text(path, "\n".join([*markdown_lines(report), ""]))
    elif path.suffix == ".csv":
        frame = to_frame(report.rows, report.common)
        frame = frame.map(lambda cell: csv_cell(cell) if isinstance(cell, str) else cell)
        write_text(path, frame.rename(columns=csv_cell).to_csv(index=False))
    elif path.suffix == ".parquet":
        try:
            with atomic_write(path) as partial:
                to_frame(report.rows, report.common).to_parquet(partial, index=False)
        except ImportError:
            raise InputError(
                f"{path}: Parquet needs pyarrow: pip install 'da_framework[parquet]', or --out "
                f"{path.with_suffix('.csv')}"
            ) from None
    else:
        raise InputError(f"--out {path}: it may end in .csv, .parquet, .md or .html")
