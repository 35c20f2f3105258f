"""What all tests share: processes side by side, and ``da`` in this process, in a folder."""

import hashlib
import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from beartype import BeartypeConf
from beartype.claw import beartype_packages
from filelock import FileLock
from hypothesis import settings

# processes side by side would take each other's cores; read when torch is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

# types are held while tests run, with the shapes of tensors by jaxtyping (pyproject.toml); where
# none are and functions are called most, by beartype alone, whose calls cost a fraction
beartype_packages(
    ["da_framework.audit", "da_framework.callbacks", "da_framework.config", "da_framework.core"],
    conf=BeartypeConf(
        claw_is_pep526=False,
        is_pep484_tower=True,  # a whole number is a float, as mypy has it
        # one imports for its types alone; the other's tuples hold what is like a tensor, too
        claw_skip_package_names=("da_framework.core.terminal", "da_framework.core.batch"),
    ),
)

from da_framework.cli.main import main  # noqa: E402
from tests.browser import browser as browser  # noqa: E402
from tests.selection import is_shared  # noqa: E402

# a test that passes today passes tomorrow; --hypothesis-profile=default draws other cases
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# the background of a shell ignores Ctrl-C, and nohup a lost terminal: tests send both
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

TESTS = Path(__file__).parent
SMALL = ("dataset=two_moons", "network=mlp", "steps=20", "logger=[]", "callback=[]")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Tests run side by side where all are asked for; a few would only wait for the workers."""
    options = config.option
    if getattr(options, "numprocesses", 0) is not None or options.usepdb:
        return  # pytest-xdist is not there, or is told what to do
    if "PYTEST_XDIST_WORKER" in os.environ:
        return  # a worker has none of its own
    if any(Path(given).resolve() == TESTS for given in config.args):
        options.numprocesses = min(4, core_count())
        options.dist = "worksteal"  # tests of a file stay together, and with them what they share


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is not in the share that is asked for."""
    left_out = [item for item in items if not is_shared(item.nodeid)]
    items[:] = [item for item in items if is_shared(item.nodeid)]
    config.hook.pytest_deselected(items=left_out)


def core_count() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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

    def train_once(
        self,
        name: str,
        *overrides: str,
        run: str = "run",
        data: Callable[[], object] | None = None,
    ) -> None:
        """A small run, trained by the first test that asks for it, in whichever process.

        Args:
            name: of what ``data`` writes; later tests with the same name, overrides and folder are
                given copies of what is new.
            overrides: of the run.
            run: its folder.
            data: writes the files that it reads.
        """
        words = hashlib.sha256(repr((run, *overrides)).encode()).hexdigest()
        kept = self.kept / f"{name}-{words[:16]}"
        with FileLock(f"{kept}.lock"):
            if kept.exists():
                shutil.copytree(kept, self.folder, dirs_exist_ok=True)
                return
            before = set(self.folder.iterdir())
            if data:
                data()
            ended = self.train(*overrides, run=run)
            assert ended.code == 0, ended
            kept.mkdir()
            for path in set(self.folder.iterdir()) - before:
                copy = shutil.copytree if path.is_dir() else shutil.copy2
                copy(path, kept / path.name)

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
    """Where runs are kept that several tests share, those of other processes among them."""
    folder = tmp_path_factory.getbasetemp()
    kept = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "kept"
    kept.mkdir(exist_ok=True)
    return kept


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
