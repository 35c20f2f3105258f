"""A run that begins with another's weights."""

import shutil
from typing import Any

import pytest
import torch


def start(da: Any, *overrides: str) -> str:
    assert da.train("method=source_only", *overrides, run="first").code == 0
    return "init_from=first"


def test_it_begins_where_the_other_ended(da: Any) -> None:
    first = start(da)
    ended = da.train("method=control", first, "steps=1", "optimizer.lr=1e-30", run="second")
    assert ended.code == 0, ended
    one, other = da.weights("first"), da.weights("second")
    assert one.keys() == other.keys()
    for name, weight in one.items():
        torch.testing.assert_close(weight, other[name])
    da.train("method=control", "steps=1", "optimizer.lr=1e-30", run="fresh")
    fresh = da.weights("fresh")
    assert any(not torch.equal(fresh[name], one[name]) for name in one)


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


def test_a_finished_run_is_evaluated_without_what_it_began_with(da: Any) -> None:
    first = start(da)
    da.train("method=control", first, run="second")
    shutil.rmtree(da.folder / "first")
    assert da("evaluate", "run=second").code == 0


@pytest.mark.parametrize(
    ("first", "overrides", "words"),
    [
        ("missing", [], "init_from=missing"),
        ("first", ["network.bottleneck=[7]"], "of another network"),
        ("first", ["dataset.source_classes=[upper]"], "the run learnt the classes upper, lower"),
        ("torn.ckpt", [], "is damaged"),
    ],
)
def test_what_cannot_be_begun_with_is_refused(
    da: Any, first: str, overrides: list[str], words: str
) -> None:
    start(da)
    (da.folder / "torn.ckpt").write_bytes(b"PK")
    ended = da.train(f"init_from={first}", *overrides, run="second")
    assert ended.code == 2
    assert words in ended.err
    assert len(ended.err.strip().splitlines()) == 1
