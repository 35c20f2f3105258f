"""Two processes train what one does."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir

from da_framework import names, plugins
from da_framework.build import build, build_trainer
from da_framework.callbacks.base import Callback
from da_framework.callbacks.checkpoints import Checkpoints
from da_framework.config import plain

# an odd number of rows everywhere: 183 and 166 train, 20, 146 and 41 are evaluated on
EXACT = (
    *("dataset=two_moons", "dataset.rows=203", "network=mlp", "steps=12", "evaluate_every=4"),
    *("checkpoint_every=6", "flush_every=3", "logger=[]", "callback=[]"),
    *("trainer.accelerator=cpu", "trainer.precision=64-true"),
    *("dataset.labels_per_class=5", "dataset.batch_size={source: 10, target: 6}"),
)
NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")


def largest_gap(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max((a[name] - b[name]).abs().max().item() for name in a if a[name].numel())


class Files(Callback):
    """Notes which process wrote what."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        rows = len(module.history)
        (self.folder / f"rank-{trainer.global_rank}").write_text(f"{rows} {module.picks}")


def fitted(folder: Path, *overrides: str) -> dict[str, torch.Tensor]:
    """Weights after training without the command line; processes are forked where there are two."""
    names.register()
    plugins.register()
    with initialize_config_dir(str(plugins.conf_dir()), version_base="1.3"):
        config = plain(compose("train", [*EXACT, *overrides]))
    (folder / "checkpoints").mkdir(parents=True)
    run = build(config)
    trainer = build_trainer(config, callbacks=[Checkpoints(str(folder)), Files(folder)], loggers=[])
    trainer.fit(run.module, datamodule=run.domains)
    file = folder / "checkpoints" / "last.ckpt"
    found: dict[str, torch.Tensor] = torch.load(file, weights_only=True)["state_dict"]
    return found


@pytest.mark.parametrize("method", ["source_only", "mmd", "joint", "dann"])
def test_two_processes_end_where_one_does(tmp_path: Path, method: str) -> None:
    torch.set_num_threads(1)
    keys = (f"method={method}", "network.dropout=0.0", "dataset.batch_size.target_labelled=4")
    one = fitted(tmp_path / "one", *keys)
    two = fitted(
        tmp_path / "two", *keys, "trainer.devices=2", "trainer.strategy=ddp_fork", "seed=1"
    )
    assert largest_gap(one, two) < 1e-9
    # they did train, and both processes hold the same figures and picks
    assert largest_gap(one, fitted(tmp_path / "other", *keys, "seed=2")) > 1e-3
    first, second = ((tmp_path / "two" / f"rank-{rank}").read_text() for rank in (0, 1))
    assert first == second


def test_the_relaunched_command_equals_one_process(da: Any) -> None:
    torch.set_num_threads(1)
    arguments = ("train", *EXACT, "method=dann", "network.dropout=0.0")
    assert da(*arguments, "hydra.run.dir=one").code == 0
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "da_framework"),
            *(*arguments, "trainer.devices=2", "hydra.run.dir=two"),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended
    assert largest_gap(da.weights("one"), da.weights("two")) < 1e-9
    one, two = da.record("one"), da.record("two")
    # where and how a run was trained is no part of what it is
    assert one["key"] == two["key"]
    for pick in ("last", "chosen", "oracle"):
        found, expected = two["target"][pick], one["target"][pick]
        for name in ("step", "score", "accuracy", "f1", "calibration_error"):
            assert found[name] == pytest.approx(expected[name], abs=1e-9)
    # said and written once
    assert ended.stdout.count("dann: straight -> rotated") == 1
    assert len(list((da.folder / "two").rglob("*.csv"))) == 1
    assert not (da.folder / "two" / "before-1").exists()
    written = {path.name for path in (da.folder / "two").rglob("*") if path.is_file()}
    assert written - {"train_ddp_process_1.log"} == {
        path.name for path in (da.folder / "one").rglob("*") if path.is_file()
    }
    tables = [(da.folder / run / "metrics.csv").read_text() for run in ("one", "two")]
    assert NUMBER.sub("", tables[0]) == NUMBER.sub("", tables[1])
    figures = [[float(n) for n in NUMBER.findall(table)] for table in tables]
    assert figures[1] == pytest.approx(figures[0], abs=1e-9)


def test_a_batch_that_cannot_be_shared_is_refused_before_there_are_processes(da: Any) -> None:
    keys = ("trainer.devices=2", "trainer.accelerator=cpu")
    ended = da.train(*keys, "dataset.batch_size.target=63")
    assert ended.code == 2
    assert ended.err == "dataset.batch_size.target=63 cannot be shared by 2 processes\n"
    assert not (da.folder / "run" / "train_ddp_process_1.log").exists()
