"""Power cuts by real means: a run on an ext4 image, whose disk is copied while it trains.

    python scripts/power_cuts.py experiments/faults/power_cuts.json [key=value ...]

Needs Linux and root: an image is mounted by a loop device. The file behind the device is the disk:
what was not synced is not in it, unless the kernel wrote it by itself. It is copied at random
moments of a run, and once more as soon as the command has ended; a copy during which the device was
written to is made again, so that each is of one moment. Each is mounted as after a power cut, which
replays its journal; the same command continues; and weights, record and history must be those of
the undisturbed run, bit for bit. A copy in which the record is there must not be trained further.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from da_framework.core.files import write_text
from da_framework.results.folder import RunFolder

KEYS = (
    *("steps=200", "evaluate_every=20", "checkpoint_every=10", "flush_every=5"),
    *("network.dropout=0.5", "logger=[]", "callback=[]", "trainer.accelerator=cpu"),
)
SIZE = 128
"""MiB of the image."""
COMPARED = ("curve", "target", "source", "steps", "key", "verdicts")


def main() -> None:
    """Cuts the power, continues, compares, and writes what came of it."""
    parser = argparse.ArgumentParser(description="power cuts on an ext4 image; Linux and root")
    parser.add_argument("out", type=Path, help="the file to write")
    parser.add_argument("overrides", nargs="*", help="of da train")
    parser.add_argument("--cuts", type=int, default=20, help="moments of the run")
    parser.add_argument("--commit", type=int, default=5, help="seconds between ext4's commits")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    given = parser.parse_args()
    if sys.platform != "linux" or os.geteuid():
        raise SystemExit("loop devices need Linux and root")
    keys = [*KEYS, *given.overrides]
    with tempfile.TemporaryDirectory(prefix="power-cuts-") as folder:
        report = cut_power(Path(folder), keys, given.cuts, f"commit={given.commit}", given.seed)
    report["command"] = " ".join(["python", *sys.argv])
    write_text(given.out, json.dumps(report, indent=1) + "\n")
    print(json.dumps({name: part for name, part in report.items() if name != "moments"}, indent=1))
    if report["equal"] < report["cuts"] or report["finished_lost"]:
        raise SystemExit(1)


def cut_power(
    folder: Path, keys: Sequence[str], cuts: int, options: str, seed: int
) -> dict[str, Any]:
    """Trains undisturbed, then on an image that is copied; continues each copy.

    Args:
        folder: for all of it.
        keys: of the run.
        cuts: copies during the run; one more is made of its end.
        options: of the mount.
        seed: of the moments.
    """
    whole = folder / "whole"
    train(whole, keys).check_returncode()
    finished = RunFolder(whole / "run")
    lasts = finished.result.stat().st_mtime - finished.key_file.stat().st_mtime
    image = folder / "disk.img"
    with image.open("wb") as stream:
        stream.truncate(SIZE * 2**20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    draws = random.Random(seed)
    moments = sorted(draws.uniform(0, lasts) for _ in range(cuts))
    copies: list[tuple[Path, float]] = []
    with mounted(image, folder / "disk", options) as disk:
        process = start(disk, keys)
        while not RunFolder(disk / "run").key_file.exists() and process.poll() is None:
            time.sleep(0.001)
        began = time.monotonic()
        for number, moment in enumerate(moments):
            time.sleep(max(0.0, began + moment - time.monotonic()))
            process.send_signal(signal.SIGSTOP)
            stopped = time.monotonic()
            copies.append((copy_disk(image, folder / f"cut{number}.img"), moment))
            process.send_signal(signal.SIGCONT)
            began += time.monotonic() - stopped
        if code := process.wait():
            raise SystemExit(f"the run on the image ended with {code}")
        ended = time.monotonic() - began
        copies.append((copy_disk(image, folder / "end.img"), ended))
    found = [continue_copy(copy, folder, whole, keys, options) for copy, _ in copies]
    for outcome, (_, moment) in zip(found, copies, strict=True):
        outcome["second"] = round(moment, 3)
    return {
        "cuts": len(copies),
        "equal": sum(outcome["equal"] for outcome in found),
        "finished": sum(outcome["was"] == "finished" for outcome in found),
        "finished_lost": sum(outcome["lost"] for outcome in found),
        "seconds": round(ended, 1),
        "keys": list(keys),
        "mount": options,
        "kernel": os.uname().release,
        "moments": found,
    }


def continue_copy(
    image: Path, folder: Path, whole: Path, keys: Sequence[str], options: str
) -> dict[str, Any]:
    """Mounts a copy as after a power cut, repeats the command, and compares.

    Returns:
        What was there, how the command went on, and whether all is equal.
    """
    with mounted(image, folder / "disk", options) as disk:
        run = RunFolder(disk / "run")
        record = run.result.is_file()
        written = run.result.stat().st_mtime_ns if record else 0
        sizes = {
            path.relative_to(disk).as_posix(): path.stat().st_size
            for path in sorted(run.path.rglob("*"))
            if path.is_file() and ".hydra" not in path.parts
        }
        ended = train(disk, keys)
        lines = ended.stdout.splitlines()
        lost = record and run.result.stat().st_mtime_ns != written
        outcome = {
            "was": "finished" if record else "continued" if "continuing" in ended.stdout else "new",
            "lost": bool(lost),
            "empty": [name for name, size in sizes.items() if not size and ".lock" not in name],
            "warnings": [line for line in lines if "warning" in line or "damaged" in line],
            "code": ended.returncode,
        }
        outcome["equal"] = not ended.returncode and is_equal(run, RunFolder(whole / "run"))
    image.unlink()
    return outcome


def is_equal(run: RunFolder, whole: RunFolder) -> bool:
    """Whether weights, record and history are the same, bit for bit."""
    for pick in ("last", "chosen"):
        states = [
            torch.load(own.checkpoint(pick), weights_only=True)["state_dict"]
            for own in (run, whole)
        ]
        if states[0].keys() != states[1].keys():
            return False
        if not all(torch.equal(weight, states[1][name]) for name, weight in states[0].items()):
            return False
    records: list[Any] = [own.read_record() for own in (run, whole)]
    same = all(records[0].get(name) == records[1].get(name) for name in COMPARED)
    return same and run.metrics.read_text("utf-8") == whole.metrics.read_text("utf-8")


def command(keys: Sequence[str]) -> list[str]:
    """That trains in the folder ``run`` of where it is called."""
    return [sys.executable, "-m", "da_framework", "train", "hydra.run.dir=run", *keys]


def environment() -> dict[str, str]:
    """One thread, so that runs are equal; this package, wherever the command is called."""
    root = str(Path(__file__).parents[1])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root}


def train(folder: Path, keys: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        command(keys), cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )


def start(folder: Path, keys: Sequence[str]) -> subprocess.Popen[bytes]:
    """Begins the command."""
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        command(keys), cwd=folder, env=environment(), stdout=quiet, stderr=quiet
    )


def copy_disk(image: Path, to: Path) -> Path:
    """Copies the file behind the loop device, as it is at one moment."""
    while True:
        before = device_writes(image)
        subprocess.run(["cp", "--sparse=always", str(image), str(to)], check=True)
        if device_writes(image) == before:
            return to


def device_writes(image: Path) -> list[str]:
    """The counters of what was written to an image's loop device, and of what is on its way."""
    found = subprocess.run(
        ["losetup", "-j", str(image), "-n", "-O", "NAME"],
        capture_output=True,
        text=True,
        check=True,
    )
    device = Path(found.stdout.strip()).name
    return Path(f"/sys/block/{device}/stat").read_text("utf-8").split()[4:9]


@contextmanager
def mounted(image: Path, folder: Path, options: str) -> Iterator[Path]:
    """An image as a folder."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", f"loop,{options}", str(image), str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


if __name__ == "__main__":
    main()
