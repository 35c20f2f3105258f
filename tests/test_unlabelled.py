"""A target without labels: trained on, chosen for, predicted and reported, with nothing made up."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from da_framework.config.catalog import list_group
from da_framework.core.labels import UNLABELLED
from da_framework.datasets.splits import DomainSplitter, SplitRules
from tests.killed import Killed, die_at_steps
from tests.selection import a_few
from tests.shared_runs import KEYS

SIDES = ("dataset.source=[s]", "dataset.target=[t]")
ROWS = 40


def clouds(*, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Two classes, apart in two of three features."""
    random = np.random.default_rng(int(10 * shift))
    y = np.arange(ROWS) % 2
    return (random.normal(size=(ROWS, 3)) + 3 * y[:, None] + shift).astype(np.float32), y


def write_arrays(root: Path, labels: Callable[[np.ndarray], np.ndarray] | None) -> None:
    for name, shift in (("s", 0.0), ("t", 0.5)):
        x, y = clouds(shift=shift)
        root.mkdir(exist_ok=True)
        if name == "s":
            np.savez(root / "s.npz", x=x, y=y)
        elif labels:
            np.savez(root / "t.npz", x=x, y=labels(y))
        else:
            np.savez(root / "t.npz", x=x)


def write_table(root: Path, *, column: bool) -> None:
    frames = []
    for name, shift in (("s", 0.0), ("t", 0.5)):
        x, _ = clouds(shift=shift)
        root.mkdir(exist_ok=True)
        frame = pd.DataFrame(x, columns=["a", "b", "c"])
        if name == "s" or column:
            frame["label"] = ["no", "yes"] * (ROWS // 2) if name == "s" else ""
        if column:
            frame["domain"] = name
            frames.append(frame)
        else:
            frame.to_csv(root / f"{name}.csv", index=False)
    if frames:
        pd.concat(frames).to_csv(root / "all.csv", index=False)


def write_photos(root: Path) -> None:
    for number in range(ROWS):
        for folder in (Path("s", ("cup", "pen")[number % 2]), Path("t")):
            (root / folder).mkdir(parents=True, exist_ok=True)
            light = (60, 200)[number % 2] + number % 7
            Image.new("RGB", (8, 8), (light,) * 3).save(root / folder / f"{number}.png")


def write_series(root: Path) -> None:
    random = np.random.default_rng(0)
    root.mkdir()
    y = np.arange(ROWS) % 2
    x = random.normal(size=(ROWS, 2, 24)) + 2 * y[:, None, None]
    np.savez(root / "s.npz", x=x.astype(np.float32), y=y)
    np.savez(root / "t.npz", x=(x + 0.3).astype(np.float32))


def write_texts(root: Path) -> None:
    random = np.random.default_rng(0)
    root.mkdir()
    for name, filler in (("s", "book"), ("t", "film")):
        words = [("poor", "fine")[number % 2] for number in range(ROWS)]
        texts = [" ".join(random.permutation([word, word, filler, "the"])) for word in words]
        frame = pd.DataFrame({"text": texts, "label": words if name == "s" else ""})
        frame.to_csv(root / f"{name}.csv", index=False)


MLP = ("network=mlp",)
FORMATS: dict[str, tuple[str, Callable[[Path], None], tuple[str, ...]]] = {
    "no y": ("arrays", lambda root: write_arrays(root, None), MLP),
    "-1": ("arrays", lambda root: write_arrays(root, lambda y: 0 * y - 1), MLP),
    "NaN": ("arrays", lambda root: write_arrays(root, lambda y: y * np.nan), MLP),
    "no column": ("table", lambda root: write_table(root, column=False), MLP),
    "empty labels": (
        "table",
        lambda root: write_table(root, column=True),
        (*MLP, "dataset.root=data/all.csv"),
    ),
    "pictures": ("folder", write_photos, ("dataset.size=8", "feature_cache=null")),
    "series": ("arrays", write_series, ("network=cnn1d",)),
    "texts": ("text", write_texts, ("network=text", "dataset.length=8")),
}


@pytest.mark.parametrize("protocol", ["inductive", "transductive"])
@pytest.mark.parametrize("kind", FORMATS)
def test_it_is_trained_on_and_no_accuracy_is_made_up(da: Any, kind: str, protocol: str) -> None:
    reader, write, keys = FORMATS[kind]
    write(da.folder / "data")
    ended = da(
        *("train", f"dataset={reader}", "dataset.root=data", *SIDES, *keys, "logger=[]"),
        *(f"dataset.protocol={protocol}", "steps=4", "hydra.run.dir=run"),
        *("callback=[confusion,curves,diagnostics,tsne]", "dataset.val=0.2"),
    )
    assert ended.code == 0, ended.err
    assert "target accuracy: no labels: not known" in ended.out
    record = da.record()
    assert set(record["target"]) == {"last", "chosen"}
    for pick in record["target"].values():
        assert pick["rows"] == 0
        assert set(pick) == {"rows", "mmd", "step", "score"}
    assert record["rows"]["test"] == ROWS * (0.2 if protocol == "inductive" else 1)
    assert not any("oracle" in name for row in record["curve"] for name in row)
    assert "the tested target has no labels" in record["note"]
    files = {file.name for file in (da.folder / "run").iterdir()}
    assert {"curves.png", "tsne.png"} <= files
    assert "confusion.png" not in files
    card = (da.folder / "run" / "MODEL.md").read_text()
    assert "Not known: no test sample of the target has a label." in card
    assert "0.00" not in card


@pytest.fixture
def runs(da: Any) -> Any:
    """Two runs on a target without labels, in ``runs``."""

    def data() -> None:
        write_arrays(da.folder / "data", None)

    for number, method in enumerate(("source_only", "mmd")):
        keys = ("dataset=arrays", "dataset.root=data", *SIDES, "callback=[diagnostics,validators]")
        da.train_once(
            f"unlabelled-{method}",
            *(*keys, f"method={method}", "steps=4", "logger=[]"),
            run=method,
            data=data if number == 0 else None,
        )
    return da


def test_a_report_is_in_the_order_of_the_validator_and_says_so(runs: Any) -> None:
    ended = runs("report", "source_only", "mmd")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert "| task | method | validator score | seeds |" in lines
    scores = {
        name: runs.record(name)["target"]["chosen"]["score"] for name in ("source_only", "mmd")
    }
    best = max(scores, key=lambda name: scores[name])
    rows = [line for line in lines if line.startswith("| s → t")]
    assert f"`{best}`" in rows[0]
    assert f"{scores[best]:.4f}" in rows[0]
    assert "no labels: not known" in ended.out
    assert "no proof that one is better" in ended.out
    for ending in ("html", "csv", "md"):
        assert runs("report", "source_only", "mmd", "--out", f"all.{ending}").code == 0
    assert runs("report", "source_only", "mmd", "--keep", "kept.json").code == 0
    assert "no labels: not known" in runs("report", "kept.json").out
    judged = runs("report", "source_only", "--validators")
    assert (judged.code, "target labels to judge them by" in judged.err) == (2, True)


def test_tasks_with_and_without_labels_stand_in_one_report(runs: Any) -> None:
    write_arrays(runs.folder / "known", lambda y: y)
    keys = ("dataset=arrays", "dataset.root=known", *SIDES, "steps=4")
    assert runs.train(*keys, "dataset.source=[t]", "dataset.target=[s]", run="known").code == 0
    ended = runs("report", "source_only", "known", "--out", "all.md")
    assert ended.code == 0
    text = (runs.folder / "all.md").read_text()
    assert "| no labels | no labels | no labels |" in text
    assert "| validator score |" in text


def test_doctor_evaluate_predict_and_export(runs: Any) -> None:
    told = runs("doctor", "mmd")
    assert told.code == 0
    assert "target accuracy: no labels: not known" in told.out
    scored = runs("evaluate", "run=mmd")
    assert scored.code == 0
    assert "no labels: not known" in scored.out
    predicted = runs("predict", "run=mmd", "dataset.root=data/t.npz", "out=t.csv")
    assert predicted.code == 0
    assert len(pd.read_csv("t.csv")) == ROWS
    assert runs("export", "run=mmd", "out=model").code == 0
    assert json.loads(Path("model/model.json").read_text())["accuracy"] == {}


def test_labels_that_come_later_are_evaluated_on(runs: Any) -> None:
    write_arrays(runs.folder / "data", lambda y: y)
    ended = runs("evaluate", "run=mmd")
    assert ended.code == 0
    assert "labelled target samples" in ended.out


def test_what_needs_labels_says_so_in_a_line(runs: Any) -> None:
    keys = ("dataset=arrays", "dataset.root=data", *SIDES)
    train = ("train", *keys, *MLP, "logger=[]", "callback=[]", "steps=4", "hydra.run.dir=no")
    refused = {
        "no target sample is labelled": (
            *train,
            "method=target_only",
            "dataset.labels_per_class=all",
        ),
        "only 0 labelled training samples": (*train, "dataset.labels_per_class=2"),
        "of whose samples none has a label": (*train, "dataset.label_shift=1.0"),
        "needs labelled target rows": ("rank", "run=[mmd]", *keys),
        "objective=validator": (
            *("search", "method.weight=interval(0.1,1)", *keys, *MLP, "method=mmd", "steps=4"),
            *("logger=[]", "callback=[]", "trials=2", "objective=oracle"),
        ),
    }
    for words, command in refused.items():
        ended = runs(*command)
        assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
        assert words in ended.err


def test_a_search_goes_by_the_validator(runs: Any) -> None:
    keys = ("dataset=arrays", "dataset.root=data", *SIDES, *MLP, "steps=4", "logger=[]")
    ended = runs("search", "method.weight=interval(0.1,1)", "method=mmd", *keys, "trials=2")
    assert ended.code == 0, ended
    assert "best: validator" in ended.out


def test_labels_change_no_bit_of_the_weights(da: Any) -> None:
    for name, labels in (("with", lambda y: y), ("without", None)):
        write_arrays(da.folder / name, labels)
        keys = ("dataset=arrays", f"dataset.root={name}", *SIDES, "dataset.protocol=inductive")
        assert da.train(*keys, "method=dann", "steps=30", run=f"run_{name}").code == 0
    weights = [da.weights(f"run_{name}") for name in ("with", "without")]
    assert all(torch.equal(own, weights[1][name]) for name, own in weights[0].items())
    curves = [da.record(f"run_{name}")["curve"] for name in ("with", "without")]
    assert [row["score"] for row in curves[0]] == [row["score"] for row in curves[1]]


def test_data_check_counts_labels(da: Any) -> None:
    write_arrays(da.folder / "none", None)
    write_arrays(da.folder / "some", lambda y: np.where(np.arange(ROWS) < 6, y, UNLABELLED))
    for name, words in (
        ("none", "labels: none of 40 samples has one"),
        ("some", "labels: 6 of 40 samples have one; classes: 2"),
    ):
        ended = da("data", "check", "dataset=arrays", f"dataset.root={name}", "dataset.source=[s]")
        assert ended.code == 0, ended.err
        assert words in ended.out
        (report,) = Path().rglob("report.json")
        assert json.loads(report.read_text())["domains"]["t"]["classes"].keys() <= {"0", "1"}
        report.unlink()


@pytest.mark.slow
def test_texts_are_predicted_and_exported(da: Any) -> None:
    write_texts(da.folder / "data")
    keys = ("dataset=text", "dataset.root=data", *SIDES, "network=text", "dataset.length=8")
    for method in ("source_only", "mmd"):
        assert da.train(*keys, f"method={method}", "steps=4", run=method).code == 0
    assert "no labels: not known" in da("report", "source_only", "mmd").out
    assert "no labels: not known" in da("doctor", "mmd").out
    assert "no labels: not known" in da("evaluate", "run=mmd").out
    assert da("predict", "run=mmd", "dataset.root=data/t.csv", "out=t.csv").code == 0
    assert set(pd.read_csv("t.csv")["class"]) <= {"poor", "fine"}
    assert da("export", "run=mmd", "out=model", "formats=[pt2]").code == 0


@pytest.mark.slow
def test_every_validator_chooses_or_says_what_it_needs(da: Any) -> None:
    write_arrays(da.folder / "data", None)
    keys = ("dataset=arrays", "dataset.root=data", *SIDES, "dataset.val=0.2", "steps=4")
    for validator, *_ in list_group("validator"):
        ended = da.train(*keys, f"validator={validator}", "evaluate_every=2", run=validator)
        assert ended.code == 0, ended.err
        record = da.record(validator)["target"]
        assert "accuracy" not in record["last"]
        scores = [row["score"] for row in da.record(validator)["curve"] if row["step"]]
        assert record["chosen"]["score"] == max(score for score in scores if score is not None)


@pytest.mark.slow
def test_a_sweep_of_which_a_job_needs_labels_goes_on(da: Any) -> None:
    write_arrays(da.folder / "data", None)
    keys = ("dataset=arrays", "dataset.root=data", *SIDES, *MLP, "steps=4", "logger=[]")
    sweep = ("train", "-m", "method=source_only,target_only,mmd", *keys, "callback=[]")
    written: list[set[int]] = []
    for _ in range(2):
        ended = da(*sweep, "dataset.labels_per_class=all")
        assert ended.code == 2
        assert "no target sample is labelled" in ended.err
        assert "1 of 3 jobs failed" in ended.out + ended.err
        written.append({file.stat().st_mtime_ns for file in Path("multirun").rglob("result.json")})
    assert len(written[0]) == 2
    assert written[0] == written[1]  # what is done is not done again


@pytest.mark.slow
def test_a_sweep_that_was_killed_chooses_as_one_that_was_not(
    da: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_arrays(da.folder / "data", None)
    keys = ("dataset=arrays", "dataset.root=data", *SIDES, *MLP, "steps=12", "logger=[]")
    often = ("checkpoint_every=3", "evaluate_every=4", "validator=snd", "callback=[]")
    sweep = ("train", "-m", "method=source_only,target_only,mmd", *keys, *often)
    assert da(*sweep, "hydra.sweep.dir=whole").code == 2
    die_at_steps(monkeypatch, 8)
    with pytest.raises(Killed):
        da(*sweep, "hydra.sweep.dir=killed")
    assert da(*sweep, "hydra.sweep.dir=killed").code == 2
    seen = [
        {
            path.parent.name: (record["target"], record["curve"])
            for path in Path(name).rglob("result.json")
            if (record := json.loads(path.read_text()))
        }
        for name in ("whole", "killed")
    ]
    assert len(seen[0]) == 2
    assert seen[0] == seen[1]


@pytest.mark.slow
def test_a_run_without_source_goes_on_with_the_classes_of_another(da: Any) -> None:
    for kind, (reader, write, keys) in FORMATS.items():
        if kind not in ("no y", "pictures"):
            continue
        write(da.folder / kind)
        keys = (f"dataset={reader}", f"dataset.root={kind}", "dataset.target=[t]", *keys)
        first = f"{kind}-first"
        assert da.train(*keys, "dataset.source=[s]", run=first).code == 0
        ended = da.train(*keys, "dataset.source=[]", "method=shot", f"init_from={first}", run=kind)
        assert ended.code == 0, ended.err
        assert da.record(kind)["classes"] == da.record(first)["classes"]
        assert da("evaluate", f"run={kind}", f"dataset.root={kind}").code == 0
        assert da("predict", f"run={kind}", f"dataset.root={kind}").code == 0
        bare = f"init_from={first}/checkpoints/last.ckpt"
        refused = da.train(*keys, "dataset.source=[]", "method=shot", bare, run="no")
        assert (refused.code, refused.err.count("\n")) == (2, 1), refused.err
        assert "no class is known" in refused.err


# labelled in part


def split(y: np.ndarray, *, group: np.ndarray | None = None, **rules: Any) -> DomainSplitter:
    given: dict[str, Any] = {
        "classes": ("a", "b"),
        "source_classes": ("a", "b"),
        "target_classes": ("a", "b"),
        "protocol": "inductive",
        "labels_per_class": 0,
        "source_per_class": None,
        "training_samples": None,
        "val": 0.1,
        "test": 0.2,
        "split_seed": 0,
        "label_shift": None,
    }
    return DomainSplitter("t", y, None, SplitRules(**(given | rules)), group)


@pytest.fixture
def partly() -> np.ndarray:
    """Of 100 samples 20 have a label."""
    y = np.full(100, UNLABELLED)
    y[::5] = np.arange(20) % 2
    return y


def test_the_labelled_are_the_test(partly: np.ndarray) -> None:
    train, val, test = split(partly).split_target()
    assert test.tolist() == np.flatnonzero(partly >= 0).tolist()
    assert sorted([*train, *val]) == np.flatnonzero(partly < 0).tolist()
    assert len(val) == 8
    assert not len(split(partly).choose_labelled())


def test_some_of_them_are_learnt_from_and_the_others_tested(partly: np.ndarray) -> None:
    domain = split(partly, labels_per_class=3)
    few, test = domain.choose_labelled(), domain.split_target()[2]
    assert sorted(partly[few]) == [0] * 3 + [1] * 3
    assert sorted([*few, *test]) == np.flatnonzero(partly >= 0).tolist()


def test_all_of_them_are_learnt_from_and_nothing_is_known(partly: np.ndarray) -> None:
    domain = split(partly, labels_per_class="all")
    few, test = domain.choose_labelled(), domain.split_target()[2]
    assert few.tolist() == np.flatnonzero(partly >= 0).tolist()
    assert len(test) == 16  # a fifth of the others
    assert (partly[test] == UNLABELLED).all()


def test_windows_of_one_series_stay_together(partly: np.ndarray) -> None:
    group = np.arange(100) // 10
    partly[50:] = UNLABELLED
    domain = split(partly, group=group)
    train, val, test = domain.split_target()
    assert test.tolist() == list(range(50))
    assert not set(group[test]) & set(group[[*train, *val]])
    domain = split(partly, group=group, labels_per_class=1)
    few, test = domain.choose_labelled(), domain.split_target()[2]
    assert not set(group[few]) & set(group[test])


def test_which_have_a_label_decides_but_no_label_does(partly: np.ndarray) -> None:
    other = np.where(partly == UNLABELLED, UNLABELLED, 1 - partly)
    for protocol in ("inductive", "transductive"):
        pairs = zip(
            *(split(y, protocol=protocol).split_target() for y in (partly, other)), strict=True
        )
        assert all(np.array_equal(one, two) for one, two in pairs)


def test_accuracy_is_of_the_labelled_alone(da: Any) -> None:
    write_arrays(da.folder / "data", lambda y: np.where(np.arange(ROWS) < 6, y, UNLABELLED))
    keys = ("dataset=arrays", "dataset.root=data", *SIDES)
    for protocol, tested in (("transductive", ROWS), ("inductive", 6)):
        ended = da.train(*keys, f"dataset.protocol={protocol}", run=protocol)
        assert ended.code == 0, ended.err
        record = da.record(protocol)
        assert record["target"]["last"]["rows"] == 6
        assert record["rows"]["test"] == tested
        assert sum(record["target"]["last"]["rows_per_class"]) == 6
    assert (
        "6 of 40 test samples of t have a label: accuracy is of these"
        in da.train(*keys, run="again").out
    )


def test_a_folder_beside_those_of_the_classes_holds_the_others(da: Any) -> None:
    write_photos(da.folder / "data")
    for number in range(ROWS):
        kind = ("unlabelled", "Unlabeled", "cup", "pen")[number % 4]
        (da.folder / "data" / "t" / kind).mkdir(exist_ok=True)
        file = da.folder / "data" / "t" / f"{number}.png"
        file.rename(file.parent / kind / file.name)
    ended = da(
        *("train", "dataset=folder", "dataset.root=data", *SIDES, "dataset.size=8", "logger=[]"),
        *("steps=2", "hydra.run.dir=run", "feature_cache=null", "callback=[]"),
    )
    assert ended.code == 0, ended.err
    assert da.record()["target"]["last"]["rows"] == ROWS // 2
    assert da.record()["rows"]["target"] == ROWS
    assert da.record()["classes"] == ["cup", "pen"]


# every method


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", a_few("unlabelled", (name for name, *_ in list_group("method")), 20)
)
def test_every_method_that_needs_no_target_label(da: Any, method: str) -> None:
    write_arrays(da.folder / "data", None)
    keys = ("dataset=arrays", "dataset.root=data", *SIDES, "dataset.val=0.2")
    ended = da.train(*keys, f"method={method}", "steps=4", *KEYS.get(method, ()))
    if ended.code:
        assert ended.err.count("\n") == 1, ended.err
        needs = (
            "target sample is",
            "init_from",
            "teachers",
            "labelled training samples",
            "one source",
        )
        assert any(words in ended.err for words in needs), ended.err
    else:
        assert "accuracy" not in da.record()["target"]["last"]
