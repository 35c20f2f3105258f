"""``da sync``: sends to W&B and MLflow what runs have kept while these were out of reach."""

import csv
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from inspect import signature
from os.path import realpath
from pathlib import Path
from typing import Any

from da_framework.cli.arguments import ArgumentParser
from da_framework.core.damage import file_size, read_each, read_text
from da_framework.core.errors import InputError, one_line
from da_framework.core.files import run_lock
from da_framework.core.text import printable_tree
from da_framework.results.cells import sides
from da_framework.results.folder import RunFolder, find_finished_runs
from da_framework.training.loggers.wandb_connection import why_offline

EMPTY = 7
"""Bytes of a file that holds no record yet."""
PICKS = ("last", "chosen")
"""The checkpoints that are sent to MLflow."""
OF_OTHERS = (InputError, AttributeError, KeyError, TypeError, ValueError)
"""What a record makes of itself that is none of ours, or files that are damaged."""
PATIENCE = 10.0
"""Seconds that a server of MLflow may take for an answer, whatever a record says."""


def main(arguments: Sequence[str]) -> None:
    """Sends the runs below some folders, each once.

    Raises:
        InputError: the server cannot be reached, or has not taken all of them.
    """
    parser = ArgumentParser(
        prog="da sync",
        description="Send runs to W&B, or to the MLflow store of MLFLOW_TRACKING_URI, that were "
        "offline, or not sent to the end.",
        epilog="example: da sync runs multirun",
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="of runs")
    folders = parser.parse_args(arguments).folders
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"there is no folder {folder}")
    lines = send_to_mlflow(folders)
    if not lines or any(map(wandb_files, folders)):
        send_to_wandb(folders)
    for line in lines:
        print(line)
    if any("not sent" in line for line in lines):
        raise InputError("MLflow does not have all of them; the same command tries them again")


def send_to_wandb(folders: Sequence[Path]) -> None:
    """Sends the runs below some folders to W&B, each once.

    Raises:
        InputError: the server cannot be reached, or has not taken all of them.
    """
    files = sorted({file.resolve() for folder in folders for file in wandb_files(folder)})
    waiting = [file for file in files if not is_sent(file)]
    busy = [file for file in waiting if is_training(file.parents[2])]
    waiting = [file for file in waiting if file not in busy]
    for number, state in (
        (len(files) - len(waiting) - len(busy), "sent already"),
        (len(busy), "of runs still training: left alone"),
    ):
        if number:
            print(number, state)
    if not waiting:
        print("nothing to send")
        return
    if reason := why_offline():
        raise InputError(f"W&B cannot be reached ({reason}); nothing was sent")
    # several files of one run are sent one after another, as they were begun
    with subprocess.Popen(
        [sys.executable, "-m", "wandb", "sync", "--include-online", *map(str, waiting)],
        env={name: value for name, value in os.environ.items() if name != "WANDB_MODE"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout or ():  # through our output, which hides what is secret
            print(line, end="")
    left = [file for file in waiting if not is_sent(file)]
    print(f"{len(waiting) - len(left)} of {len(waiting)} sent")
    if left:
        raise InputError(*left, "were not sent; the same command tries them again")


def send_to_mlflow(folders: Sequence[Path]) -> list[str]:
    """Sends the finished runs below some folders to the MLflow store that this person uses.

    The address is never that of a record, which may be a stranger's.

    Returns:
        A line for each run that was logged to MLflow: what was done.
    """
    places = {run.path.resolve(): run for f in folders for run in find_finished_runs(f)}
    runs = [run for run in places.values() if mlflow_keys(run) is not None]
    if not runs:
        return []
    from da_framework.training.loggers.mlflow import NO_ADDRESS, own_address

    if (uri := own_address()) is None:
        return [f"{run.path}: not sent to MLflow: {NO_ADDRESS}" for run in runs]
    lines = []
    for run in runs:
        if is_training(run.path):
            lines.append(f"{run.path}: is still training: left alone")
        else:
            try:
                lines.append(f"{run.path}: {send_run(run, uri)}")
            except OF_OTHERS as error:
                lines.append(f"{run.path}: not sent to MLflow: {one_line(error, most=200)}")
    return lines


def mlflow_keys(run: RunFolder) -> dict[str, Any] | None:
    """The keys by which a run was logged to MLflow; none if it was not, or cannot be read."""
    try:
        record: Any = run.read_record()
        node = (record["config"].get("logger") or {}).get("mlflow")
    except (InputError, TypeError, AttributeError):
        return None
    return dict(node) if isinstance(node, Mapping) else None


def send_run(run: RunFolder, uri: str) -> str:
    """Sends a run to an MLflow store, if that does not have it already; what was done, in words."""
    from da_framework.training.loggers.mlflow import Mlflow, send_later
    from da_framework.training.run_log import name_sides

    record: Any = run.read_record()
    keys = mlflow_keys(run) or {}
    states: list[str] = []
    send_later(run, lambda client, i: states.append(client.get_run(i).info.status), uri=uri)
    if states == ["FINISHED"]:
        return "MLflow has it already"
    known = {key: keys[key] for key in signature(Mlflow).parameters if key in keys}
    logger = Mlflow(**{**known, "uri": uri, "folder": str(run.path), "patience": PATIENCE})
    logger.log_hyperparams(printable_tree({**record["config"], "code": record["code"]}))
    logger.log_tag("domains", name_sides(*sides(record)))
    for row in csv.DictReader(read_text(run.metrics, "figures of a run").splitlines()):
        step = int(row.pop("step"))
        logger.log_metrics({n: float(value) for n, value in row.items() if value}, step=step)
    picks = record["target"].items()
    accuracies = {f"target/{n}": pick["accuracy"] for n, pick in picks if "accuracy" in pick}
    logger.log_metrics(accuracies, step=record["steps"])
    logger.log_figures(run.drawn_figures(), record["steps"])
    logger.log_checkpoints({f: [f.stem] for f in map(run.checkpoint, PICKS) if f.is_file()})
    reached = logger.client is not None
    logger.finish(done=True)
    return "sent to MLflow" if reached else "not sent to MLflow"


def wandb_files(folder: Path) -> list[Path]:
    """What the client has written below a folder; each run may have several.

    A link to what is elsewhere is not followed.

    Raises:
        InputError: there are such files, and none can be read.
    """
    files = [p for p in folder.rglob("*run-*/run-*.wandb") if p.parent.parent.name == "wandb"]
    # resolve() would raise where a link leads to itself
    inside = [p for p in files if Path(realpath(p)).is_relative_to(realpath(folder))]
    sizes = read_each(inside, lambda file: (file, file_size(file, "file of W&B")), "files of W&B")
    return [file for file, size in sizes if size > EMPTY]


def is_sent(file: Path) -> bool:
    """Whether the server has all of it, by the mark that the client leaves."""
    return file.with_name(f"{file.name}.synced").exists()


def is_training(folder: Path) -> bool:
    """Whether a process is still writing there."""
    try:
        with run_lock(folder):
            return False
    except InputError:
        return True
