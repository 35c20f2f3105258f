"""A finished run, scored again."""

import gc
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from da_framework.cli.evaluate import evaluate
from da_framework.core.errors import InputError

# or else Hydra opens da.log in the current folder and lets it go
DELAY = "++hydra.job_logging.handlers.file.delay=true"
KEYS = (
    *("accuracy", "balanced_accuracy", "macro_precision", "macro_f1"),
    *("calibration_error", "rows"),
)


@pytest.fixture
def run(da: Any) -> Path:
    da.train_once("thirty_steps", "evaluate_every=5", "steps=30")
    return Path(da.folder) / "run"


def refused(da: Any, *overrides: str) -> str:
    ended = da("evaluate", DELAY, *overrides)
    assert ended.code == 2, ended
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert "Error executing job" not in ended.err
    return str(ended.err).rstrip("\n")


def rewrite(run: Path, **changes: Any) -> None:
    file = run / "result.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize("pick", ["last", "chosen"])
def test_the_numbers_are_those_of_the_record(da: Any, run: Path, pick: Any) -> None:
    actual = evaluate(run=str(run), pick=pick, data_dir=None, dataset={})
    recorded = da.record()["target"][pick]
    assert {key: actual[key] for key in KEYS} == {key: recorded[key] for key in KEYS}
    ended = da("evaluate", DELAY, "run=run", f"pick={pick}")
    assert (ended.code, ended.err) == (0, "")
    assert f"run: {pick} weights on 200 labelled target samples" in ended.out
    for key in KEYS[:-1]:
        assert f"{recorded[key]:.4f}" in ended.out


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nothing_is_written(da: Any, run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    da("evaluate", "run=run")
    gc.collect()
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert [path.name for path in da.folder.iterdir()] == ["run"]


def test_other_data_gives_other_numbers(da: Any, run: Path) -> None:
    turned = {"rotation": 180.0}
    there = evaluate(run="run", pick="last", data_dir=None, dataset=turned)
    here = evaluate(run="run", pick="last", data_dir=None, dataset={})
    assert there["accuracy"] < here["accuracy"]
    swapped = da(
        "evaluate", DELAY, "run=run", "+dataset.source=[rotated]", "+dataset.target=[straight]"
    )
    assert swapped.code == 0
    back = evaluate(
        run="run",
        pick="last",
        data_dir=None,
        dataset={"source": ["rotated"], "target": ["straight"]},
    )
    assert f"{back['accuracy']:.4f}" in swapped.out
    # the source's side is what the run was trained on
    assert back["accuracy"] > here["accuracy"] - 0.2


def test_data_may_have_moved(da: Any) -> None:
    keys = ("dataset=digits", "dataset.data_dir=old", "network=mlp", "steps=3")
    assert da.train(*keys).code == 0
    expected = da.record()["target"]["last"]["accuracy"]
    actual = evaluate(run="run", pick="last", data_dir="new", dataset={})
    assert actual["accuracy"] == expected
    whole = {"subset": "full", "target": ["usps"]}
    with pytest.raises(InputError, match=r"missing in .*/new/digits"):
        evaluate(run="run", pick="last", data_dir="new", dataset=whole)
    # where it was is read if somebody says so, and where every command looks in any case
    with pytest.raises(InputError, match=r"old \(config\.dataset\.data_dir\), and a record"):
        evaluate(run="run", pick="last", data_dir=None, dataset=whole)
    with pytest.raises(InputError, match=r"missing in .*/old/digits"):
        evaluate(run="run", pick="last", data_dir=None, dataset=whole, trust=["old"])


def test_a_folder_may_have_moved(da: Any, run: Path) -> None:
    expected = evaluate(run="run", pick="last", data_dir=None, dataset={})
    shutil.move(run, da.folder / "elsewhere")
    assert evaluate(run="elsewhere", pick="last", data_dir=None, dataset={}) == expected


def test_what_is_missing_is_said(da: Any, run: Path) -> None:
    assert refused(da) == "run: must be given"
    assert refused(da, "run=nowhere") == "run=nowhere: there is no result.json in this folder"
    assert refused(da, "run=run", "pick=oracle").startswith(
        "pick: input should be 'last' or 'chosen'"
    )
    assert "did you mean pick?" in refused(da, "run=run", "pik=last")
    curved = refused(da, "run=run", "+dataset.target=[curved]")
    assert "'curved', which is no domain here" in curved
    assert refused(da, "run=run", "+dataset.rowz=3").startswith(
        "dataset.rowz: there is no such key"
    )
    (run / "checkpoints" / "chosen.ckpt").unlink()
    assert refused(da, "run=run", "pick=chosen").endswith("chosen.ckpt is not there")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": "a"}'])
def test_a_damaged_record_is_named(da: Any, run: Path, text: str) -> None:
    (run / "result.json").write_text(text)
    assert refused(da, "run=run").startswith("run/result.json is damaged or no record of a run")


@pytest.mark.parametrize("content", [b"", b"nothing of torch", b"PK\x03\x04 cut"])
def test_damaged_weights_are_named(da: Any, run: Path, content: bytes) -> None:
    (run / "checkpoints" / "last.ckpt").write_bytes(content)
    assert refused(da, "run=run").startswith("run/checkpoints/last.ckpt is damaged")


def test_weights_of_another_network_are_named(da: Any, run: Path) -> None:
    config = da.record()["config"]
    rewrite(run, config=config | {"network": config["network"] | {"bottleneck": [7]}})
    assert "no checkpoint of this network" in refused(da, "run=run")


def test_rows_that_were_trained_on_are_said(da: Any, run: Path) -> None:
    item = da("evaluate", "run=run")
    assert "trained on" not in item.out + item.err
    other = da("evaluate", "run=run", "+dataset.split_seed=1")
    assert "of these rows were trained on" in other.out + other.err
