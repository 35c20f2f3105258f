"""Finished runs, ranked for a labelled target."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from da_framework.cli.rank import rank
from da_framework.core.batch import Outputs, Samples
from da_framework.datasets.two_moons import TwoMoons
from da_framework.methods.base import Method
from da_framework.training.build import compose

SCORES = ("log_me", "leep", "nce", "h_score")
MOONS = ("dataset=two_moons", "dataset.target=[halfway]", "dataset.labels_per_class=10")
RUNS = "run=[good,poor]"


@pytest.fixture
def runs(da: Any) -> Path:
    """One run that has learnt the moons, one that has hardly moved."""
    # two features: of many, drawn at random, the moons are a linear function as well
    narrow = ("method=source_only", "network.bottleneck=[2]")
    learns = ("optimizer.lr=0.1", "steps=150", "evaluate_every=150")
    da.train_once("good", *narrow, *learns, run="good")
    da.train_once("poor", *narrow, "steps=1", "seed=2", run="poor")
    return Path(da.folder)


def ranked(*, run: tuple[str, ...] = ("poor", "good"), by: Any = "log_me") -> Any:
    dataset = compose("dataset.source=[]", *MOONS)["dataset"]
    return rank(run=list(run), pick="last", by=by, out=None, data_dir=None, dataset=dataset)


def names(actual: Any) -> list[str]:
    return [row["run"] for row in actual["ranking"]]


def refused(da: Any, *overrides: str) -> str:
    ended = da("rank", *overrides)
    assert ended.code == 2, ended
    assert ended.out == ""
    assert "Traceback" not in ended.err
    (line,) = ended.err.splitlines()
    return str(line)


@pytest.mark.parametrize("by", SCORES)
def test_the_network_that_has_learnt_the_moons_is_first(runs: Path, by: str) -> None:
    actual = ranked(by=by)
    assert names(actual) == ["good", "poor"]
    assert actual["rows"] == 20
    assert actual == ranked(by=by, run=("good", "poor"))


def test_the_table_and_the_file_say_the_same(da: Any, runs: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*") if path.is_file()}
    ended = da("rank", RUNS, *MOONS, "by=nce", "out=new/ranking.json")
    assert (ended.code, ended.err) == (0, ""), ended
    actual = json.loads((runs / "new" / "ranking.json").read_text())
    assert actual["ranking"] == ranked(by="nce")["ranking"]
    assert "last weights on 20 labelled rows of halfway" in ended.out
    rows = [line for line in ended.out.splitlines() if "good" in line or "poor" in line]
    for line, row in zip(rows, actual["ranking"], strict=True):
        shown = [cell.strip() for cell in line.strip("│ ").split("│")]
        assert shown == [row["run"], *(f"{row[name]:.4f}" for name in SCORES)]
    after = {path: path.stat().st_mtime_ns for path in runs.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before
    assert after.keys() - before.keys() == {runs / "new" / "ranking.json"}


def test_hidden_labels_have_no_effect_and_given_ones_have(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ranked()
    whole = TwoMoons.load
    split_roles = TwoMoons.split_roles

    def altered(given: bool) -> None:
        def altered_split(self: TwoMoons) -> Any:
            split = split_roles(self)
            for part in split.train.get("target_labelled", ()):
                domain = whole(self, part.domain)
                y = domain.y.copy()
                hidden = torch.ones(len(y), dtype=torch.bool)
                hidden[part.rows] = False
                rows = part.rows[:5] if given else hidden.numpy()
                y[rows] = 1 - y[rows]
                self.replace(part.domain, domain._replace(y=y))
            return split

        monkeypatch.setattr(TwoMoons, "split_roles", altered_split)

    altered(given=False)
    assert ranked() == expected
    altered(given=True)
    assert ranked() != expected


def test_the_runs_may_have_learnt_other_classes(da: Any, runs: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(60) % 3
    x = torch.randn(60, 2, generator=generator) + 4 * y.unsqueeze(1)
    (runs / "new").mkdir()
    for name in ("three", "other"):
        np.savez(runs / "new" / f"{name}.npz", x=x.numpy(), y=y.numpy())
    of = ("dataset=arrays", "dataset.root=new", "dataset.target=[three]")
    ended = da("rank", RUNS, *of, "dataset.labels_per_class=5")
    assert ended.code == 0, ended
    assert "15 labelled rows of three" in ended.out


@pytest.mark.parametrize("method", ["mcd", "mean_teacher", "adabn"])
def test_every_row_is_evaluated_as_one_of_the_run_s_target(
    da: Any, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    norm = "network.backbone.batch_norm=true"
    assert da.train(f"method={method}", norm, "steps=5", run="good").code == 0
    asked: list[Tensor] = []

    def observe(self: Method, samples: Samples) -> Outputs:
        asked.append(samples.domain)
        return whole(self, samples)

    whole = Method.evaluate_samples
    monkeypatch.setattr(Method, "evaluate_samples", observe)
    ended = da("rank", "run=[good]", *MOONS)
    assert ended.code == 0, ended
    # straight is the run's domain 0, rotated its 1; in the ranking halfway is the only one
    assert [set(domain.tolist()) for domain in asked] == [{1}]


def test_labels_that_a_run_was_given_flatter_it(da: Any, runs: Path) -> None:
    keys = ("method=joint", "dataset.target=[halfway]", "dataset.labels_per_class=10")
    assert da.train(*keys, run="joint").code == 0
    ended = da("rank", "run=[joint,good]", *MOONS)
    (line,) = (ended.out + ended.err).splitlines()[:1]
    assert line.startswith("warning: run=joint was trained with 20 of these labels")
    assert "run=good was" not in ended.out + ended.err


def test_a_damaged_run_is_named_and_the_others_are_ranked(da: Any, runs: Path) -> None:
    da.copy("good", "damaged")
    (da.folder / "damaged" / "result.json").write_text("{")
    ended = da("rank", "run=[good,damaged]", *MOONS)
    assert ended.code == 0
    assert "skipped: damaged/result.json is damaged" in ended.err
    assert "skipped 1 of 2 runs" in ended.err
    assert "good" in ended.out


def test_what_cannot_be_ranked_is_said_in_one_line(da: Any, runs: Path) -> None:
    assert refused(da, *MOONS) == "run: must be given"
    assert refused(da, "run=[]", *MOONS).startswith("run: list should have at least 1 item")
    assert refused(da, "run=[nowhere]", *MOONS) == (
        "run=nowhere: there is no result.json in this folder"
    )
    assert refused(da, "run=[good,nowhere]", *MOONS) == (
        "run=nowhere: there is no result.json in this folder"
    )
    assert refused(da, RUNS, *MOONS, "by=accuracy").startswith("by: input should be 'log_me'")
    assert refused(da, RUNS, *MOONS, "pick=oracle").startswith("pick: input should be 'last'")
    assert "did you mean by?" in refused(da, RUNS, *MOONS, "bi=nce")
    assert refused(da, RUNS, *MOONS[:2]) == (
        "a ranking needs labelled target rows: set dataset.labels_per_class=3, or all"
    )
    assert "two classes" in refused(da, RUNS, *MOONS, "dataset.target_classes=[upper]")
    assert refused(da, RUNS, "dataset.target=[usps]", "dataset.labels_per_class=3") == (
        "run=good: it takes inputs of the shape (2,), those of usps have (1, 16, 16); "
        "none of the 2 runs can be used"
    )
    assert refused(da, RUNS, *MOONS, "out=good/result.json/x").endswith("exists")
