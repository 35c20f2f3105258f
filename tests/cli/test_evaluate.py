"""A finished run, scored again."""

import gc
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from da_framework.cli.evaluate import evaluate
from da_framework.config.plugins import conf_dir
from da_framework.core.errors import InputError
from da_framework.training import restore

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


# calibrated, and corrected for label shift


def build_node(group: str, name: str, **keys: Any) -> dict[str, Any]:
    node: dict[str, Any] = yaml.safe_load((conf_dir() / group / f"{name}.yaml").read_text())
    return node | keys


CORRECTED: Any = {
    "calibration": build_node("calibration", "bias_corrected_temperature"),
    "label_shift_correction": build_node("label_shift_correction", "em"),
}
ASKED = ("calibration=bias_corrected_temperature", "label_shift_correction=em")


def test_class_shares_of_the_target_are_estimated_and_probabilities_follow(
    da: Any, run: Path
) -> None:
    plain = evaluate(run="run", pick="last", data_dir=None, dataset={})
    same = evaluate(
        run="run", pick="last", data_dir=None, dataset={}, calibration=CORRECTED["calibration"]
    )
    assert "label_shift" not in plain
    (done,) = same["label_shift"].values()
    assert done["calibration"] == "bias_corrected_temperature, ridge=1.0"
    assert done["label_shift_correction"] is None
    assert "target_shares" not in done
    assert same["calibration_error"] != plain["calibration_error"]
    figures = evaluate(run="run", pick="last", data_dir=None, dataset={}, **CORRECTED)
    (done,) = figures["label_shift"].values()
    assert sum(done["target_shares"]) == pytest.approx(1)
    ratio = [t / s for t, s in zip(done["target_shares"], done["source_shares"], strict=True)]
    assert done["weights"] == pytest.approx(ratio, abs=0.05)
    ended = da("evaluate", DELAY, "run=run", *ASKED)
    assert (ended.code, ended.err) == (0, "")
    assert "corrected for label shift by em, prior=predicted" in ended.out
    assert f"{figures['accuracy']:.4f}" in ended.out


def test_the_target_s_labels_decide_nothing(da: Any, run: Path) -> None:
    built: list[Any] = []
    make = restore.rebuild

    def without_labels(*given: Any) -> Any:
        made = make(*given)
        made.domains.oracle = made.domains.oracle.flip(0)
        built.append(made)
        return made

    shares = [evaluate(run="run", pick="last", data_dir=None, dataset={}, **CORRECTED)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("da_framework.cli.evaluate.rebuild", without_labels)
        shares.append(evaluate(run="run", pick="last", data_dir=None, dataset={}, **CORRECTED))
    assert built
    assert shares[0]["label_shift"] == shares[1]["label_shift"]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (
            (
                *("method=source_only", "validator=entropy"),
                *("dataset.val=0.0", "dataset.protocol=transductive"),
            ),
            "it has none (dataset.val=0, or no source at all): calibration=null "
            "label_shift_correction=null, or a run with dataset.val=0.1",
        ),
        (
            ("method=nearest_neighbor", "network=identity"),
            "the logits of NearestNeighbor give no probabilities",
        ),
    ],
    ids=["no held-out source", "votes"],
)
def test_what_cannot_be_corrected_is_said_in_a_line(
    da: Any, keys: tuple[str, ...], says: str
) -> None:
    assert da.train(*keys, "steps=2").code == 0
    said = refused(da, "run=run", *ASKED)
    assert says in said
    assert "\n" not in said


def test_a_source_that_was_trained_on_calibrates_nothing(da: Any, run: Path) -> None:
    ended = da("evaluate", DELAY, "run=run", *ASKED, "+dataset.split_seed=7")
    assert ended.code == 2
    assert "of the source samples to calibrate by were trained on" in ended.err
