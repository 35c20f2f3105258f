"""A run that begins with another's weights."""

import shutil
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torchvision.models import shufflenet_v2_x0_5


def start(da: Any) -> str:
    da.train_once("first", "method=source_only", run="first")
    return "init_from=first"


def test_it_begins_where_the_other_ended(da: Any) -> None:
    first = start(da)
    ended = da.train("method=control", first, "steps=1", "optimizer.lr=1e-30", run="second")
    assert ended.code == 0, ended
    single, other = da.weights("first"), da.weights("second")
    assert single.keys() == other.keys()
    for name, weight in single.items():
        torch.testing.assert_close(weight, other[name])
    da.train("method=control", "steps=1", "optimizer.lr=1e-30", run="fresh")
    fresh = da.weights("fresh")
    assert any(not torch.equal(fresh[name], single[name]) for name in single)


def test_it_is_recognised_by_the_weights_and_not_by_their_place(da: Any) -> None:
    first = start(da)
    da.train("method=control", first, run="second")
    shutil.copytree(da.folder / "first", da.folder / "moved")
    again = da.train("method=control", "init_from=moved", run="second")
    assert "already done" in again.out + again.err
    file = "moved/checkpoints/last.ckpt"
    again = da.train("method=control", f"init_from={file}", run="second")
    assert "already done" in again.out + again.err
    da.train("method=source_only", "seed=2", run="moved")
    other = da.train("method=control", "init_from=moved", run="second")
    assert "another run was in this folder" in other.out + other.err


@pytest.mark.slow
def test_without_the_source_a_table_is_read_as_the_run_read_it(da: Any) -> None:
    random = np.random.default_rng(0)
    y = np.arange(60) % 2
    (da.folder / "data").mkdir()
    for name, columns in (("s", ["a", "b", "label"]), ("t", ["b", "label", "a"])):
        frame = pd.DataFrame({"a": 50 * y + random.normal(90, 9, 60), "b": random.normal(size=60)})
        frame["label"] = y if name == "s" else ""
        frame[columns].to_csv(da.folder / "data" / f"{name}.csv", index=False)
    keys = ("dataset=table", "dataset.root=data", "dataset.target=[t]", "steps=30")
    assert da.train(*keys, "dataset.source=[s]", "optimizer.lr=.01", run="first").code == 0
    still = ("dataset.source=[]", "optimizer.lr=1e-30", "steps=1")
    for method, start in (("shot", "init_from=first"), ("distillation", "teachers=[first]")):
        ended = da.train(*keys, *still, f"method={method}", start, run=method)
        assert ended.code == 0, ended.err
        first, then = (da.record(run)["inputs"] for run in ("first", method))
        assert {**then, "widest": first["widest"]} == first
    truth = pd.Series(y).astype(str)
    for run in ("first", "shot"):
        assert da("predict", f"run={run}", "dataset.root=data/t.csv", f"out={run}.csv").code == 0
        assert (pd.read_csv(f"{run}.csv")["class"].astype(str) == truth).mean() > 0.9
    scored = [da("evaluate", f"run={run}") for run in ("first", "shot")]
    assert "no labels: not known" in scored[1].out, scored
    taken = da.train(*keys, *still, "method=shot", "init_from=first/checkpoints/last.ckpt", run="x")
    assert "targets are scaled by their own rows" in taken.err + taken.out


def test_other_classes_of_a_target_alone_need_a_head_of_their_own(da: Any) -> None:
    random = np.random.default_rng(0)
    (da.folder / "data").mkdir()
    for name, classes in (("s", "ab"), ("more", "abc"), ("others", "xyz")):
        y = np.array([*classes])[np.arange(30) % len(classes)]
        np.savez(f"data/{name}.npz", x=random.normal(size=(30, 3)).astype(np.float32), y=y)
    keys = ("dataset=arrays", "dataset.root=data", "steps=2")
    assert da.train(*keys, "dataset.pair=[s,more]", "method=source_only", run="first").code == 0
    alone = (*keys, "dataset.source=[]", "method=target_only", "dataset.labels_per_class=3")
    for target, words in (("more", "a, b, the target also has c;"), ("others", "also has x, y, z")):
        own = (*alone, f"dataset.target=[{target}]", "init_from=first")
        refused = da.train(*own, run="no")
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert words in refused.err
        assert da.train(*own, "init_head=fresh", run=target).code == 0
    known = ("dataset.target=[more]", "dataset.source_classes=[a,b]", "init_from=first")
    assert da.train(*alone, *known, run="known").code == 0


def test_a_finished_run_is_evaluated_without_what_it_began_with(da: Any) -> None:
    first = start(da)
    da.train("method=control", first, run="second")
    shutil.rmtree(da.folder / "first")
    assert da("evaluate", "run=second").code == 0


@pytest.mark.parametrize(
    ("first", "overrides", "message"),
    [
        ("missing", [], "init_from=missing"),
        (
            "first",
            ["network.bottleneck=[7]"],
            "encoder.bottleneck.0.weight (64, 64) there, (7, 64) here",
        ),
        ("first", ["network.head=[7]"], "init_head=fresh begins with a head of its own"),
        ("first", ["dataset.source_classes=[upper]"], "the run learnt the classes upper, lower"),
        ("first", ["init_share=1.5"], "init_share"),
        ("first", ["network.freeze=stage9"], "the stages are all, backbone, bottleneck"),
        ("torn.ckpt", [], "is damaged"),
    ],
)
def test_what_cannot_be_begun_with_is_refused(
    da: Any, first: str, overrides: list[str], message: str
) -> None:
    start(da)
    (da.folder / "torn.ckpt").write_bytes(b"PK")
    ended = da.train(f"init_from={first}", *overrides, run="second")
    assert ended.code == 2
    assert message in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_a_mixture_has_the_two_ends_and_what_lies_between(da: Any) -> None:
    first = start(da)
    single = da.weights("first")
    still = ("method=control", "steps=1", "optimizer.lr=1e-30")
    da.train(*still, run="random")
    random = da.weights("random")
    for share, function in (
        (0.0, "identity"),
        (1.0, "identity"),
        (0.25, "identity"),
        (0.5, "tanh"),
    ):
        run = f"mixed-{share}-{function}"
        ended = da.train(*still, first, f"init_share={share}", f"init_function={function}", run=run)
        assert ended.code == 0, ended
        for name, weight in da.weights(run).items():
            mixed = share * single[name] + (1 - share) * random[name]
            expected = mixed.tanh() if function == "tanh" else mixed
            near = None if share in (0.25, 0.5) else 0.0
            torch.testing.assert_close(weight, expected, rtol=near, atol=near)


def test_a_fresh_head_learns_other_classes(da: Any) -> None:
    first = start(da)
    keys = (first, "dataset.labels_per_class=3", "dataset.source_classes=[lower]", "steps=1")
    ended = da.train("method=lwf", *keys, "init_head=fresh", "optimizer.lr=1e-30", run="second")
    assert ended.code == 0, ended
    single, other = da.weights("first"), da.weights("second")
    assert other["method.network.head.0.weight"].shape[0] == 1
    former = other["method.former_head.0.weight"]
    torch.testing.assert_close(former, single["method.network.head.0.weight"])
    name = "method.network.encoder.backbone.1.weight"
    torch.testing.assert_close(other[name], single[name])


def test_how_to_begin_without_a_run_is_refused(da: Any) -> None:
    ended = da.train("method=control", "init_share=0.5")
    assert ended.code == 2
    assert "init_share: init_from names no run" in ended.err


def test_teachers_are_former_runs_and_a_run_is_another_with_others(da: Any) -> None:
    start(da)
    da.train("method=source_only", "seed=2", run="other")
    taught = ("method=distillation", "steps=5")
    assert da.train(*taught, "teachers=[first,other]", run="taught").code == 0
    shutil.move(da.folder / "other", da.folder / "moved")
    again = da.train(*taught, "teachers=[first,moved]", run="taught")
    assert "already done" in again.out + again.err
    again = da.train(*taught, "teachers=[first]", run="taught")
    assert "another run was in this folder" in again.out + again.err
    shutil.rmtree(da.folder / "first")
    assert da("evaluate", "run=taught").code == 0


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["method=distillation"], "teachers=[runs/a,runs/b] names their folders"),
        (["method=dann", "teachers=[first]"], "DANN learns from none"),
        (["method=distillation", "teachers=[nowhere]"], "teachers=nowhere"),
        (["method=distillation", "teachers=[first]", "dataset=digits"], "of another network"),
    ],
)
def test_what_cannot_teach_is_refused(da: Any, overrides: list[str], message: str) -> None:
    start(da)
    ended = da.train(*overrides, run="second")
    assert ended.code == 2
    assert message in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_a_file_of_weights_is_known_by_its_content_and_needed_no_more(da: Any) -> None:
    generator = np.random.default_rng(0)
    for name in ("left", "right"):
        x = generator.integers(0, 256, (20, 3, 8, 8), dtype=np.uint8)
        np.savez(da.folder / f"{name}.npz", x=x, y=np.arange(20) % 2)
    torch.save(shufflenet_v2_x0_5().state_dict(), da.folder / "one.pth")
    shutil.copy(da.folder / "one.pth", da.folder / "two.pth")
    keys = (
        *("method=source_only", "dataset=arrays", "dataset.root=.", "dataset.source=[left]"),
        *(
            "network=torchvision",
            "network.backbone=shufflenet_v2_x0_5",
            "network.size=32",
            "steps=1",
        ),
    )

    def train(file: str) -> Any:
        return da.train(*keys, f"network.weights={file}")

    gone = train("gone.pth")
    assert gone.code == 2
    assert "network.weights=gone.pth: " in gone.err
    assert train("one.pth").code == 0
    again = train("two.pth")
    assert "already done" in again.out + again.err
    torch.save(shufflenet_v2_x0_5().state_dict(), da.folder / "two.pth")
    other = train("two.pth")
    assert "another run was in this folder" in other.out + other.err
    for file in ("one.pth", "two.pth"):
        (da.folder / file).unlink()
    assert da("evaluate", "run=run", "+dataset.root=.").code == 0
    taught = da.train(*keys[1:], "method=distillation", "teachers=[run]", run="taught")
    assert taught.code == 0, taught.err
