"""``Adaptation`` under a Trainer of a person's own: Lightning's habits hold, or are refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
import wandb
from pytorch_lightning.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, WandbLogger
from pytorch_lightning.utilities import CombinedLoader
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import da_framework
from da_framework.core.errors import InputError
from da_framework.training.build import Run
from tests.conftest import Commands
from tests.wandb_files import figures, whole

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(90, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
T = X + np.float32(0.3)

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice


def prepare(**keys: Any) -> Run:
    given: dict[str, Any] = {"method": "dann", "source": (X, Y), "target": (T, Y)}
    given |= {"network": "mlp", "steps": 12, "evaluate_every": 4, "flush_every": 2}
    return da_framework.prepare(**(given | keys))


def trainer(folder: Path, **keys: Any) -> pl.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    given: dict[str, Any] = {"accelerator": "cpu", "logger": False, "default_root_dir": folder}
    return pl.Trainer(**(given | quiet | {"enable_checkpointing": False} | keys))


def equal(first: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return first.keys() == other.keys() and all(torch.equal(first[k], other[k]) for k in first)


class Watch(pl.Callback):
    """Remembers what Lightning counts."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.epochs: list[int] = []
        self.progress: list[float] = []
        self.figures: list[set[str]] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        self.steps.append(trainer.global_step)
        self.progress.append(module.method.progress)

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        if not trainer.sanity_checking:
            self.epochs.append(trainer.global_step)
            self.figures.append({*trainer.callback_metrics})


@pytest.mark.parametrize("method", ["dann", "mcd", "shot", "tca"])
def test_the_weights_are_those_of_fit(method: str, tmp_path: Path) -> None:
    keys: dict[str, Any] = {"method": method}
    if method == "shot":
        first = da_framework.fit(
            method="source_only", source=(X, Y), target=T, network="mlp", steps=4
        )
        first.save(tmp_path / "first")
        keys |= {"init_from": str(tmp_path / "first"), "refresh_every": 3}
    if method == "tca":
        keys |= {"network": "identity", "components": 2}
    given: dict[str, Any] = {"source": (X, Y), "target": (T, Y), "network": "mlp", "steps": 12}
    fitted = da_framework.fit(
        **(given | {"evaluate_every": 4, "flush_every": 2, "trainer__accelerator": "cpu"} | keys)
    )
    run = prepare(**keys)
    trainer(tmp_path).fit(run.module, run.domains)
    assert equal(run.module.state_dict(), fitted.module.state_dict())
    assert run.module.picks == fitted.module.picks
    assert run.module.history == fitted.module.history


def test_a_batch_is_a_step_and_an_epoch_as_many_as_between_evaluations(tmp_path: Path) -> None:
    watch, run = Watch(), prepare()
    trainer(tmp_path, callbacks=[watch]).fit(run.module, run.domains)
    assert watch.steps == [*range(1, 13)]
    assert watch.epochs == [4, 8, 12]
    assert all({"score", "source/accuracy", "train/domain"} <= figures for figures in watch.figures)
    assert not any("oracle/accuracy" in figures for figures in watch.figures)


def test_steps_that_are_no_multiple_end_with_an_evaluation(tmp_path: Path) -> None:
    watch, run = Watch(), prepare(steps=10)
    trainer(tmp_path, callbacks=[watch]).fit(run.module, run.domains)
    assert watch.epochs == [4, 8, 10]
    assert run.module.picks["last"]["step"] == 10


@pytest.mark.parametrize(
    ("keys", "steps"),
    [
        ({"max_steps": 5}, 5),
        ({"max_steps": 50}, 12),
        ({"fast_dev_run": True}, 1),
        ({"fast_dev_run": 3}, 3),
    ],
)
def test_limits_of_steps_stop_and_schedules_run_over_all(
    keys: dict[str, Any], steps: int, tmp_path: Path
) -> None:
    watch, run = Watch(), prepare()
    own = trainer(tmp_path, callbacks=[watch], **keys)
    own.fit(run.module, run.domains)
    assert run.module.step == own.global_step == steps
    assert watch.progress == [step / 12 for step in range(steps)]
    assert run.module.picks["last"]["step"] == steps
    assert watch.epochs[-1] == steps


@pytest.mark.parametrize("limit", ["00:00:00:01", {"seconds": 1}])
def test_a_limit_of_time_stops_with_an_evaluation(limit: Any, tmp_path: Path) -> None:
    run = prepare(steps=10**6, evaluate_every=10**6)
    own = trainer(tmp_path, max_time=limit)
    own.fit(run.module, run.domains)
    assert 0 < run.module.step == own.global_step < 10**6
    assert run.module.picks["last"]["step"] == run.module.step
    assert run.module.method.progress == (run.module.step - 1) / 10**6


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"max_epochs": 3}, r"4 of which are an epoch: Trainer\(max_steps=12\)"),
        ({"limit_train_batches": 5}, r"Trainer\(max_steps=5\)"),
        ({"limit_train_batches": 0.5}, r"Trainer\(max_steps=6\)"),
        ({"overfit_batches": 2}, r"Trainer\(max_steps=2\)"),
        ({"accumulate_grad_batches": 4}, "a batch as large is dataset.batch_size=256"),
        ({"gradient_clip_val": 0.5}, r"optimizer.clip=0.5"),
    ],
)
def test_limits_that_mean_nothing_here_are_refused(
    keys: dict[str, Any], said: str, tmp_path: Path
) -> None:
    run = prepare()
    with pytest.raises(InputError, match=said):
        trainer(tmp_path, **keys).fit(run.module, run.domains)
    assert run.module.step == 0


@pytest.mark.parametrize(
    "limit", [{"max_epochs": 2}, {"limit_train_batches": 5}, {"limit_train_batches": 0.5}]
)
def test_the_limit_that_is_advised_is_typed_and_stops(
    limit: dict[str, Any], tmp_path: Path
) -> None:
    run = prepare()
    with pytest.raises(InputError) as raised:
        trainer(tmp_path, **limit).fit(run.module, run.domains)
    pasted = str(raised.value).rpartition("Trainer(max_steps=")[2].rstrip(")")
    trainer(tmp_path, max_steps=int(pasted)).fit(run.module, run.domains)
    assert run.module.step == int(pasted) < 12


@pytest.mark.parametrize(
    ("limit", "keys"),
    [
        ({"gradient_clip_val": 0.5}, {"optimizer__clip": 0.5}),
        ({"accumulate_grad_batches": 2}, {"dataset__batch_size": 128}),
    ],
)
def test_the_key_that_is_advised_is_typed_and_trains(
    limit: dict[str, Any], keys: dict[str, Any], tmp_path: Path
) -> None:
    run = prepare()
    with pytest.raises(InputError) as raised:
        trainer(tmp_path, **limit).fit(run.module, run.domains)
    for key, value in keys.items():
        assert f"{key.replace('__', '.')}={str(value).lower()}" in str(raised.value)
    run = prepare(**keys)
    trainer(tmp_path).fit(run.module, run.domains)
    assert run.module.step == 12


def test_checkpoints_by_a_monitor_go_on_bit_for_bit(tmp_path: Path) -> None:
    whole = prepare()
    best = ModelCheckpoint(tmp_path, monitor="score", mode="max", filename="best")
    every = ModelCheckpoint(tmp_path, every_n_train_steps=5, save_top_k=-1, filename="{step}")
    trainer(tmp_path, enable_checkpointing=True, callbacks=[best, every]).fit(
        whole.module, whole.domains
    )
    assert best.best_model_score == pytest.approx(whole.module.picks["chosen"]["score"])
    kept = torch.load(best.best_model_path, weights_only=True)
    assert kept["global_step"] == whole.module.picks["chosen"]["step"]
    for step in (5, 10):
        rest = prepare()
        watch = Watch()
        trainer(tmp_path, callbacks=[watch]).fit(
            rest.module, rest.domains, ckpt_path=tmp_path / f"step={step}.ckpt"
        )
        assert watch.steps == [*range(step + 1, 13)]
        assert watch.epochs == [own for own in (4, 8, 12) if own > step]
        assert equal(rest.module.state_dict(), whole.module.state_dict())


def test_early_stopping_stops(tmp_path: Path) -> None:
    stop = EarlyStopping("source/accuracy", mode="max", patience=1, min_delta=1.0)
    run = prepare()
    trainer(tmp_path, callbacks=[stop]).fit(run.module, run.domains)
    assert run.module.step == 8
    assert run.module.picks["last"]["step"] == 8


# validate, test, predict


def test_validate_test_and_predict(tmp_path: Path) -> None:
    run = prepare()
    own = trainer(tmp_path)
    own.fit(run.module, run.domains)
    picks, history = dict(run.module.picks), list(run.module.history)
    (validated,) = own.validate(run.module, run.domains, verbose=False)
    assert validated["score"] == pytest.approx(picks["last"]["score"])
    assert "oracle/accuracy" not in validated
    (tested,) = own.test(run.module, run.domains, verbose=False)
    assert tested["test/accuracy"] == pytest.approx(picks["last"]["target"]["accuracy"])
    assert (run.module.picks, run.module.history) == (picks, history)
    of_domains: Any = own.predict(run.module, run.domains)
    loader = DataLoader(TensorDataset(torch.as_tensor(T), torch.as_tensor(Y)), batch_size=40)
    of_loader: Any = own.predict(run.module, loader)
    np.testing.assert_allclose(torch.cat(of_loader), run.predict_proba(T), rtol=1e-5)
    assert len(torch.cat(of_domains)) == len(T)


def test_a_target_without_labels_is_not_tested(tmp_path: Path) -> None:
    run = prepare(target=T)
    own = trainer(tmp_path)
    own.fit(run.module, run.domains)
    assert own.validate(run.module, run.domains, verbose=False)[0].keys() >= {"score"}
    with pytest.raises(InputError, match="the tested target has no labels"):
        own.test(run.module, run.domains, verbose=False)


# a project of one's own


class OwnData(pl.LightningDataModule):
    """As in a template: loaders by role, made in ``setup``."""

    def __init__(self, combined: bool = False, named: bool = True) -> None:
        super().__init__()
        self.combined, self.named = combined, named

    def setup(self, stage: str) -> None:
        self.source = TensorDataset(torch.as_tensor(X), torch.as_tensor(Y))
        self.target = TensorDataset(torch.as_tensor(T), torch.as_tensor(Y))

    def train_dataloader(self) -> Any:
        loaders = {
            "source": DataLoader(self.source, batch_size=16, shuffle=True),
            "target": DataLoader(self.target, batch_size=32, shuffle=True),
        }
        if not self.named:
            return loaders["source"]
        return CombinedLoader(loaders, "max_size_cycle") if self.combined else loaders

    def test_dataloader(self) -> Any:
        return DataLoader(self.target, batch_size=32)


@pytest.mark.parametrize("fast", [False, True])
def test_a_project_of_ones_own_trains(
    fast: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = OwnData()
    run = da_framework.prepare(
        method="dann", data=data, network="mlp", steps=20, evaluate_every=5, flush_every=5
    )
    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb.teardown()  # the client reads its environment once
    wandb_logger = WandbLogger(save_dir=tmp_path, project="own", offline=True)
    checkpoint = ModelCheckpoint(tmp_path / "kept", monitor="score", mode="max", save_last=True)
    callbacks: list[Any] = [
        checkpoint,
        EarlyStopping("score", mode="max", patience=10),
        LearningRateMonitor(),
    ]
    own = trainer(
        tmp_path,
        callbacks=callbacks,
        logger=[CSVLogger(tmp_path, name="csv", version=0), wandb_logger],
        enable_checkpointing=True,
        fast_dev_run=fast,
    )
    own.fit(run.module, datamodule=run.domains)
    own.test(run.module, datamodule=run.domains, verbose=False)
    assert run.module.step == own.global_step == (1 if fast else 20)
    if fast:
        return
    wandb.finish()
    (of_wandb,) = tmp_path.rglob("run-*.wandb")
    rows_of_wandb = figures(whole(of_wandb))
    assert sum("score" in own for own in rows_of_wandb) == 5
    assert sum("train/domain" in own for own in rows_of_wandb) == 4
    assert sum("test/accuracy" in own for own in rows_of_wandb) == 1
    best = torch.load(checkpoint.best_model_path, weights_only=True)
    picked = run.module.picks["chosen"]
    assert best["global_step"] == picked["step"]
    rows = pd.read_csv(tmp_path / "csv" / "version_0" / "metrics.csv")
    assert rows.dropna(subset="score")["step"].tolist() == [0, 5, 10, 15, 20]
    assert rows["train/domain"].notna().sum() == 4
    accuracy = rows["test/accuracy"].dropna().item()
    assert run.evaluate(data.test_dataloader())["accuracy"] == pytest.approx(accuracy)
    run.module.load_state_dict(best["state_dict"])
    chosen = run.evaluate(data.test_dataloader())["accuracy"]
    assert chosen == pytest.approx(picked["target"]["accuracy"])


@pytest.mark.parametrize("combined", [False, True])
def test_a_data_module_is_read_by_role(combined: bool) -> None:
    run = da_framework.prepare(method="dann", data=OwnData(combined), network="mlp")
    assert run.config["dataset"]["batch_size"]["source"] == 16
    assert {role: len(s.y) for role, s in run.domains.batch(0).items()} == {
        "source": 16,
        "target": 32,
    }


@pytest.mark.parametrize(
    "data",
    [OwnData(), None, DataLoader(TensorDataset(torch.as_tensor(X)))],
    ids=["data module", "nothing", "loader"],
)
def test_other_data_is_refused_with_what_to_type(data: Any, tmp_path: Path) -> None:
    run = prepare()
    with pytest.raises(InputError, match=r"trainer.fit\(run.module, run.domains\)"):
        trainer(tmp_path).fit(run.module, data)


def test_keys_of_a_trainer_are_left_to_ones_own() -> None:
    with pytest.raises(InputError, match=r"trainer: prepare leaves it to you: pl.Trainer"):
        prepare(trainer__precision="bf16-mixed")


def test_a_data_module_without_roles_is_refused() -> None:
    with pytest.raises(InputError, match="gives DataLoader; needed are loaders by role"):
        da_framework.prepare(method="dann", data=OwnData(named=False))


# early stopping by the validator, as a key


def test_training_ends_when_the_validator_likes_nothing_better(da: Commands) -> None:
    words = ("validator=source_accuracy", "steps=60", "evaluate_every=4", "early_stopping=2")
    ended = da.train(*words)
    assert ended.code == 0, ended
    record = da.record()
    chosen = record["target"]["chosen"]["step"]
    assert record["steps"] == record["target"]["last"]["step"] == chosen + 8 < 60
    assert da.weights("run", "last")
    da.train(*words[:-1], run="whole")
    whole = da.record("whole")
    assert whole["steps"] == 60
    seen = [point for point in whole["curve"] if point["step"] <= record["steps"]]
    assert [p["score"] for p in record["curve"]] == [p["score"] for p in seen]
    assert da.train(*words).code == 0  # it is known as done


def test_early_stopping_under_a_trainer_of_ones_own(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"validator": "source_accuracy", "steps": 60, "early_stopping": 2}
    run = prepare(**keys)
    trainer(tmp_path).fit(run.module, run.domains)
    fitted = da_framework.fit(
        **({"method": "dann", "source": (X, Y), "target": (T, Y), "network": "mlp"} | keys),
        evaluate_every=4,
        flush_every=2,
        trainer__accelerator="cpu",
    )
    assert run.module.step == fitted.module.step == run.module.picks["chosen"]["step"] + 8 < 60
    assert equal(run.module.state_dict(), fitted.module.state_dict())
