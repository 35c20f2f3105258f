"""Small inputs on which a run could fall short, each in several forms: what comes of them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.selection import a_few

N = 60
ST = ("dataset.source=[s]", "dataset.target=[t]")
Words = tuple[str, ...]
Make = Callable[[Path], Words]


def rows() -> pd.DataFrame:
    """Two classes in two domains, which a column tells apart."""
    draws = np.random.default_rng(0)
    y = draws.integers(0, 2, 2 * N)
    return pd.DataFrame(
        {
            "a": draws.normal(size=2 * N) + 3 * y,
            "b": draws.normal(size=2 * N),
            "label": np.array(["no", "yes"])[y],
            "domain": ["s"] * N + ["t"] * N,
        }
    )


def one_file(change: Callable[[pd.DataFrame], pd.DataFrame], *words: str, **keys: Any) -> Make:
    """A table of both domains."""

    def make(folder: Path) -> Words:
        change(rows()).to_csv(folder / "f.csv", index=False, **keys)
        return ("dataset=table", "dataset.root=f.csv", "network=mlp", *ST, *words)

    return make


def two_files(change: Callable[[pd.DataFrame], pd.DataFrame], *words: str) -> Make:
    """A table of each domain, the target's changed."""

    def make(folder: Path) -> Words:
        every = rows()
        s, t = (every[every.domain == name].drop(columns="domain") for name in "st")
        (folder / "d").mkdir()
        s.to_csv(folder / "d" / "s.csv", index=False)
        change(t).to_csv(folder / "d" / "t.csv", index=False)
        return ("dataset=table", "dataset.root=d", "network=mlp", *ST, *words)

    return make


def arrays(change: Callable[[Any, Any], dict[str, Any]], *words: str) -> Make:
    """A file of arrays a domain."""

    def make(folder: Path) -> Words:
        draws = np.random.default_rng(0)
        (folder / "d").mkdir()
        for name, n in (("s", 2 * N), ("t", N)):
            y = draws.integers(0, 3, n)
            held = change(draws.normal(size=(n, 8)).astype("f4"), y)
            np.savez(folder / "d" / f"{name}.npz", **held)
        return ("dataset=arrays", "dataset.root=d", "network=mlp", *ST, *words)

    return make


def at(index: int, column: str, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.astype({column: object})
        frame.loc[index, column] = value
        return frame

    return change


def target_only(column: str, value: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame.assign(**{column: np.where(frame.domain == "t", value, 0.0)})


def plain(*words: str) -> Make:
    return lambda folder: words


def in_home(*words: str) -> Make:
    """A table in the home folder, which is the working one in these tests."""

    def make(folder: Path) -> Words:
        rows().to_csv(folder / "my rows.csv", index=False)
        return ("dataset=table", "network=mlp", *ST, *words)

    return make


def pictures(*words: str) -> Make:
    """Folders of pictures."""

    def make(folder: Path) -> Words:
        for place in ("s/cat", "s/dog", "t/cat", "t/dog"):
            (folder / "p" / place).mkdir(parents=True)
            for number in range(3):
                file = folder / "p" / place / f"{number}.png"
                Image.new("RGB", (9, 9), (number, 0, 0)).save(file)
        return ("dataset=folder", "dataset.root=p", *ST, *words)

    return make


def numbered(count: int, each: int) -> Callable[[Any, Any], dict[str, Any]]:
    y = np.repeat(np.arange(count), each)
    return lambda x, _: {"x": np.resize(x, (len(y), 8)), "y": y}


def blank_target(value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A table in which the target's cells of labels are these."""
    return lambda frame: frame.assign(label=frame.label.where(frame.domain == "s", value))


def unlabelled(y: Callable[[Any], Any] | None) -> Make:
    """Arrays whose target has such labels, or none."""

    def change(x: Any, labels: Any) -> dict[str, Any]:
        if len(x) == 2 * N:
            return {"x": x, "y": labels}
        return {"x": x} if y is None else {"x": x, "y": y(labels)}

    return arrays(change)


def loose_pictures(*places: str) -> Make:
    """Pictures of a source in folders of classes, and of a target in these."""

    def make(folder: Path) -> Words:
        for place in ("s/cat", "s/dog", *places):
            (folder / "p" / place).mkdir(parents=True)
            for number in range(3):
                file = folder / "p" / place / f"{number}.png"
                Image.new("RGB", (9, 9), (number, 0, 0)).save(file)
        return (
            *("dataset=folder", "dataset.root=p", *ST),
            *("dataset.size=9", "feature_cache=null", "dataset.val=0.4"),
        )

    return make


NUMBERS = ("dataset.target=[t]",)
MOONS = ("dataset=two_moons", "network=mlp")
LINE = r"line 7"
TRAINS: dict[str, Make] = {
    "01 bytes that are not scaled": arrays(
        lambda x, y: {"x": (2000 + 100 * x).astype("u2"), "y": y}, "callback=[tsne]"
    ),
    "01 all alike": arrays(lambda x, y: {"x": np.ones_like(x), "y": y}, "callback=[tsne]"),
    "01 two different samples": arrays(
        lambda x, y: {"x": np.ones_like(x) * (y[:, None] > 0), "y": y}, "callback=[tsne]"
    ),
    "02 home": in_home("dataset.root=~/my rows.csv"),
    "02 home of another key": in_home("dataset.root=my rows.csv", "hydra.run.dir=~/run"),
    "03 order": two_files(lambda t: t[["b", "a", "label"]]),
    "03 label first": two_files(lambda t: t[["label", "b", "a"]]),
    "04 constant in the source": one_file(target_only("flag", 1.0)),
    "04 constant and large": one_file(lambda f: target_only("flag", 1.0)(f).assign(c=1e6)),
    "05b class NA": one_file(lambda f: f.assign(label=f.label.replace({"no": "NA"}))),
    "05b class None": one_file(lambda f: f.assign(label=f.label.replace({"no": "None"}))),
    "05b class nan in two files": two_files(lambda t: t.assign(label=t.label.replace("no", "nan"))),
    "12 a dollar that is meant": plain(*MOONS, r"seed=${steps}"),
    "13 a column that is there": one_file(
        lambda f: f.assign(patient=np.arange(len(f))), "dataset.drop=[patient]"
    ),
    "15 a number for all roles": plain(*MOONS, "dataset.batch_size=32"),
    "15 a name for a list": plain(*MOONS, "dataset.source=straight", "--seed=2"),
    "16 numbers as domains": one_file(
        lambda f: f.assign(domain=f.domain.map({"s": 1, "t": 2})),
        *("dataset.source=[1]", "dataset.target=2"),
    ),
    "16 years as domains": one_file(
        lambda f: f.assign(domain=f.domain.map({"s": 2019.0, "t": 2020.0}).astype(int)),
        "dataset.pair=[2019,2020]",
    ),
    "a pair": one_file(
        lambda f: f, "dataset.source=null", "dataset.target=null", "dataset.pair=[t,s]"
    ),
}
TRAINS |= {
    "04 constant in both": one_file(lambda f: f.assign(flag=1e-9)),
    "04 a constant name": one_file(lambda f: f.assign(c="x"), "dataset.categories=[c]"),
    "08 0 and 0.0": two_files(lambda t: t.assign(label=(t.label == "yes") * 1.0), *NUMBERS),
    "08 0 and False": two_files(lambda t: t.assign(label=t.label == "yes"), *NUMBERS),
    "08 1 and 1e0": two_files(
        lambda t: t.assign(label=np.where(t.label == "yes", "1e0", "0.00")), *NUMBERS
    ),
}
UNLABELLED: dict[str, Make] = {
    "05 no label": one_file(blank_target(None)),
    "05 blanks": one_file(blank_target("  ")),
    "05 -1.0": two_files(lambda t: t.assign(label=-1.0)),
    "06 no column": two_files(lambda t: t.drop(columns="label")),
    "06 no column, another order": two_files(lambda t: t[["b", "a"]]),
    "06 an empty column": two_files(lambda t: t.assign(label="")),
    "06b no y": unlabelled(None),
    "06b empty names": unlabelled(lambda y: np.full(len(y), "")),
    "06b NaN": unlabelled(lambda y: np.full(len(y), np.nan)),
    "06c -1": unlabelled(lambda y: np.full(len(y), -1)),
    "06c -1 in bytes": unlabelled(lambda y: np.full(len(y), -1, "i1")),
    "06c -1.0": unlabelled(lambda y: np.full(len(y), -1.0)),
    "06d pictures": loose_pictures("t"),
    "06d in a folder of no class": loose_pictures("t/unlabelled"),
    "06d in parts": loose_pictures("t/train", "t/test"),
}
SAYS: dict[str, tuple[Make, str]] = {
    "02 not there": (plain("dataset=folder", "dataset.root=~/photos", *ST), r"home.*photos is not"),
    "02 not there in a list": (plain(*MOONS, "init_from=~/runs/x"), r"home.*runs/x"),
    "03 other names": (
        two_files(lambda t: t.rename(columns={"a": "u", "b": "v"})),
        r"t\.csv: .*lacks a, b and also has u, v",
    ),
    "03 one more": (two_files(lambda t: t.assign(extra=1)), r"t\.csv: .*also has extra.*drop"),
    "03 one less": (two_files(lambda t: t.drop(columns="b")), r"t\.csv: .*lacks b; "),
    "05c no domain": (one_file(at(3, "domain", None)), r"f\.csv: 1 rows have no domain .*line 5"),
    "05c several": (
        one_file(lambda f: at(100, "domain", "")(at(9, "domain", None)(f))),
        r"2 rows have no domain .*line 11",
    ),
    "10 few samples a class": (
        arrays(numbered(10, 4)),
        r"no class of the source has more than 4 samples; dataset\.val=0\.25 holds one out",
    ),
    "10 one sample a class": (
        arrays(numbered(40, 1)),
        r"more than 1 samples; dataset\.val=0 needs",
    ),
    "10b a number to predict": (
        one_file(lambda f: f.assign(label=f.a * 2)),
        r"60 different values in 60 samples: are they a number to predict",
    ),
    "10b names to predict": (
        one_file(lambda f: f.assign(label=[f"n{i}" for i in range(len(f))])),
        "do they say which class a sample is of",
    ),
    "11 missing": (one_file(at(5, "b", None)), rf"column b, .*f\.csv, {LINE}; dataset\.missing"),
    "11 missing in two columns": (
        one_file(lambda f: at(80, "a", None)(at(5, "b", None)(f))),
        rf"column b, .*f\.csv, {LINE}|column a, .*f\.csv, line 82",
    ),
    "11 a question mark": (
        one_file(at(5, "b", "?")),
        rf"column b, .*f\.csv, {LINE}; dataset\.miss",
    ),
    "11 a word": (
        one_file(at(5, "b", "none yet")),
        rf"b is numbers but for 1 .*{LINE}: 'none yet'",
    ),
    "12 a dollar": (
        plain(*MOONS, "seed=${sed}"),
        r"'sed' not found; \$\{\.\.\.\} refers to another",
    ),
    "12 a dollar in a path": (
        plain("dataset=folder", "dataset.root=/x/${y}", *ST),
        "'y' not found",
    ),
    "12 a dollar left open": (plain(*MOONS, "init_from=a${b"), r"as text: .*a\\\$\{b"),
    "12 a dollar in a folder's name": (
        plain(*MOONS, r"hydra.run.dir='run\${x'"),
        r"\$\{\.\.\.\} refers to another key",
    ),
    "13 drop": (
        one_file(lambda f: f.assign(patient=1), "dataset.drop=[patiemt]"),
        r"dataset\.drop: .*no column 'patiemt'; did you mean patient",
    ),
    "13 categories": (
        one_file(lambda f: f, "dataset.categories=[c]"),
        "categories: .*no column 'c'",
    ),
    "13 label": (one_file(lambda f: f, "dataset.label=lable"), "did you mean label"),
    "14 a table as a folder": (
        lambda folder: ("dataset=folder", *one_file(lambda f: f)(folder)[1:2], *ST),
        r"f\.csv is a file, but dataset=folder reads a folder; dataset=table reads such files",
    ),
    "14 arrays as a folder": (
        lambda folder: ("dataset=folder", *arrays(lambda x, y: {"x": x, "y": y})(folder)[1:2], *ST),
        "dataset=arrays reads what is there",
    ),
    "14 arrays as a table": (
        lambda folder: ("dataset=table", *arrays(lambda x, y: {"x": x, "y": y})(folder)[1:2], *ST),
        "dataset=arrays reads what is there",
    ),
    "15 a word for a number": (plain(*MOONS, "dataset.batch_size=many"), "batch_size"),
    "16 another domain": (
        one_file(lambda f: f.assign(domain=f.domain.map({"s": 1, "t": 2})), "dataset.source=[3]"),
        "the domains are 1, 2",
    ),
    "series on the default network": (
        arrays(lambda x, y: {"x": x.reshape(-1, 2, 4), "y": y}, "network=convnet"),
        "network=cnn1d and network=recurrent read series",
    ),
    "a model of torchvision": (
        plain("network=resnet50"),
        "network=torchvision network.backbone=res",
    ),
    "epochs": (plain(*MOONS, "epochs=3"), "here it is steps"),
    "workers": (plain(*MOONS, "num_workers=4"), "there are no workers"),
    "a size of gigabytes": (pictures("dataset.size=200000"), "a smaller one helps"),
}
QUIET = ("logger=[]", "steps=5", "evaluate_every=5")


def run(da: Any, words: Words) -> Any:
    usual = () if any(word.startswith("callback=") for word in words) else ("callback=[]",)
    place = () if any("run.dir" in word for word in words) else ("hydra.run.dir=run",)
    return da("train", *QUIET, *usual, *place, *words)


@pytest.fixture
def home(da: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder as the home folder."""
    folder: Path = da.folder / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("case", a_few("trains", TRAINS, 12))
def test_it_trains(case: str, da: Any, home: Path) -> None:
    ended = run(da, TRAINS[case](home))
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.out + ended.err
    assert [*home.glob("run*/**/result.json")]


@pytest.mark.parametrize("case", a_few("unlabelled", UNLABELLED, 8))
def test_a_target_without_labels_has_no_accuracy(case: str, da: Any, home: Path) -> None:
    ended = run(da, UNLABELLED[case](home))
    assert ended.code == 0, ended.err
    record = json.loads((home / "run" / "result.json").read_text())
    assert len(record["classes"]) == len(record["source"]["last"].get("recall", record["classes"]))
    assert set(record["target"]) == {"last", "chosen"}
    assert all("accuracy" not in pick for pick in record["target"].values())
    assert "no labels: not known" in ended.out


def test_folders_that_are_no_classes_are_asked_about(da: Any, home: Path) -> None:
    ended = run(da, loose_pictures("t/2020", "t/2021")(home))
    assert ended.code == 0, ended.err
    assert "do 2020, 2021 say what its samples are?" in ended.out + ended.err


@pytest.mark.parametrize("case", a_few("says", SAYS, 16))
def test_one_line_says_why_not(case: str, da: Any, home: Path) -> None:
    make, message = SAYS[case]
    ended = run(da, make(home))
    assert ended.code == 2, ended
    (line,) = ended.err.splitlines()
    assert re.search(message, line), line
    assert not (home / "run").exists()  # nothing is left of it
