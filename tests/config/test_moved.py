"""Records made before names changed are read; old names that are typed lead to the new ones."""

import json
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from da_framework.config.moved import KEYS, MODULES, moved_config, moved_record, moved_target
from da_framework.config.schema import check_config
from da_framework.config.settings import Settings
from da_framework.core.errors import InputError
from da_framework.training.build import compose
from da_framework.training.optimizers import say_that_adam_was_adamw

BEFORE = Path(__file__).parents[1] / "training" / "run_of_0_1"
"""A run that version 0.1 made."""


def record() -> dict[str, Any]:
    actual: dict[str, Any] = json.loads((BEFORE / "result.json").read_text())
    return actual


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("da_framework.schedules.SigmoidRamp", "da_framework.core.schedules.SigmoidRamp"),
        ("da_framework.datasets.views.Crop", "da_framework.datasets.augmentations.Crop"),
        ("da_framework.optimizers.adam", "da_framework.training.optimizers.adamw"),
        ("da_framework.methods.dann.DANN", "da_framework.methods.dann.DANN"),
        ("my_da.schedules.Ramp", "my_da.schedules.Ramp"),
        ("da_framework.schedulesque.X", "da_framework.schedulesque.X"),
    ],
)
def test_a_target_is_what_it_is_called_now(before: str, now: str) -> None:
    assert moved_target(before) == now
    assert moved_target(now) == now


@pytest.mark.parametrize("place", MODULES.values())
def test_what_has_moved_is_where_the_table_says(place: str) -> None:
    path = f"da_framework.{place}"
    try:
        import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        try:
            assert hasattr(import_module(module), name)
        except ModuleNotFoundError:
            outer, _, kind = module.rpartition(".")
            assert hasattr(getattr(import_module(outer), kind), name)


def test_figures_of_a_record_bear_the_names_that_they_have_now() -> None:
    before, now = record()["target"]["last"], moved_record(record())["target"]["last"]
    assert now["macro_f1"] == before["f1"]
    assert now["macro_precision"] == before["precision"]
    assert not {"f1", "precision"} & now.keys()
    # macro recall is balanced accuracy only where every class has a sample
    assert "balanced_accuracy" not in now
    assert moved_record(moved_record(record())) == moved_record(record())


def test_every_target_and_key_of_a_record_is_as_it_is_now() -> None:
    moved = moved_record(record())
    check_config(moved["config"], Settings)
    with pytest.raises(InputError, match="is now"):
        check_config(record()["config"], Settings)
    assert moved["choices"]["optimizer"] == "adamw"
    assert moved["config"]["callback"]["diagnostics"]["max_class_share"] == 0.95
    assert moved_record(moved) == moved, "a record of today stays"


def test_a_table_of_before_has_the_columns_of_each_file() -> None:
    before = {"dataset": {"_target_": "da_framework.datasets.table.Table", "standardize": True}}
    now = moved_config(before)["dataset"]
    assert (now["columns"], now["missing"], now["scale"]) == ("own", "error", "source")


def test_adam_of_today_is_no_adamw() -> None:
    config = compose("optimizer=adam")
    assert moved_config(config) == config
    assert moved_record({"config": config, "choices": {"optimizer": "adam"}})["choices"] == {
        "optimizer": "adam"
    }


def test_a_run_made_before_is_evaluated_predicted_from_exported_and_reported(da: Any) -> None:
    shutil.copytree(BEFORE, da.folder / "before")
    expected = record()["target"]["last"]["accuracy"]
    evaluated = da("evaluate", "run=before")
    assert evaluated.code == 0, evaluated.err
    assert f"{expected:.4f}" in evaluated.out
    (da.folder / "new.csv").write_text("a,b\n0.1,0.2\n")
    assert da("predict", "run=before", "dataset=table", "dataset.root=new.csv").code == 0
    assert (da.folder / "predictions.csv").read_text().startswith("file,row,class,probability\n")
    assert da("export", "run=before", "formats=[pt2]").code == 0
    reported = da("report", "before")
    assert reported.code == 0
    assert f"{100 * expected:.1f}" in reported.out
    assert da("doctor", "before").code == 0


def test_it_is_a_cell_with_a_run_of_today(da: Any) -> None:
    shutil.copytree(BEFORE, da.folder / "runs" / "before")
    keys = [word for word in record()["command"].split()[2:] if not word.startswith("hydra.")]
    message = [word.strip("'").replace("optimizer=adam", "optimizer=adamw") for word in keys]
    assert da("train", *message, "seed=2", "hydra.run.dir=runs/now").code == 0
    out = da("report", "runs").out
    assert out.count("dann") == 1, out


@pytest.mark.parametrize(("before", "now"), KEYS.items())
def test_an_old_key_leads_to_the_new_one(da: Any, before: str, now: str) -> None:
    refused = da("train", "dataset=two_moons", "network=mlp", f"{before}=0.5")
    assert refused.code == 2
    assert f"it is now {now}" in refused.err


def test_an_old_target_leads_to_the_new_one(da: Any) -> None:
    refused = da.train("scheduler._target_=da_framework.schedules.Cosine")
    assert refused.code == 2
    assert "it is now da_framework.core.schedules.Cosine" in refused.err


def test_adam_says_once_what_it_was(da: Any) -> None:
    say_that_adam_was_adamw.cache_clear()
    decay = ("optimizer=adam", "optimizer.weight_decay=0.01")
    runs = [da.train(*decay, run="a"), da.train(*decay, run="b")]
    assert ["until version 0.2 it was AdamW" in run.out + run.err for run in runs] == [True, False]
    say_that_adam_was_adamw.cache_clear()
    plain = da.train("optimizer=adam", run="c")
    assert "AdamW" not in plain.out + plain.err, "without weight decay they are the same"


def test_keys_with_dots_of_their_own_stay() -> None:
    factor = {"network.encoder.backbone": 0.1, "network.encoder": 1.0, "backbone": 2.0}
    config = {"optimizer": {"factor": factor}, "callback": {"diagnostics": {"majority": 0.9}}}
    moved = moved_config(config)
    assert moved["optimizer"]["factor"] == factor
    assert moved["callback"] == {"diagnostics": {"max_class_share": 0.9}}
