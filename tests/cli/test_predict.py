"""What a finished run makes of new rows, which have no labels."""

import csv
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from da_framework.calibrations.temperature import temperature
from da_framework.cli.evaluate import evaluate
from da_framework.cli.predict import predict
from da_framework.label_shift_corrections.bbse import bbse
from da_framework.metrics.label_shift import correct_label_shift
from da_framework.training.build import build
from da_framework.training.restore import restore_model
from tests.shared_runs import of_method, plain


def rows(file: str = "predictions.csv") -> list[dict[str, str]]:
    with Path(file).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def predicted(**dataset: Any) -> list[dict[str, str]]:
    predict(run="run", pick="last", out="predictions.csv", probabilities=True, dataset=dataset)
    return rows()


def refused(da: Any, *overrides: str) -> str:
    ended = da("predict", "run=run", *overrides)
    assert (ended.code, ended.out) == (2, ""), ended
    assert "Traceback" not in ended.err
    assert not Path("predictions.csv").exists()
    return str(ended.err).rstrip("\n")


def own_probabilities() -> torch.Tensor:
    """Of the target's test rows, by the way that training evaluates them."""
    record = json.loads(Path("run/result.json").read_text())
    run = build(record["config"], initialise=False)
    state = torch.load("run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    run.module.load_state_dict(state)
    return run.module.method.evaluate_samples(run.domains.test).logits.double().softmax(1)


def shares(actual: list[dict[str, str]], classes: tuple[str, ...]) -> torch.Tensor:
    values = [[float(row[f"probability of {name}"]) for name in classes] for row in actual]
    return torch.tensor(values, dtype=torch.float64)


def photos(root: Path) -> None:
    draws = np.random.default_rng(0)
    for domain in ("studio", "phone"):
        for label, name in enumerate(("cup", "hat")):
            (root / domain / name).mkdir(parents=True)
            for number in range(12):
                pixels = draws.integers(0, 60, (10, 8, 3)) + 180 * label
                Image.fromarray(pixels.astype(np.uint8)).save(
                    root / domain / name / f"{number}.png"
                )


IMAGES = ("dataset=folder", "dataset.root=photos", "dataset.source=[studio]", "dataset.size=8")


def of_photos(da: Any) -> None:
    da.train_once("photos", *IMAGES, data=lambda: photos(Path("photos")))


@pytest.fixture
def pictures(da: Any) -> Any:
    of_photos(da)
    shutil.move("photos/phone", "new")
    shutil.rmtree("photos")  # whoever predicts need not have what was trained on
    return da


def test_images_without_labels_at_any_depth(pictures: Any) -> None:
    Path("new/cup/deep er").mkdir()
    shutil.move("new/cup/0.png", "new/cup/deep er/größe.PNG")
    shutil.move("new/hat/0.png", "new/first.png")
    ended = pictures("predict", "run=run", "dataset.root=new")
    assert (ended.code, ended.err) == (0, "")
    actual = rows()
    assert list(actual[0]) == ["file", "class", "probability"]
    assert {row["file"] for row in actual} >= {"cup/deep er/größe.PNG", "first.png", "hat/3.png"}
    assert len(actual) == 24
    assert all(row["class"] == "cup" for row in actual if row["file"].startswith("cup"))
    assert "12" in ended.out


def test_the_probabilities_are_those_of_training(da: Any) -> None:
    of_photos(da)
    actual = predicted(root="photos/phone")
    expected = own_probabilities()
    order = sorted(range(24), key=lambda row: actual[row]["file"])
    torch.testing.assert_close(
        shares([actual[row] for row in order], ("cup", "hat")), expected, atol=1e-6, rtol=0
    )
    for row in actual:
        best = max(("cup", "hat"), key=lambda name: float(row[f"probability of {name}"]))
        assert row["class"] == best
        assert row["probability"] == row[f"probability of {best}"]


def test_of_very_many_classes_those_of_the_most_rows_are_printed(
    da: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = {f"c{n}": 1 for n in range(20_000)} | {"often": 7}
    summary = {"rows": 20_006, "classes": classes, "skipped": []}
    monkeypatch.setattr("da_framework.cli.predict.predict", lambda **keys: summary)
    monkeypatch.setattr("da_framework.cli.predict.check_config", lambda known, schema: known)
    ended = da("predict", "run=run", "dataset.root=new")
    assert len(ended.out.splitlines()) < 120
    assert "often" in ended.out
    assert "19901 more classes" in ended.out


def test_broken_images_stop_or_are_named_and_left_out(pictures: Any) -> None:
    Path("new/hat/bad.jpg").write_bytes(b"")
    Path("new/hat/notes.txt").write_text("no image")
    output = refused(pictures, "dataset.root=new")
    assert "1 images cannot be read" in output
    assert "new/hat/bad.jpg: it is empty" in output
    skipping = pictures("predict", "run=run", "dataset.root=new", "+dataset.on_error=skip")
    assert skipping.code == 0
    assert "left out: new/hat/bad.jpg: it is empty" in skipping.out + skipping.err
    assert len(rows()) == 24
    named = pictures(
        *("predict", "run=run", "dataset=folder", "dataset.root=new"),
        *("dataset.on_error=skip", "dataset.size=8", "out=there/second.csv"),
    )
    assert named.code == 0
    assert rows("there/second.csv") == rows()


def test_what_cannot_be_read_is_one_line(pictures: Any) -> None:
    Path("empty").mkdir()
    Path("table.csv").write_text("a,b\n1,2\n")
    assert refused(pictures) == "dataset.root: must be given"
    assert refused(pictures, "dataset.root=nowhere").endswith("nowhere is not there")
    assert "there is no file that ends in .bmp" in refused(pictures, "dataset.root=empty")
    for item in ((), ("dataset=folder",)):
        output = refused(pictures, "dataset.root=new", "dataset.size=9", *item)
        assert output.startswith("dataset.size: samples are read as the run read its own")
        assert output.endswith("keys that may be given are root, on_error")
    assert "table.csv has 2 columns" in refused(pictures, "dataset=table", "dataset.root=table.csv")
    assert "not texts" in refused(pictures, "dataset=text", "dataset.root=table.csv")
    np.save("x.npy", np.zeros((2, 3, 9, 9), np.uint8))
    output = refused(pictures, "dataset=arrays", "dataset.root=x.npy")
    assert output == "x.npy holds samples of the shape (3, 9, 9), the run takes (3, 8, 8)"
    np.save("x.npy", np.zeros((2, 3, 8, 8)))
    output = refused(pictures, "dataset=arrays", "dataset.root=x.npy")
    assert output == "x.npy holds float64, the run takes uint8"


def test_a_record_of_before_inputs_stood_in_it_is_built_from_its_data(da: Any) -> None:
    plain(da)
    np.save("new.npy", np.random.default_rng(0).normal(size=(6, 2)))
    record = da.record()
    shape = {key: record["inputs"].pop(key) for key in ("shape", "dtype", "widest")}
    assert shape == {"shape": [2], "dtype": "float32", "widest": [2]}
    first = predicted(root="new.npy")
    del record["inputs"]
    (da.folder / "run" / "result.json").write_text(json.dumps(record))
    assert predicted(root="new.npy") == first
    assert [row["row"] for row in first] == [str(row) for row in range(6)]


@pytest.mark.parametrize("method", ["tca", "osbp", "uan", "adabn", "mean_teacher", "tradaboost"])
def test_methods_of_every_kind(da: Any, method: str) -> None:
    of_method(da, method)
    dataset = build(da.record()["config"], initialise=False).domains
    np.savez("new.npz", x=dataset.test.x.numpy())
    actual = predicted(root="new.npz")
    expected = own_probabilities()
    classes = tuple(name.removeprefix("probability of ") for name in list(actual[0])[4:])
    assert (classes[2:] == ("unknown",)) == (method in ("osbp", "uan"))
    torch.testing.assert_close(shares(actual, classes), expected, atol=1e-6, rtol=0)


def frames(root: Path, *, shift: float = 0.0) -> pd.DataFrame:
    draws = np.random.default_rng(1)
    y = np.arange(60) % 2
    frame = pd.DataFrame(
        {
            "height": 5 * draws.normal(size=60) + 100 + 20 * y,
            "weight": draws.normal(size=60) + shift,
            "label": np.where(y, "tall", "short"),
            "domain": np.where(np.arange(60) < 30, "north", "south"),
        }
    )
    frame.to_csv(root, index=False)
    return frame


def test_tables_by_their_columns_and_the_run_s_scale(da: Any) -> None:
    frame = frames(da.folder / "all.csv")
    keys = ("dataset=table", "dataset.root=all.csv", "dataset.source=[north]")
    assert da.train(*keys).code == 0
    expected = own_probabilities()
    Path("all.csv").unlink()
    other = frame[frame["domain"] == "south"]
    other[["weight", "height"]].assign(name="some one").to_csv("new.csv", index=False)
    actual = predicted(root="new.csv")
    torch.testing.assert_close(shares(actual, ("short", "tall")), expected, atol=1e-6, rtol=0)
    # a row alone has no scale of its own
    other[["weight", "height"]].head(1).to_csv("one.csv", index=False)
    assert predicted(root="one.csv") == [actual[0] | {"file": "one.csv"}]
    Path("predictions.csv").unlink()
    other[["weight"]].to_csv("new.csv", index=False)
    assert refused(da, "dataset.root=new.csv") == ("new.csv has no column height; it has weight")
    Path("new.csv").write_text("height,weight\n1,2\n3,\n")
    assert refused(da, "dataset.root=new.csv").startswith(
        "values are missing: column weight, new.csv, line 3; the run fills none: "
    )
    Path("new.csv").write_text("height,weight\n1,much\n")
    words = refused(da, "dataset.root=new.csv")
    assert words == "new.csv: not all columns are numbers: weight is texts, 1 different ones"


def prepared(da: Any) -> pd.DataFrame:
    """A run on a table with categories, dates and missing values; returns its target's rows."""
    frame = frames(da.folder / "all.csv").astype({"weight": object})
    frame["colour"] = ["red", "blue", "green"] * 20
    frame["day"] = pd.date_range("2020-01-01", periods=60).strftime("%Y-%m-%d")
    frame.loc[[3, 40], "weight"] = "?"
    frame.to_csv("all.csv", index=False)
    keys = ("dataset=table", "dataset.root=all.csv", "dataset.source=north", "method=control")
    columns = ("dataset.categories=colour", "dataset.dates=[day]", "dataset.missing=indicator")
    assert da.train(*keys, *columns).code == 0
    return frame[frame["domain"] == "south"].drop(columns=["label", "domain"])


@pytest.mark.filterwarnings("ignore")
def test_tables_are_prepared_as_the_run_s(da: Any) -> None:
    rows_of_target = prepared(da)
    expected = own_probabilities()
    Path("all.csv").unlink()
    rows_of_target.to_csv("new.csv", index=False, sep=";", decimal=",")
    actual = predicted(root="new.csv")
    torch.testing.assert_close(shares(actual, ("short", "tall")), expected, atol=1e-6, rtol=0)
    ended = da("export", "run=run", "formats=[pt2]")
    assert ended.code == 0, ended
    model = json.loads(Path("run/model.json").read_text())["input"]
    names = ["colour=blue", "colour=green", "colour=red", "day"]
    assert [name for name in model["columns"] if name not in ("height", "weight")] == names
    assert model["preparation"]["fill"]
    assert model["preparation"]["categories"] == {"colour": ["blue", "green", "red"]}
    rows_of_target.iloc[:2].assign(colour=["red", "pink"]).to_csv("odd.csv", index=False)
    ended = da("predict", "run=run", "dataset.root=odd.csv")
    assert ended.code == 0, ended
    assert "1 values of colour are not among those trained on" in ended.out + ended.err


def test_rows_of_fewer_columns_than_the_source_s(da: Any) -> None:
    draws = np.random.default_rng(0)
    for name, width in (("far", 5), ("near", 3)):
        np.savez(f"{name}.npz", x=draws.normal(size=(40, width)), y=np.arange(40) % 2)
    keys = ("dataset=arrays", "dataset.root=.", "dataset.source=[far]", "method=control")
    assert da.train(*keys).code == 0
    expected = own_probabilities()
    torch.testing.assert_close(
        shares(predicted(root="near.npz"), ("0", "1")), expected, atol=1e-6, rtol=0
    )
    Path("predictions.csv").unlink()
    assert "the run takes (3,)" in refused(da, "dataset.root=far.npz")


def test_texts(da: Any) -> None:
    pytest.importorskip("transformers")
    lines = [("a good book", "good"), ("a bad, dull book", "bad")] * 20
    frame = pd.DataFrame(lines, columns=["text", "label"])
    frame["domain"] = ["books"] * 20 + ["films"] * 20
    frame.to_csv("all.csv", index=False)
    small = ("network=text", "network.width=8", "network.layers=1", "network.heads=2")
    keys = ("dataset=text", "dataset.root=all.csv", "dataset.source=[books]", "dataset.length=6")
    message = ("dataset.vocabulary=50", "dataset.cache=null")
    assert da.train(*keys, *small, *message, "steps=3", "feature_cache=null").code == 0
    expected = own_probabilities()
    frame[frame["domain"] == "films"].drop(columns="label").to_json(
        "new.jsonl", lines=True, orient="records"
    )
    actual = predicted(root="new.jsonl")
    torch.testing.assert_close(shares(actual, ("bad", "good")), expected, atol=1e-6, rtol=0)
    Path("predictions.csv").unlink()
    assert refused(da, "dataset.root=new.jsonl", "+dataset.text=[title]") == (
        "new.jsonl has no column title; it has text, domain"
    )


def test_a_run_on_cached_features_reads_inputs(da: Any) -> None:
    photos(da.folder / "photos")
    keys = ("network.freeze=backbone", "feature_cache=features")
    assert da.train(*IMAGES, *keys).code == 0
    assert da.record()["inputs"]["widest"] == [3, 8, 8]
    assert "uint8" in da.record()["inputs"]["dtype"]
    actual = predicted(root="photos/phone")
    place = {"root": "photos"}
    accuracy = evaluate(run="run", pick="last", data_dir=None, dataset=place)["accuracy"]
    right = [row["class"] == Path(row["file"]).parent.name for row in actual]
    assert sum(right) / len(right) == pytest.approx(accuracy)


def test_the_weights_picked_are_those_used(da: Any) -> None:
    plain(da)
    for pick in ("last", "chosen"):
        model = restore_model("run", pick=pick)
        state = da.weights(pick=pick)
        item = model.method.state_dict()
        assert all(torch.equal(weight, state[f"method.{name}"]) for name, weight in item.items())


def test_corrected_probabilities_are_written_beside_their_class_shares(da: Any) -> None:
    of_photos(da)
    asked = ("calibration=temperature", "label_shift_correction=bbse")
    root = "dataset.root=photos/phone"
    assert da("predict", "run=run", root, "probabilities=true", "out=bare.csv").code == 0
    assert not Path("bare.shares.json").exists()
    ended = da("predict", "run=run", root, "probabilities=true", "trust=[photos]", *asked)
    assert (ended.code, ended.err) == (0, "")
    assert "calibrated by temperature; corrected for label shift by bbse, mode=soft" in ended.out
    done = json.loads(Path("predictions.shares.json").read_text())
    assert done["classes"] == ["cup", "hat"]
    assert done["calibration"] == "temperature"
    assert done["label_shift_correction"] == "bbse, mode=soft"
    weights = torch.tensor(done["weights"], dtype=torch.float64)
    actual, bare = (shares(rows(file), ("cup", "hat")) for file in ("predictions.csv", "bare.csv"))
    # six digits of a probability: its odds are known where it is not 0 or 1 by then
    assert (weights[0] - weights[1]).abs() > 1e-3 or (actual - bare).abs().max() > 1e-3
    model = restore_model("run", pick="last", trust=["photos"])
    built = build(json.loads(Path("run/result.json").read_text())["config"], initialise=False)
    source = model.method.evaluate_samples(built.domains.validation["source"])
    target = torch.as_tensor(own_probabilities().log())
    expected = correct_label_shift(
        source.logits,
        source.y,
        target,
        calibration=temperature,
        correction=partial(bbse, mode="soft"),
    )
    order = sorted(range(24), key=lambda row: rows()[row]["file"])
    torch.testing.assert_close(actual[order], expected.target.exp(), atol=1e-4, rtol=0)
    assert expected.estimate is not None
    assert done["target_shares"] == pytest.approx(expected.estimate.shares.tolist(), abs=1e-6)
    for row in rows():
        assert row["class"] == max(("cup", "hat"), key=lambda c: float(row[f"probability of {c}"]))


def test_what_was_held_out_must_be_there(pictures: Any) -> None:
    said = refused(pictures, "dataset.root=new", "calibration=temperature")
    assert "photos" in said
    assert not Path("predictions.shares.json").exists()
