"""``da sync``: sends to W&B what runs have kept while it was out of reach."""

import os
import subprocess
import sys
from collections.abc import Sequence
from os.path import realpath
from pathlib import Path

from da_framework.cli.arguments import ArgumentParser
from da_framework.core.damage import file_size, read_each
from da_framework.core.errors import InputError
from da_framework.core.files import run_lock
from da_framework.training.loggers.wandb_connection import why_offline

EMPTY = 7
"""Bytes of a file that holds no record yet."""


def main(arguments: Sequence[str]) -> None:
    """Sends the runs below some folders, each once.

    Raises:
        InputError: the server cannot be reached, or has not taken all of them.
    """
    parser = ArgumentParser(
        prog="da sync",
        description="Send runs to W&B that were offline, or not sent to the end.",
        epilog="example: da sync runs multirun",
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="of runs")
    folders = parser.parse_args(arguments).folders
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"there is no folder {folder}")
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
