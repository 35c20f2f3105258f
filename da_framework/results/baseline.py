"""What a baseline reaches on the task of a run: one beside it, or one that comes recorded."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from da_framework.config.moved import moved_record
from da_framework.config.relevance import relevant_config
from da_framework.core.errors import InputError
from da_framework.core.rounding import format_percent
from da_framework.core.text import printable
from da_framework.results.cells import Value, flatten, sides
from da_framework.results.experiments import RECORDED, SIDES, find_experiments
from da_framework.results.folder import RESULT, RunFolder
from da_framework.results.record import without_keys
from da_framework.results.record_schema import RunRecord
from da_framework.results.statistics import mean_accuracy, target_accuracy
from da_framework.results.tables import read_usable, unusable_reason

MARK = '"baseline": true'
"""Of a record that is one of a baseline."""
APART = ("seed", "method", "validator", "evaluate_every", *SIDES)
"""Keys that change nothing about the last step of a baseline, or are compared otherwise."""
LEARNS_OTHERWISE = "dataset.batch_size"
"""The keys of a data set that do not change the task."""
MOST_KEYS = 3
"""Keys of one part that are named where they differ; of more the part is."""
MOST_RUNS = 200
"""Folders beside a run that are looked into, the latest first."""


class Recorded(NamedTuple):
    """Recorded runs of a baseline that differ in their seed alone.

    Attributes:
        method: the baseline.
        experiment: that they are of.
        config: that can change a number, flat.
        runs: by seed.
    """

    method: str
    experiment: str
    config: Mapping[str, Value]
    runs: dict[int, RunRecord]


def describe_baseline(record: RunRecord, folder: Path) -> str:
    """What a baseline reaches on the task of a run, in a sentence; empty where nobody knows.

    The figure is of a run beside this one that differs in the method alone, or of the runs that
    come recorded with the package; what these do otherwise is said.

    Args:
        record: of the run.
        folder: that it is in.
    """
    if record.get("baseline") or target_accuracy(record) is None:
        return ""
    for beside in runs_beside(record, folder):
        return (
            f"{printable(beside['choices']['method'])} reaches "
            f"{format_percent(target_accuracy(beside) or 0.0, 2)} here: last step, this run's "
            f"config and seed ({printable(Path(beside['folder']).name)})"
        )
    config = compared_config(record)
    near = min(
        ((differing_parts(config, each.config), each) for each in find_recorded(record, config)),
        key=lambda pair: (len(pair[0]), -len(pair[1].runs)),
        default=None,
    )
    return describe_recorded(near[1], config, near[0]) if near else ""


def runs_beside(record: RunRecord, folder: Path) -> Iterator[RunRecord]:
    """The finished runs of baselines in the same place, with this config and seed."""
    config = compared_config(record)
    with suppress(OSError):
        files = [path for path in folder.parent.glob(f"*/{RESULT}") if path.parent != folder]
        latest = sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)
        for file in latest[:MOST_RUNS]:
            with suppress(InputError, UnicodeDecodeError):  # who is asked to read it says so
                if MARK not in file.read_text(encoding="utf-8"):
                    continue
                beside = read_usable(RunFolder(file.parent))
                if (
                    beside.get("baseline")
                    and beside["config"]["seed"] == record["config"]["seed"]
                    and sides(beside) == sides(record)
                    and compared_config(beside) == config
                    and target_accuracy(beside) is not None
                ):
                    yield beside


def find_recorded(record: RunRecord, config: Mapping[str, Value]) -> Iterator[Recorded]:
    """The recorded runs of baselines on the same samples, by what they do otherwise."""
    cells: dict[tuple[str, ...], Recorded] = {}
    for name, file in find_experiments().items():
        for run in read_baselines(file.with_name(f"{file.stem}{RECORDED}"), sides(record)):
            theirs, method = compared_config(run), run["choices"]["method"]
            if task_of(theirs) == task_of(config) and target_accuracy(run) is not None:
                settings = json.dumps([theirs, run["config"].get("method")], sort_keys=True)
                empty = Recorded(method, name, theirs, {})
                cells.setdefault((method, name, settings), empty).runs[run["config"]["seed"]] = run
    yield from cells.values()


def read_baselines(file: Path, domains: tuple[list[str], list[str]]) -> Iterator[RunRecord]:
    """The runs of baselines between these domains in a file of recorded runs.

    Such a file has a line for each run; no other line is parsed, since files are large.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    pair = json.dumps(dict(zip(("source", "target"), domains, strict=True)))
    for line in lines:
        if MARK in line and pair in line:
            with suppress(ValueError):
                run: Any = moved_record(json.loads(line.removesuffix(",")))
                if not unusable_reason(run):
                    yield run


def compared_config(record: RunRecord) -> dict[str, Value]:
    """What of a run's config changes the last step of a baseline, flat."""
    return flatten(without_keys(relevant_config(record["config"]), APART))


def task_of(config: Mapping[str, Value]) -> dict[str, Value]:
    """What of a flat config says which samples there are."""
    return {
        key: value
        for key, value in config.items()
        if key.startswith("dataset.") and not key.startswith(LEARNS_OTHERWISE)
    }


def differing_parts(config: Mapping[str, Value], other: Mapping[str, Value]) -> list[str]:
    """The keys that two flat configs differ in; of a part with many of them, the part."""
    parts: dict[str, list[str]] = {}
    for key in dict.fromkeys([*config, *other]):
        if config.get(key) != other.get(key):
            parts.setdefault(key.partition(".")[0], []).append(key)
    return [
        key for part, keys in parts.items() for key in (keys if len(keys) <= MOST_KEYS else [part])
    ]


def describe_recorded(recorded: Recorded, config: Mapping[str, Value], differing: list[str]) -> str:
    """A figure that was recorded, and what it stands on."""
    figure = mean_accuracy(recorded.runs)
    assert figure is not None
    seeds = sorted(recorded.runs)
    of = f"mean of {len(seeds)} seeds" if len(seeds) > 1 else f"seed {seeds[0]}"
    if figure.half is not None:
        of += " with its 95% interval"
    otherwise = ", ".join(describe_difference(key, recorded.config, config) for key in differing)
    return (
        f"{recorded.method} reaches {figure}% here, as recorded in {recorded.experiment}: last of "
        f"{recorded.config['steps']} steps, {of}, "
        + (f"but with {otherwise}" if differing else "with this run's config")
    )


def describe_difference(key: str, theirs: Mapping[str, Value], ours: Mapping[str, Value]) -> str:
    """What a key was there, and is in this run; a part is only named."""
    if key not in theirs and key not in ours:
        return f"another {key}"
    return f"{key}={theirs.get(key, 'null')} in place of {ours.get(key, 'null')}"
