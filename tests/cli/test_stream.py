"""A finished run and a target that passes once."""

import csv
import json
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from da_framework.core.errors import InputError
from da_framework.datasets.base import Dataset
from da_framework.results.stream_record import read_stream, schema_error
from da_framework.stream_methods.tent import Tent
from da_framework.training import streaming
from da_framework.training.restore import rebuild
from tests.damaged import BYTES

MOONS = ("batch_size=16", "checkpoint_every=3")


@pytest.fixture
def run(da: Any) -> Path:
    da.train_once("normed", "network.backbone.batch_norm=true", "method=source_only", "steps=30")
    return Path(da.folder)


def result(da: Any, *words: str, out: str = "out", method: str = "tent") -> dict[str, Any]:
    ended = da("stream", "run=run", f"stream_method={method}", f"out={out}", *MOONS, *words)
    assert ended.code == 0, ended
    record: dict[str, Any] = json.loads((da.folder / out / "stream.json").read_text())
    assert schema_error(record) == ""
    return record


def predictions(da: Any, out: str = "out") -> list[dict[str, str]]:
    with (da.folder / out / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def refused(da: Any, *words: str) -> str:
    ended = da("stream", "run=run", *words)
    assert (ended.code, ended.out) == (2, ""), ended
    assert "Traceback" not in ended.err
    return str(ended.err)


def test_the_source_as_it_is_has_the_run_s_accuracy(da: Any, run: Path) -> None:
    record = result(da, method="frozen")
    assert record["accuracy"] == da.record()["target"]["last"]["accuracy"]
    assert record["source"]["before"] == record["source"]["after"]
    assert record["source"]["forgetting"] == 0
    assert (record["samples"], record["labelled"], record["resets"]) == (200, 200, [])
    assert record["curve"][-1]["samples"] == 200
    assert record["curve"][-1]["cumulative"] == record["accuracy"]
    assert record["stages"][0]["accuracy"] == record["accuracy"]
    rows = predictions(da)
    assert len({row["sample"] for row in rows}) == len(rows) == 200
    assert (run / "out" / "stream.png").is_file()
    assert not (run / "out" / "stream.ckpt").exists()


def test_a_finished_stream_is_shown_and_not_computed_again(
    da: Any, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = da("stream", "run=run", *MOONS)
    (file,) = run.glob("streams/run-tent-iid-*/stream.json")
    before = file.read_bytes()
    again = da("stream", "run=run", *MOONS)
    notice, _, shown = again.out.partition("\n")
    assert shown == first.out
    assert notice.endswith("stream.json is there already: again=true computes it anew")
    assert file.read_bytes() == before
    assert da("stream", "run=run", "again=true", *MOONS).code == 0
    assert {**json.loads(file.read_text()), **CHANGING} == {**json.loads(before), **CHANGING}
    assert da("stream", "run=run", "seed=2", *MOONS).code == 0
    assert len([*run.glob("streams/*")]) == 2


CHANGING = dict.fromkeys(
    (*("seconds", "seconds_per_sample", "memory_mib", "memory_per_sample_mib", "finished"), "key")
)
"""What two equal streams differ in."""


def test_another_stream_s_folder_is_left_alone(da: Any, run: Path) -> None:
    result(da)
    before = (run / "out" / "stream.json").read_bytes()
    assert "there is the result of another stream (tent, order=iid)" in refused(
        da, "out=out", "order=class", *MOONS
    )
    assert (run / "out" / "stream.json").read_bytes() == before


def test_a_run_s_folder_is_no_place_for_a_stream(da: Any, run: Path) -> None:
    before = sorted(path.name for path in (run / "run").iterdir())
    assert refused(da, "out=run", *MOONS) == "out=run is the folder of a run: name another folder\n"
    (run / "begun").mkdir()
    (run / "begun" / "key.txt").write_text("of a run that is not finished")
    assert "out=begun is the folder of a run" in refused(da, "out=begun", *MOONS)
    assert sorted(path.name for path in (run / "run").iterdir()) == before


def test_what_a_record_says_of_resets_is_escaped(da: Any, run: Path) -> None:
    record = result(da)
    note = {"sample": 3, "reason": "\x1b[2Jall is well"}
    (run / "out" / "stream.json").write_text(json.dumps(record | {"resets": [note]}))
    ended = da("stream", "run=run", "stream_method=tent", "out=out", *MOONS)
    assert ended.code == 0, ended
    assert r"after 3 samples: reset (\x1b[2Jall is well)" in ended.out


def test_a_stream_that_is_killed_goes_on_bit_for_bit(
    da: Any, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = "tent"
    words = ("order=class", "guard=true", "collapse.window=32")
    whole = result(da, *words, out="whole", method=method)
    add = streaming.Passed.add

    def killed(self: streaming.Passed, probabilities: torch.Tensor) -> None:
        if self.batches == 8:
            raise KeyboardInterrupt
        add(self, probabilities)

    monkeypatch.setattr(streaming.Passed, "add", killed)
    ended = da("stream", "run=run", f"stream_method={method}", "out=out", *MOONS, *words)
    assert ended.code != 0
    assert (run / "out" / "stream.ckpt").is_file()
    assert not (run / "out" / "stream.json").exists()
    monkeypatch.setattr(streaming.Passed, "add", add)
    begun: list[int] = []
    load = streaming.Keeper.load

    def loaded(self: Any, *rest: Any) -> streaming.Passed:
        passed = load(self, *rest)
        begun.append(passed.batches)
        return passed

    monkeypatch.setattr(streaming.Keeper, "load", loaded)
    resumed = result(da, *words, method=method)
    assert begun == [6]
    assert {**resumed, **CHANGING} == {**whole, **CHANGING}
    assert predictions(da) == predictions(da, "whole")


def test_labels_never_reach_a_method(da: Any, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = result(da)
    given = predictions(da)
    labels = Dataset.task_labels

    def others(self: Dataset, y: Any) -> Any:
        return 1 - labels(self, y)

    monkeypatch.setattr(Dataset, "task_labels", others)
    after = result(da, "again=true")
    assert after["accuracy"] == pytest.approx(1 - before["accuracy"])
    assert predictions(da) == given


def test_without_labels_there_is_no_accuracy(
    da: Any, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlabelled(*given: Any) -> Any:
        built = rebuild(*given)
        built.domains.oracle.fill_(-1)
        return built

    monkeypatch.setattr("da_framework.cli.stream.rebuild", unlabelled)
    record = result(da)
    assert (record["accuracy"], record["end"], record["labelled"]) == (None, None, 0)
    assert {point["accuracy"] for point in record["curve"]} == {None}
    assert record["stages"][0]["accuracy"] is None
    assert not (run / "out" / "stream.png").exists()
    assert len(predictions(da)) == 200
    assert "no labels" in da("stream", "run=run", "out=out", *MOONS).out
    assert "samples without one" in " ".join(refused(da, "order=class").split())


def test_a_class_comes_at_once_where_it_is_asked_for(da: Any, run: Path) -> None:
    record = result(da, "order=class", "strength=0.0", method="frozen")
    assert (record["config"]["strength"], record["labelled"]) == (0.0, 200)
    given = predictions(da)
    result(da, method="frozen", out="iid")
    changes = [
        sum(a["class"] != b["class"] for a, b in pairwise(rows))
        for rows in (given, predictions(da, "iid"))
    ]
    assert changes[0] < changes[1]


def test_so_many_samples_arrive_and_no_more(da: Any, run: Path) -> None:
    record = result(da, "samples=30", method="frozen")
    assert (record["samples"], record["labelled"], len(predictions(da))) == (30, 30, 30)
    result(da, method="frozen", out="all")
    every = {row["sample"]: row["class"] for row in predictions(da, "all")}
    assert all(every[row["sample"]] == row["class"] for row in predictions(da))
    assert "samples" in refused(da, "samples=0")


def test_a_domain_begins_anew_where_it_is_asked_for(da: Any, run: Path) -> None:
    words = ("+dataset.target=[halfway,rotated]", "order=domain")
    record = result(da, *words, "reset=domain")
    assert [stage["domain"] for stage in record["stages"]] == ["halfway", "rotated"]
    cut = record["stages"][0]["samples"]
    assert record["resets"] == [{"sample": cut, "reason": "another domain begins"}]
    first = [row["probability"] for row in predictions(da)]
    never = result(da, *words, out="never")
    assert never["resets"] == []
    assert [row["probability"] for row in predictions(da, "never")][:cut] == first[:cut]
    assert [row["probability"] for row in predictions(da, "never")][cut:] != first[cut:]


def test_a_damaged_record_is_a_line(da: Any, run: Path) -> None:
    (run / "out").mkdir()
    for content in BYTES:
        (run / "out" / "stream.json").write_bytes(content)
        with pytest.raises(
            InputError, match=r"out/stream\.json is damaged or no record of a stream"
        ):
            read_stream(Path("out"))
    line = refused(da, "out=out")
    assert len(line.splitlines()) == 1
    assert "out/stream.json is damaged or no record of a stream" in line


def test_a_record_that_is_changed_is_no_record(da: Any, run: Path) -> None:
    record = result(da)
    file = run / "out" / "stream.json"
    for key, value in (("accuracy", 2.0), ("resets", [1]), ("curve", None), ("seed", -1)):
        file.write_text(json.dumps(record | {key: value}))
        with pytest.raises(InputError, match=f"damaged or no record of a stream \\({key}"):
            read_stream(run / "out")


def test_what_cannot_be_is_a_line(da: Any, run: Path) -> None:
    assert "stream_method=tents" in refused(da, "stream_method=tents")
    assert "batch_size" in refused(da, "batch_size=0")
    assert "severity" in refused(da, "severity=6")
    assert "corruptions are of images of one or three channels" in refused(da, "corruption=[fog]")
    assert "there is no such corruption" in refused(da, "corruption=[smog]")
    assert "there is no result.json" in refused(da, "run=nowhere")
    assert "stream_method.optimizer: Invalid learning rate" in refused(
        da, "stream_method.optimizer.lr=-1"
    )
    assert "stream_method.optimizer.lr is too large" in refused(
        da, "stream_method.optimizer.lr=1e38"
    )
    other = "+stream_method={_target_: torch.nn.Identity, _partial_: true}"
    assert "is no stream method" in refused(da, "~stream_method", other)


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("collapse=3", "collapse: input should be a valid dictionary"),
        ("collapse.window=0", "collapse.window: input should be greater than or equal to 1"),
        (f"collapse.window={10**30}", "collapse.window: input should be less than or equal to"),
        ("collapse.min_entropy=nan", "collapse.min_entropy: input should be a finite number"),
        ("collapse.max_drift=inf", "collapse.max_drift: input should be a finite number"),
        ("~collapse.window", "collapse.window: missing"),
        ("+collapse.more=1", "collapse.more: there is no such key"),
    ],
)
def test_the_guard_s_limits_are_held_against_their_types(da: Any, word: str, line: str) -> None:
    assert refused(da, word).startswith(line)


def test_a_network_without_batch_norm_is_refused(da: Any) -> None:
    da.train_once("plain", "evaluate_every=5")
    assert "the run's network has none" in refused(da)


def test_a_plugin_s_stream_method_is_taken(
    da: Any, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its target, as an installed package's config names it."""
    (run / "ours.py").write_text(
        "from da_framework.stream_methods.base import StreamMethod\n\n\n"
        "class Uniform(StreamMethod):\n"
        "    def predict(self, x):\n"
        "        return super().predict(x) * 0 + 0.5\n"
    )
    monkeypatch.syspath_prepend(run)
    ended = da(
        *("stream", "run=run", "out=out", "~stream_method", *MOONS),
        "+stream_method={_target_: ours.Uniform, _partial_: true}",
    )
    assert ended.code == 0, ended
    assert {row["probability"] for row in predictions(da)} == {"0.500000"}
    assert json.loads((run / "out" / "stream.json").read_text())["method"] == "ours"


def test_tent_learns(da: Any, run: Path) -> None:
    result(da, method="bn_statistics", out="still")
    result(da, "stream_method.optimizer.lr=0.05")
    assert predictions(da) != predictions(da, "still")
    assert Tent.needs_source is False


@pytest.mark.parametrize("name", ["mean_teacher", "swad"])
def test_an_average_that_predicts_is_what_learns(da: Any, name: str) -> None:
    """Not the network that was trained beside it, which predicts nothing."""
    words = ("method.patience=1", "evaluate_every=1") if name == "swad" else ()
    da.train_once(name, f"method={name}", "network.backbone.batch_norm=true", *words)
    still = result(da, method="frozen", out="frozen")
    assert still["accuracy"] == da.record()["target"]["last"]["accuracy"]
    result(da, method="bn_statistics", out="statistics")
    assert predictions(da, "statistics") != predictions(da, "frozen")
    result(da, "stream_method.optimizer.lr=0.05")
    assert predictions(da) != predictions(da, "statistics")


def test_what_has_no_gradient_is_a_line(da: Any) -> None:
    da.train_once("pointwise", "network.backbone.batch_norm=true")
    words = ("method=kernel_svm", "init_from=run", "network.backbone.batch_norm=true")
    assert da.train(*words, run="kernel").code == 0
    for method in ("tent", "eata", "shot_online"):
        ended = da("stream", "run=kernel", f"stream_method={method}")
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith("no gradient passes what the run's method predicts by")


def test_a_view_of_features_is_named_where_one_of_images_is_not_possible(
    da: Any, run: Path
) -> None:
    line = refused(da, "stream_method=memo")
    assert line.startswith("stream_method.view: Distortion sees images, but the inputs are (2,)")
    words = shlex.split(line.partition("of features: ")[2].replace("\n", " "))
    assert len(words) == 2
    guide = Path(__file__).parents[2] / "docs" / "pages" / "guides" / "streams.md"
    assert words[1] in guide.read_text("utf-8")
    assert result(da, *words, method="memo")["samples"] == 200


def test_texts_stream_by_with_views_of_their_own(da: Any) -> None:
    pytest.importorskip("transformers")
    lines = ["text,label,domain"]
    lines += [f"a {word} {kind},{word},{kind}" for kind in ("s", "t") for word in ("b", "g")] * 20
    (da.folder / "all.csv").write_text("\n".join(lines))
    small = ("network=text", "network.width=8", "network.layers=1", "network.heads=2")
    data = ("dataset=text", "dataset.root=all.csv", "dataset.source=[s]", "dataset.length=6")
    keys = ("dataset.vocabulary=50", "dataset.cache=null", "feature_cache=null", "steps=3")
    normed = ("network.batch_norm=true", "network.bottleneck=[8]")
    assert da.train(*data, *small, *keys, *normed).code == 0
    root = "dataset.root=all.csv"
    for method in ("frozen", "tent", "t3a", "lame", "shot_online"):
        assert result(da, root, "batch_size=1", out=method, method=method)["samples"] == 40
    number = "_target_: da_framework.datasets.augmentations.Jitter, noise: 0.1, drop: 0.0"
    other = ("~stream_method.view", f"+stream_method.view={{{number}}}")
    assert "inputs are token ids" in refused(da, root, "stream_method=memo", *other)
    line = refused(da, root, "stream_method=memo").replace("\n", " ")
    words = shlex.split(line.partition("of texts: ")[2])
    guide = Path(__file__).parents[2] / "docs" / "pages" / "guides" / "streams.md"
    assert words[1] in guide.read_text("utf-8")
    for method in ("memo", "rotta"):
        assert result(da, root, *words, out=method, method=method)["samples"] == 40
    assert "corruptions are of images" in refused(da, root, "corruption=[fog]")


def test_series_stream_by_one_at_a_time(da: Any) -> None:
    random = np.random.default_rng(0)
    y = np.arange(40) % 2
    (da.folder / "data").mkdir()
    for name in ("s", "t"):
        x = random.normal(size=(40, 2, 24)) + 2 * y[:, None, None]
        np.savez(da.folder / "data" / f"{name}.npz", x=x.astype(np.float32), y=y)
    data = ("dataset=arrays", "dataset.root=data", "dataset.source=[s]", "dataset.target=[t]")
    normed = ("network=cnn1d", "network.batch_norm=true", "network.bottleneck=[8]")
    assert da.train(*data, *normed, "steps=3").code == 0
    for method in ("tent", "eata", "sar", "shot_online"):
        record = result(da, "batch_size=1", "guard=true", out=method, method=method)
        assert record["accuracy"] is not None
    assert "of features: " in refused(da, "stream_method=cotta")


def test_an_order_that_is_none_is_a_line(da: Any, run: Path) -> None:
    assert refused(da, "order=sorted").startswith("order: ")
    assert refused(da, "corruption=null").startswith("corruption")
    assert len(refused(da, "order=gradual").splitlines()) == 1
