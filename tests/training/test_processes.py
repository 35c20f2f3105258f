"""Two processes train what one does."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.distributed
from hydra import compose, initialize_config_dir
from torch.multiprocessing.spawn import start_processes

from da_framework.callbacks.base import Callback
from da_framework.callbacks.checkpoints import Checkpoints
from da_framework.config import plugins
from da_framework.config import run_names as names
from da_framework.config.schema import to_plain
from da_framework.training import train
from da_framework.training.build import build
from da_framework.training.method_check import (
    Interruption,
    Stop,
    fit_for_method,
    in_double_precision,
)
from da_framework.training.trainer import build_trainer

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
    names.register_resolvers()
    plugins.register_search_path()
    with initialize_config_dir(str(plugins.conf_dir()), version_base="1.3"):
        config = to_plain(compose("train", [*EXACT, *overrides]))
    (folder / "checkpoints").mkdir(parents=True)
    run = build(config)
    trainer = build_trainer(config, callbacks=[Checkpoints(str(folder)), Files(folder)], loggers=[])
    trainer.fit(run.module, datamodule=run.domains)
    file = folder / "checkpoints" / "last.ckpt"
    actual: dict[str, torch.Tensor] = torch.load(file, weights_only=True)["state_dict"]
    return actual


@pytest.mark.parametrize("method", ["source_only", "mmd", "joint", "dann"])
def test_two_processes_end_where_one_does(tmp_path: Path, method: str) -> None:
    torch.set_num_threads(1)
    keys = (f"method={method}", "network.dropout=0.0", "dataset.batch_size.target_labelled=4")
    single = fitted(tmp_path / "one", *keys)
    two = fitted(
        tmp_path / "two", *keys, "trainer.devices=2", "trainer.strategy=ddp_fork", "seed=1"
    )
    assert largest_gap(single, two) < 1e-9
    # they did train, and both processes hold the same figures and picks
    assert largest_gap(single, fitted(tmp_path / "other", *keys, "seed=2")) > 1e-3
    first, second = ((tmp_path / "two" / f"rank-{rank}").read_text() for rank in (0, 1))
    assert first == second


@pytest.mark.slow
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
    single, two = da.record("one"), da.record("two")
    # where and how a run was trained is no part of what it is
    assert single["key"] == two["key"]
    for pick in ("last", "chosen", "oracle"):
        actual, expected = two["target"][pick], single["target"][pick]
        for name in ("step", "score", "accuracy", "macro_f1", "calibration_error"):
            assert actual[name] == pytest.approx(expected[name], abs=1e-9)
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


# many methods in a few groups of processes

REPRESENTATIVE = ("dann", "mmd", "mcd", "adda", "wdgrl", "mean_teacher")
"""Methods of one and of several moves, one that goes on from weights, one with a moving average."""
SHARED = ("dataset.batch_size={source: 12, target: 8, target_labelled: 4}", "network.dropout=0.0")


def together(count: int, work: Callable[[], None]) -> None:
    """Does the same in so many processes, which know each other: Lightning joins them as they are.

    Raises:
        Exception: one of them has failed.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    start = partial(start_processes, start_method="fork")
    start(member, (count, port, work), nprocs=count)


def member(rank: int, count: int, port: str, work: Callable[[], None]) -> None:
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "WORLD_SIZE": str(count)}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "NODE_RANK": "0"}
    torch.distributed.init_process_group("gloo", rank=rank, world_size=count)
    work()
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def goes_on(config: dict[str, Any], folder: Path, devices: int, until: int | None = None) -> None:
    """Trains from the last checkpoint there is; to a step, or to the end."""
    trained = {**config, "inner_steps": 1, "trainer": config["trainer"] | {"devices": devices}}
    stop = [] if until is None else [Interruption(until)]
    callbacks = [Checkpoints(str(folder)), Files(folder), *stop]
    trainer = build_trainer(trained, callbacks=callbacks, loggers=[])
    run = in_double_precision(build(trained))
    checkpoint = folder / "checkpoints" / "last.ckpt"
    with suppress(Stop):
        trainer.fit(
            run.module,
            datamodule=run.domains,
            ckpt_path=checkpoint if checkpoint.is_file() else None,
            weights_only=True,
        )


@pytest.mark.slow
def test_four_processes_equal_one_and_a_run_goes_on_with_two_then_one_then_two(
    tmp_path: Path,
) -> None:
    torch.set_num_threads(1)
    names.register_resolvers()
    plugins.register_search_path()
    with ExitStack() as stack:
        stack.enter_context(initialize_config_dir(str(plugins.conf_dir()), version_base="1.3"))
        configs = {
            method: stack.enter_context(
                fit_for_method(
                    to_plain(
                        compose(
                            "train", [*EXACT, *SHARED, f"method={method}", "checkpoint_every=4"]
                        )
                    )
                )
            )
            for method in REPRESENTATIVE
        }

        def every(name: str, devices: int, until: int | None = None) -> None:
            for method, config in configs.items():
                (tmp_path / method / name).mkdir(parents=True, exist_ok=True)
                goes_on(config, tmp_path / method / name, devices, until)

        def steps(name: str) -> set[int]:
            files = (
                tmp_path / method / name / "checkpoints/last.ckpt" for method in REPRESENTATIVE
            )
            return {torch.load(f, weights_only=True)["adaptation"]["step"] for f in files}

        every("one", 1)
        together(4, lambda: every("four", 4))
        together(2, lambda: every("turns", 2, until=4))
        assert steps("turns") == {4}
        every("turns", 1, until=8)
        assert steps("turns") == {8}
        together(2, lambda: every("turns", 2))
    for method in REPRESENTATIVE:
        states = {
            name: torch.load(tmp_path / method / name / "checkpoints/last.ckpt", weights_only=True)
            for name in ("one", "four", "turns")
        }
        single = states["one"]
        for state in states.values():
            assert state["adaptation"]["step"] == 12
            assert largest_gap(state["state_dict"], single["state_dict"]) < 1e-9, method
            # 41 rows are tested on, which four do not share evenly: their figures are of all
            for pick, item in state["adaptation"]["picks"].items():
                expected = single["adaptation"]["picks"][pick]["target"]
                assert item["target"]["accuracy"] == expected["accuracy"]
                assert item["target"]["macro_f1"] == pytest.approx(expected["macro_f1"], abs=1e-9)
        ranks = [(tmp_path / method / "four" / f"rank-{rank}").read_text() for rank in range(4)]
        assert len(set(ranks)) == 1


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    names.register_resolvers()
    plugins.register_search_path()
    keys = (*EXACT, *SHARED, "method=dann", "trainer.devices=2")
    with initialize_config_dir(str(plugins.conf_dir()), version_base="1.3"):
        config = to_plain(compose("train", list(keys)))
    folder = tmp_path / "run"

    def noting() -> None:
        written = (tmp_path / os.environ["RANK"]).open("w")
        written.write("")

        def note(event: str, arguments: tuple[Any, ...]) -> None:
            changes = event in ("os.mkdir", "os.rename", "os.remove") or (
                event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            )
            if changes and str(arguments[0]).startswith(str(folder)):
                print(event, arguments[0], file=written, flush=True)

        sys.addaudithook(note)
        train.train(config, folder, command="da train", choices={})

    together(2, noting)
    assert "last.ckpt" in (tmp_path / "0").read_text()
    assert (tmp_path / "1").read_text() == ""
