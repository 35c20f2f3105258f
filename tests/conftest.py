"""What the tests of the command line share: ``da`` in this process, in a folder of its own."""

import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from da_framework.cli.main import main

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
        kept: runs that several tests share.
        small: overrides of a run of a fraction of a second.
    """

    small = SMALL

    def __init__(self, folder: Path, kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.kept = kept
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

    def once(self, name: str, *overrides: str, data: Callable[[], object] | None = None) -> None:
        """A small run in the folder ``run``, trained by the first test that asks for its name.

        Args:
            name: of overrides and data; the later tests are given copies of the run and its data.
            overrides: of the run.
            data: writes the files that it reads.
        """
        kept = self.kept / name
        if kept.exists():
            shutil.copytree(kept, self.folder, dirs_exist_ok=True)
            return
        if data:
            data()
        ended = self.train(*overrides)
        assert ended.code == 0, ended
        shutil.copytree(self.folder, kept)

    def record(self, run: str = "run") -> dict[str, Any]:
        """What ``result.json`` holds."""
        weights: dict[str, Any] = json.loads((self.folder / run / "result.json").read_text())
        return weights

    def weights(self, run: str = "run", pick: str = "last") -> dict[str, torch.Tensor]:
        """Of the model as a checkpoint holds them."""
        file = self.folder / run / "checkpoints" / f"{pick}.ckpt"
        record: dict[str, torch.Tensor] = torch.load(file, weights_only=True)["state_dict"]
        return record

    def copy(self, run: str, other: str) -> None:
        """A run's folder once more."""
        shutil.copytree(self.folder / run, self.folder / other)


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where runs are kept that several tests share."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def da(tmp_path: Path, kept: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Commands]:
    with commanding(tmp_path):
        yield Commands(tmp_path, kept, capsys)


@contextmanager
def commanding(folder: Path) -> Iterator[pytest.MonkeyPatch]:
    """A folder to run ``da`` in, in this process, which is afterwards as it was."""
    import __main__

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", sys.argv)
        patch.setattr(__main__, "__spec__", __main__.__spec__)
        for name in ("HYDRA_FULL_ERROR", "COMP_LINE", "COMP_POINT"):
            patch.setenv(name, os.environ.get(name, ""))
        patch.delenv("DA_DATA", raising=False)
        yield patch
    # Hydra's handlers write to a stream that ends with the test
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if not type(handler).__module__.startswith("_pytest"):
            root.removeHandler(handler)
            handler.close()
