"""Classes of different sizes: what the two keys change in whole runs, and who refuses them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from da_framework.core.errors import InputError
from da_framework.training import method_check as check
from da_framework.training.build import build, compose

BALANCES = ("method.class_weights=balanced", "dataset.sampler=balanced")


def write_skewed_source(root: Path) -> None:
    """Two overlapping classes: 95 to 5 in the source, halves in the target."""
    random = np.random.default_rng(0)
    for name, rare in {"s": 20, "t": 200}.items():
        y = np.repeat([0, 1], [400 - rare, rare])
        x = random.normal(size=(400, 2)) + 1.5 * y[:, None]
        np.savez(root / f"{name}.npz", x=x.astype(np.float32), y=y)


SKEWED = (
    *("dataset=arrays", "dataset.root=data", "dataset.pair=[s,t]", "dataset.val=0.0"),
    *("steps=100", "evaluate_every=100", "validator=entropy", "optimizer.lr=0.05"),
)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["source_only", "dann", "importance_weighting", "mcd"])
def test_a_rare_class_is_found_by_either_key(da: Any, method: str) -> None:
    (da.folder / "data").mkdir()
    write_skewed_source(da.folder / "data")

    def figures(name: str, *keys: str) -> dict[str, Any]:
        ended = da.train(*SKEWED, f"method={method}", *keys, run=name)
        assert ended.code == 0, ended.err
        figures: dict[str, Any] = da.record(name)["target"]["last"]
        return figures

    plain = figures("plain")
    for name, key in zip("ws", BALANCES, strict=True):
        run = figures(name, key)
        assert run["balanced_accuracy"] > plain["balanced_accuracy"] + 0.05
        assert run["recall_per_class"][1] > plain["recall_per_class"][1] + 0.2


@pytest.mark.parametrize("key", BALANCES)
def test_it_resumes_bit_for_bit_and_two_processes_equal_one(key: str) -> None:
    config = compose("method=dann", key, name="check")
    for step in (check.resumes_bit_for_bit, check.two_processes_equal_one):
        passed, detail = step(config)
        assert passed, detail


def test_the_way_back_weighs_the_classes_that_it_was_given(da: Any) -> None:
    keys = ("validator=reverse_validation", "method=dann", "evaluate_every=10")
    for name, key in zip("ws", BALANCES, strict=True):
        assert da.train(*keys, key, run=name).code == 0
        assert da.record(name)["target"]["chosen"]["score"] > 0.3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("method=tca", "network=identity", BALANCES[0]), "weights=balanced: TCA is fitted to all"),
        (("method=jda", "network=identity", BALANCES[1]), "sampler=balanced: JDA is fitted to all"),
        (("method=source_only", *BALANCES), "dataset.sampler=balanced: one of the two"),
    ],
)
def test_where_they_cannot_apply_they_are_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(compose(*overrides, name="check"))


@pytest.mark.parametrize("key", BALANCES)
def test_what_learns_from_no_labels_refuses_them(da: Any, key: str) -> None:
    da.train_once("source", "method=source_only", run="start")
    refused = da.train("method=shot", "dataset.source=[]", "init_from=start", key)
    assert refused.code == 2
    assert f"{key}: SHOT learns from no labels" in refused.err
    assert not (da.folder / "run").exists()
