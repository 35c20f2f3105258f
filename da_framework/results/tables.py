"""Finished runs as tables and pictures."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from da_framework.config.moved import moved_record
from da_framework.config.relevance import relevant_config
from da_framework.core.errors import InputError, listed
from da_framework.core.files import atomic_write, write_text
from da_framework.results import page
from da_framework.results import validator_quality as selection
from da_framework.results.folder import RESULT, RunFolder, find_finished_runs
from da_framework.results.record_schema import RunRecord, schema_error
from da_framework.results.statistics import (
    PICKS,
    Cell,
    Record,
    Row,
    Value,
    accuracy_of,
    cell_of,
    compare_runs,
    evaluations,
    flatten,
    group_by_cell,
    is_baseline,
    last_diagnosis,
    setting_of,
    to_frame,
)

MARK = "†"
"""Of rows without seeds that others have."""


def print_run(record: Record, folder: Path) -> None:
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


def gather_records(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The records of the runs below these folders, or kept in these files, each with its folder.

    Those that are damaged or of another program are named, skipped and counted.

    Raises:
        InputError: there is none.
    """
    records: list[Any] = []
    folders: dict[RunFolder, None] = {}
    for path in paths:
        if path.is_dir():
            files = [run.result.resolve() for run in find_finished_runs(path)]
            folders |= dict.fromkeys(RunFolder(file.parent) for file in files)
        elif path.is_file() and path.name == RESULT:
            folders[RunFolder(path.resolve().parent)] = None
        elif path.is_file():
            records += read_kept(path)
    skipped = 0
    for folder in folders:
        try:
            records.append(read_usable(folder))
        except InputError as error:
            skipped += 1
            print(f"skipped: {error}", file=sys.stderr)
    if skipped:
        print(f"skipped {skipped} of {len(folders)} results", file=sys.stderr)
    if not records:
        raise InputError(f"no {RESULT} below {', '.join(map(str, paths))}")
    return records


def read_usable(folder: RunFolder) -> RunRecord:
    """The record of a finished run, with the folder it is in.

    Raises:
        InputError: it is damaged or no record of ours.
    """
    record = {**(folder.read_record() or {}), "folder": str(folder.path)}
    if reason := unusable_reason(record):
        raise InputError(f"{folder.result} is no record of a run ({reason}); move it away")
    return cast(RunRecord, record)


def unusable_reason(record: Any) -> str:
    """Why no table can be made of this, in words; empty if one can."""
    if reason := schema_error(record):
        return reason
    try:
        cell_of(record)
        setting_of(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def keep_records(path: Path, records: Sequence[Record]) -> None:
    """Writes what tables are made of, without what belongs to a single run."""
    apart = ("precision_per_class", "recall_per_class", "f1_per_class", "domains")
    kept = [
        {
            "command": record["command"],
            "choices": {"method": record["choices"]["method"]},
            "baseline": record.get("baseline", False),
            "config": without_paths(record["config"]),
            "domains": record["domains"],
            "target": {
                pick: {name: value for name, value in own.items() if name not in apart}
                for pick, own in record["target"].items()
            },
            "readings": evaluations(record),
            **({"diagnosis": last} if (last := last_diagnosis(record)) else {}),
            **({"scores": scored} if (scored := selection.validator_scores(record)) else {}),
            "seconds": record["seconds"],
            **({"finished": record["finished"]} if "finished" in record else {}),
            "code": record["code"],
            "environment": record["environment"],
        }
        for record in records
    ]
    write_text(path, "[\n" + ",\n".join(map(json.dumps, kept)) + "\n]\n")


def without_paths(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config less what changes no number: of a file of weights, its name is left."""
    left = relevant_config(config)
    if weights := left.get("network", {}).get("weights"):
        left["network"] |= {"weights": Path(weights).name}
    return left


def read_kept(path: Path) -> list[dict[str, Any]]:
    """The records in a file that ``keep`` wrote.

    Raises:
        InputError: it is another file.
    """
    try:
        records = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path} holds no runs kept by da report --keep ({error})") from None
    wrong = (
        next(filter(None, map(unusable_reason, records)), "")
        if isinstance(records, list)
        else "no list"
    )
    if wrong:
        raise InputError(f"{path} holds no runs kept by da report --keep ({wrong})")
    return [moved_record(record) for record in records]


def render_markdown(records: Sequence[Record], *, against: Sequence[str] = ()) -> str:
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
    return render_table(compare_records(records, against), against)


def compare_records(records: Sequence[Record], against: Sequence[str]) -> list[Row]:
    """The rows of a table.

    Raises:
        InputError: two runs of one cell have the same seed, or nothing is named so in ``against``.
    """
    table = compare_runs(records, against=against)
    if unknown := set(against) - {one.method for one in table}:
        raise InputError(
            f"--against {listed(sorted(unknown))}: there is no such run; the methods here are "
            f"{listed(sorted({one.method for one in table}))}"
        )
    return table


def render_table(table: Sequence[Row], against: Sequence[str]) -> str:
    """A table in Markdown."""
    based = any(is_baseline(one.runs) for one in table)
    columns = ["task", "method", *(f"{pick} ± 95 % interval" for pick in PICKS)]
    columns += [f"above `{other}` (worst seed)" for other in against]
    columns += ["harm", "seeds"] if based else ["seeds"]
    lines = [table_line(columns), "|---" * len(columns) + "|"]
    for one in table:
        mark = MARK if one.missing else ""
        fields = [one.task, f"`{one.method}` {', '.join(one.setting)}".rstrip()]
        fields += [f"{own}{mark}" for own in one.figures.values()]
        fields += [str(one.gains.get(other, "")) for other in against]
        fields += [one.negative_transfer] if based else []
        lines.append(table_line([*fields, f"{len(one.runs)}{mark}"]))
    return "\n".join(lines)


def table_notes(table: Sequence[Row]) -> Iterator[str]:
    """What is said below a table: how its figures came to be."""
    yield "±: half of the 95 % t-interval over seeds, of accuracy in percent."
    if tested := [own for one in table for own in one.gains.values() if own.p is not None]:
        yield (
            "above: gain of the last step in points, the mean over the seeds that both have and "
            "the worst of them; p: paired t-test, corrected by Holm for all in its column "
            f"({len(tested)} tests in this table)."
        )
    if short := [one for one in table if one.missing]:
        lacking = sorted({seed for one in short for seed in one.missing})
        yield f"{MARK}: without seeds that other rows of the task have ({listed(lacking)})."


def table_line(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def draw_sensitivity(path: Path, records: Sequence[Record], *, over: str) -> None:
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
    from da_framework.results import sensitivity_figure as sensitivity

    values = key_values(records, over)
    common = set.intersection(*(set(setting_of(record)) for record in records))
    lines: dict[Cell, tuple[str, dict[Value | None, list[float]]]] = {}
    for one, runs in group_by_cell(records, over=over).items():
        words = [w for w in setting_of(next(iter(runs.values()))) if w not in common]
        own = [w for w in words if w.partition("=")[0] not in (over, over.removeprefix("method."))]
        name = " ".join([one.method, *own])
        _, line = lines.setdefault(one._replace(value=None), (name, {}))
        line[one.value] = [100 * accuracy_of(run) for run in runs.values()]
    panels: dict[str, dict[str, dict[Value | None, list[float]]]] = {}
    for one, (name, line) in lines.items():
        panel = panels.setdefault(one.task, {})
        # configs may differ by more than their commands say
        panel[name if name not in panel else f"{name} ({len(panel) + 1})"] = line
    sensitivity.draw_lines(path, panels, key=over, values=values)


def key_values(records: Sequence[Record], key: str) -> list[Value]:
    """The values of a key, in order.

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
            f"--over {key}: its one value here is {listed(values)}; a picture needs two or more, "
            f"as of da train -m {key}=..."
        )
    return sorted(values, key=lambda value: (isinstance(value, str), value))


def write_table(path: Path, table: Sequence[Row], against: Sequence[str] = ()) -> None:
    """A table as a file of the kind that its name ends with.

    Raises:
        InputError: there is no such kind, or what writes it is not installed.
    """
    if path.suffix == ".html":
        write_text(path, page.render_page(table, against=against, notes=list(table_notes(table))))
    elif path.suffix == ".md":
        text = "\n".join([render_table(table, against), "", *table_notes(table)])
        write_text(path, f"{text}\n")
    elif path.suffix == ".csv":
        write_text(path, to_frame(table).to_csv(index=False))
    elif path.suffix == ".parquet":
        try:
            with atomic_write(path) as partial:
                to_frame(table).to_parquet(partial, index=False)
        except ImportError:
            raise InputError(
                f"{path}: Parquet needs pyarrow: pip install 'da_framework[parquet]', or --out "
                f"{path.with_suffix('.csv')}"
            ) from None
    else:
        raise InputError(f"--out {path}: it may end in .csv, .parquet, .md or .html")


def main(arguments: list[str]) -> None:
    """``da report FOLDER ...``: a Markdown table of the runs below, and files if asked for."""
    parser = argparse.ArgumentParser(prog="da report", description=main.__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="of runs, or files made by --keep")
    parser.add_argument(
        "--against",
        nargs="*",
        help="methods: how far are others above them? if not given: above those that do not adapt",
    )
    parser.add_argument(
        *("--out", "--html"),
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="also write the table (.csv, .parquet, .md), or one page with all there is (.html)",
    )
    parser.add_argument("--keep", type=Path, help="a file to keep these runs' numbers in")
    parser.add_argument(
        "--validators", action="store_true", help="how well they choose, by callback=[validators]"
    )
    parser.add_argument("--over", metavar="KEY", help="of the config: --picture draws its values")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="accuracy over --over KEY")
    parsed = parser.parse_args(arguments)
    if (parsed.over is None) != (parsed.picture is None):
        parser.error("--over KEY and --picture PNG go together")
    records = gather_records(parsed.folders)
    if parsed.keep:
        keep_records(parsed.keep, records)
    if parsed.validators:
        print(selection.render_validators(records))
        return
    against = parsed.against
    if against is None:
        against = sorted({r["choices"]["method"] for r in records if r.get("baseline")})
    table = compare_records(records, against)
    print(render_table(table, against), "", *table_notes(table), sep="\n")
    for path in parsed.out:
        write_table(path, table, against)
    if parsed.picture:
        draw_sensitivity(parsed.picture, records, over=parsed.over)
