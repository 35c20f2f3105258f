"""Kills what ``da`` does at random moments, repeats the command, and compares the bits.

    python scripts/kill_runs.py                          # all of it: twenty minutes on one core
    python scripts/kill_runs.py --only training --kills 24

``kill -9`` at a moment drawn from the whole length of the command, again and again until the same
command has ended; what it leaves must be what an undisturbed one leaves: weights, curve and numbers
of the record, table of metrics, report. A part whose launcher is not installed is left out. Counts
go to ``experiments/faults/kills.recorded.json``, each under its part.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: another number makes other bits

import torch

from da_framework.cli.main import main as da
from da_framework.core.files import write_text

FAULTS = Path(__file__).resolve().parents[1] / "experiments" / "faults"
RECORDED = FAULTS / "kills.recorded.json"
BEGIN, END = "<!-- kills -->", "<!-- /kills -->"
"""Around the table in the README."""
TINY = ("dataset=two_moons", "network=mlp", "logger=[]", "trainer.accelerator=cpu")
TRAIN = (
    *("train", *TINY, "callback=[diagnostics]", "steps=150", "evaluate_every=30"),
    *("checkpoint_every=10", "flush_every=7", "network.dropout=0.5", "optimizer.momentum=0.9"),
)
METHODS = ("source_only", "dann", "mmd", "mcd", "cdan", "wdgrl", "mean_teacher", "can")
SWEEP = (
    *("train", "-m", *TINY, "callback=[curves]", "steps=60", "evaluate_every=20"),
    *("checkpoint_every=10", "method=dann,mmd", "seed=1,2"),
)
LAUNCHERS = {
    "joblib": ("hydra_plugins.hydra_joblib_launcher", ["hydra.launcher.n_jobs=2"]),
    "local": ("hydra_plugins.hydra_submitit_launcher", ["hydra.sweeper.max_batch_size=2"]),
    "ray": ("hydra_plugins.hydra_ray_launcher", ["+hydra.launcher.ray.init.num_cpus=2"]),
}
TOGETHER = (*TRAIN, "trainer.devices=2", "dataset.batch_size={source: 64, target: 64}")
SAME = ("curve", "target", "source", "steps", "key")
"""What two records of one run have in common: all but times and machine."""


class Killing:
    """Runs commands in a folder and kills them.

    Attributes:
        folder: where.
        kills: so far.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.kills = 0

    def run(self, arguments: Sequence[str], *, fork: bool) -> subprocess.Popen[bytes] | int:
        """Begins a command: in a fork of this process, which saves its imports, or in a new one."""
        if not fork:
            command = [sys.executable, "-m", "da_framework", *arguments]
            quiet = subprocess.DEVNULL
            return subprocess.Popen(command, cwd=self.folder, stdout=quiet, stderr=quiet)
        if child := os.fork():
            return child
        code = 70
        try:
            os.chdir(self.folder)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            da(arguments)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        finally:
            os._exit(code)

    def seconds(self, arguments: Sequence[str], *, fork: bool, good: Sequence[int] = (0,)) -> float:
        """What a command takes that nobody disturbs.

        Raises:
            RuntimeError: it fails.
        """
        begun = time.monotonic()
        if (code := wait(self.run(arguments, fork=fork), timeout=None)) not in good:
            raise RuntimeError(f"{arguments} ended with {code}")
        return time.monotonic() - begun

    def until_done(
        self,
        arguments: Sequence[str],
        *,
        seconds: float,
        most: int,
        fork: bool = False,
        victims: Callable[[list[psutil.Process]], list[psutil.Process]] = lambda tree: tree,
        good: Sequence[int] = (0,),
        look: Callable[[], None] = lambda: None,
    ) -> None:
        """Repeats a command until it has ended, and kills it before at most so many times.

        Args:
            arguments: of ``da``.
            seconds: that it takes undisturbed.
            most: kills.
            fork: whether it runs in a fork of this process.
            victims: which of the processes that it consists of are killed.
            good: exit codes with which it has ended.
            look: is called after each kill.

        Raises:
            RuntimeError: it fails.
        """
        for _ in range(most):
            child = self.run(arguments, fork=fork)
            code = wait(child, timeout=self.random.uniform(0, 1.1 * seconds))
            if code is None:
                self.kills += 1
                kill(child, victims)
                look()
            elif code in good:
                return
            elif fork:
                raise RuntimeError(f"{arguments} ended with {code}")
        self.seconds(arguments, fork=fork, good=good)


def wait(child: subprocess.Popen[bytes] | int, timeout: float | None) -> int | None:
    """The exit code of a command; none if it has not ended in time."""
    if not isinstance(child, int):
        try:
            return child.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
    deadline = None if timeout is None else time.monotonic() + timeout
    while deadline is None or time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    return None


def kill(
    child: subprocess.Popen[bytes] | int,
    victims: Callable[[list[psutil.Process]], list[psutil.Process]],
) -> None:
    """Kills processes of a command, and waits until the others have ended, or been ended."""
    root = psutil.Process(child if isinstance(child, int) else child.pid)
    tree = [root, *root.children(recursive=True)]
    for process in victims(tree):
        if process.is_running():
            process.send_signal(signal.SIGKILL)
    wait(child, timeout=60)
    _, alive = psutil.wait_procs(tree[1:], timeout=60)
    for process in alive:
        process.kill()


def compare_runs(whole: Path, other: Path) -> None:
    """Holds a run, bit for bit, against one that nobody disturbed.

    Raises:
        AssertionError: they differ.
    """
    for name in ("last", "chosen"):
        expected, actual = (
            torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
            for run in (whole, other)
        )
        assert expected.keys() == actual.keys()
        assert all(torch.equal(expected[key], actual[key]) for key in expected), (other, name)
    records = [json.loads((run / "result.json").read_text("utf-8")) for run in (whole, other)]
    for key in SAME:
        assert records[0][key] == records[1][key], (other, key)
    tables = [(run / "metrics.csv").read_text("utf-8") for run in (whole, other)]
    assert tables[0] == tables[1], other


def compare_sweeps(whole: Path, other: Path) -> int:
    """Holds every run of a sweep against that of one that nobody disturbed; returns how many."""
    runs = sorted(file.parent.relative_to(whole) for file in whole.rglob("result.json"))
    assert runs
    assert runs == sorted(file.parent.relative_to(other) for file in other.rglob("result.json"))
    for run in runs:
        compare_runs(whole / run, other / run)
    return len(runs)


def kill_training(killing: Killing, most: int) -> dict[str, Any]:
    """Single runs of eight methods."""
    for module in ("build", "module", "processes", "resume", "run_log", "train", "trainer"):
        import_module(f"da_framework.training.{module}")  # once, for all forks
    compared = 0
    for number, method in enumerate(METHODS):
        keys = (*TRAIN, f"method={method}")
        whole = f"hydra.run.dir={method}"
        seconds = killing.seconds((*keys, whole), fork=True)
        while killing.kills < most * (number + 1) / len(METHODS):
            run = f"{method}-{compared}"
            before = killing.kills
            left = int(most * (number + 1) / len(METHODS)) - before
            arguments = (*keys, f"hydra.run.dir={run}")
            killing.until_done(arguments, seconds=seconds, most=max(1, left), fork=True)
            compare_runs(killing.folder / method, killing.folder / run)
            compared += 1
    return {"kills": killing.kills, "methods": list(METHODS), "runs compared": compared}


def kill_data_check(killing: Killing, most: int) -> dict[str, Any]:
    """``da data check`` of a folder of images."""
    draw = np.random.default_rng(0)
    for number in range(400):
        file = killing.folder / "images" / f"d{number % 2}" / f"c{number % 3}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (96, 96, 3), np.uint8)).save(file)
    keys = ("data", "check", "dataset=folder", "dataset.root=images", "dataset.source=[d0]")
    command = (*keys, "dataset.target=[d1]", "out=check")
    seconds = killing.seconds(command, fork=True)
    report = killing.folder / "check" / "report.json"
    expected = {file.name: file.read_bytes() for file in report.parent.iterdir()}
    compared = 0

    def look() -> None:
        if report.is_file():  # whole, or not there
            assert report.read_bytes() == expected[report.name]

    while killing.kills < most:
        shutil.rmtree(report.parent)
        killing.until_done(
            command, seconds=seconds, most=most - killing.kills, fork=True, look=look
        )
        left = {file.name: file.read_bytes() for file in report.parent.iterdir()}
        assert left == expected
        compared += 1
    return {"kills": killing.kills, "reports compared": compared}


def some(killing: Killing) -> Callable[[list[psutil.Process]], list[psutil.Process]]:
    """All of a command's processes, the first alone, or any one of the others."""

    def victims(tree: list[psutil.Process]) -> list[psutil.Process]:
        return killing.random.choice([tree, tree[:1], [killing.random.choice(tree)]])

    return victims


def kill_reproduce(killing: Killing, most: int) -> dict[str, Any]:
    """``da reproduce`` of two rows of a table, or the sweep that it has started."""
    command = ("reproduce", "jda_2013/digits_baselines", "--quick")
    seconds = killing.seconds(command, fork=False, good=(0, 1))
    runs = killing.folder / "multirun"
    whole = runs.rename(killing.folder / "whole")
    compared = 0
    while killing.kills < most:
        killing.until_done(
            command,
            seconds=seconds,
            most=most - killing.kills,
            victims=some(killing),
            good=(0, 1),
        )
        compared += compare_sweeps(whole, runs)
        tables = [sorted(folder.rglob("*.md")) for folder in (whole, runs)]
        assert [file.read_text("utf-8") for file in tables[0]] == [
            file.read_text("utf-8") for file in tables[1]
        ]
        shutil.rmtree(runs)
    return {"kills": killing.kills, "runs compared": compared}


def kill_sweep(killing: Killing, most: int, launcher: str) -> dict[str, Any]:
    """A sweep of four jobs under a launcher: all its processes, or any one of them."""
    words = [f"hydra/launcher={launcher}", *LAUNCHERS[launcher][1]]
    killing.seconds((*SWEEP, "hydra.sweep.dir=whole"), fork=False)
    seconds = killing.seconds((*SWEEP, *words, "hydra.sweep.dir=timed"), fork=False)
    compared = compare_sweeps(killing.folder / "whole", killing.folder / "timed")
    number = 0
    while killing.kills < most:
        arguments = (*SWEEP, *words, f"hydra.sweep.dir=killed-{number}")
        left = most - killing.kills
        killing.until_done(arguments, seconds=seconds, most=left, victims=some(killing))
        compared += compare_sweeps(killing.folder / "whole", killing.folder / f"killed-{number}")
        number += 1
    return {"kills": killing.kills, "runs compared": compared}


def kill_ranks(killing: Killing, most: int) -> dict[str, Any]:
    """One of two processes that train together; the other ends by itself."""
    seconds = killing.seconds((*TOGETHER, "hydra.run.dir=whole"), fork=False)
    number = 0
    while killing.kills < most:

        def one(tree: list[psutil.Process]) -> list[psutil.Process]:
            return [killing.random.choice(tree)]

        arguments = (*TOGETHER, f"hydra.run.dir=killed-{number}")
        killing.until_done(arguments, seconds=seconds, most=most - killing.kills, victims=one)
        compare_runs(killing.folder / "whole", killing.folder / f"killed-{number}")
        number += 1
    return {"kills": killing.kills, "runs compared": number}


PARTS: dict[str, tuple[Callable[[Killing, int], dict[str, Any]], int]] = {
    "training": (kill_training, 100),
    "data check": (kill_data_check, 20),
    "reproduce": (kill_reproduce, 10),
    "ranks": (kill_ranks, 6),
    **{launcher: (partial(kill_sweep, launcher=launcher), 6) for launcher in LAUNCHERS},
}
"""What is killed, and how often."""
TITLES = {
    "training": f"`da train` with {', '.join(METHODS)}",
    "data check": "`da data check` of 400 images",
    "reproduce": "`da reproduce`: it, the sweep it has started, or both",
    "ranks": "one of two processes that train together",
    **{
        name: f"`da train -m hydra/launcher={name}`: all processes, or any one"
        for name in LAUNCHERS
    },
}
"""Each part in the table."""


def main() -> None:
    """Kills, compares, and records how often."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=list(PARTS), nargs="*", help="these parts alone")
    parser.add_argument("--kills", type=int, help="of each part, in place of its own number")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32, help="of the moments")
    asked = parser.parse_args()
    for name in asked.only or PARTS:
        if name in LAUNCHERS and find_spec(LAUNCHERS[name][0]) is None:
            print(f"{name}: not installed here")
            continue
        part, most = PARTS[name]
        with tempfile.TemporaryDirectory() as folder:
            begun = time.monotonic()
            counts = part(Killing(Path(folder), asked.seed), asked.kills or most)
        counts |= {"seed": asked.seed, "seconds": round(time.monotonic() - begun)}
        print(f"{name}: {counts}", flush=True)
        recorded = json.loads(RECORDED.read_text("utf-8")) if RECORDED.is_file() else {}
        write_text(RECORDED, json.dumps(recorded | {name: counts}, indent=1) + "\n")
    readme = FAULTS / "README.md"
    before, _, rest = readme.read_text("utf-8").partition(BEGIN)
    table = render_table(json.loads(RECORDED.read_text("utf-8")))
    write_text(readme, f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}")


def render_table(recorded: dict[str, Any]) -> str:
    """The counts as a table."""
    lines = ["| what is killed | kills | compared, all equal |", "|---|---|---|"]
    for name, counts in recorded.items():
        what = TITLES[name]
        compared = next(
            f"{count} {key.split()[0]}" for key, count in counts.items() if "compared" in key
        )
        lines.append(f"| {what} | {counts['kills']} | {compared} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
