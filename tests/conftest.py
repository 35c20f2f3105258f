"""What the tests of the command line share: ``da`` in this process, in a folder of its own."""

import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from da_framework.cli import main

SMALL = ("dataset=two_moons", "network=mlp", "steps=20", "logger=[]", "callback=[]")


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Commands:
    """Runs ``da`` in a folder; small training runs by ``train``.

    Attributes:
        folder: where commands are run.
        small: overrides of a run of a fraction of a second.
    """

    small = SMALL

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys

    def __call__(self, *arguments: str) -> Ended:
        self.capsys.readouterr()
        try:
            main(arguments)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        return Ended(code, *self.capsys.readouterr())

    def train(self, *overrides: str, run: str = "run") -> Ended:
        """A small run in the folder ``run``."""
        return self("train", *SMALL, f"hydra.run.dir={run}", *overrides)

    def record(self, run: str = "run") -> dict[str, Any]:
        """What ``result.json`` holds."""
        found: dict[str, Any] = json.loads((self.folder / run / "result.json").read_text())
        return found

    def weights(self, run: str = "run", pick: str = "last") -> dict[str, torch.Tensor]:
        """Of the model as a checkpoint holds them."""
        file = self.folder / run / "checkpoints" / f"{pick}.ckpt"
        found: dict[str, torch.Tensor] = torch.load(file, weights_only=True)["state_dict"]
        return found

    def copy(self, run: str, other: str) -> None:
        """A run's folder once more."""
        shutil.copytree(self.folder / run, self.folder / other)


@pytest.fixture
def da(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Commands]:
    import __main__

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(__main__, "__spec__", __main__.__spec__)
    for name in ("HYDRA_FULL_ERROR", "COMP_LINE", "COMP_POINT"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.delenv("DA_DATA", raising=False)
    yield Commands(tmp_path, capsys)
    # Hydra's handlers write to a stream that ends with the test
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if not type(handler).__module__.startswith("_pytest"):
            root.removeHandler(handler)
            handler.close()
