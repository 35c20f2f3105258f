"""Domains whose rows have other columns: whole runs, every method."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from da_framework.config.plugins import conf_dir
from da_framework.core.errors import InputError
from da_framework.training.build import build, compose
from da_framework.training.method_check import (
    fit_for_method,
    method_class,
    resumes_bit_for_bit,
    two_processes_equal_one,
)
from tests.selection import a_few

CONF = conf_dir()
METHODS = sorted(path.stem for path in (CONF / "method").glob("*.yaml"))
WIDTHS = {"camera": 3, "scanner": 5, "sound": 8}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three ways of measuring the same two classes."""
    random = np.random.default_rng(0)
    for name, width in WIDTHS.items():
        y = np.arange(60) % 2
        x = random.normal(size=(60, width)) + np.outer(2 * y - 1, random.normal(size=width))
        np.savez(tmp_path / f"{name}.npz", x=x, y=y)
    return tmp_path


def overrides(root: Path, *more: str, source: str = "camera,scanner") -> list[str]:
    return [
        *("network=mlp", "dataset=arrays", f"dataset.root={root}", f"dataset.source=[{source}]"),
        *("dataset.target=[sound]", "dataset.labels_per_class=3", "network.adapter=6"),
        *("network.backbone.widths=[7]", "network.bottleneck=[4]", "trainer.accelerator=cpu"),
        *more,
    ]


FOR_IMAGES = ("shot_rotation",)
"""Methods that rows of columns are refused by, with another that takes them."""


@pytest.mark.slow
@pytest.mark.parametrize("name", a_few("columns", METHODS, 20))
def test_every_method_trains_on_them_or_says_why_not(root: Path, name: str) -> None:
    config = compose(f"method={name}", *overrides(root))
    with fit_for_method(config) as config:
        if method_class(config).closed_form:
            with pytest.raises(InputError, match=r"but camera has 3 columns, .*: init_from=runs"):
                build(config)
            return
        if name in FOR_IMAGES:
            with pytest.raises(InputError, match=r": take method=\w+$"):
                build(config)
            return
        run = build(config)
    method = run.module.method
    moved: set[str] = set()
    for objective in method.objectives(run.domains.batch(0)):
        assert objective.total.isfinite()
        method.zero_grad()
        objective.total.backward()  # type: ignore[no-untyped-call]
        moved |= {name for name, p in method.named_parameters() if p.grad is not None}
    layers = [f"network.encoder.adapter.layers.{number}.weight" for number in range(3)]
    assert moved >= set(layers)
    test = run.domains.test
    assert (test.domain == 2).all()
    with torch.no_grad():
        # the target's rows, as everything that is copied or frozen reads them
        expected = method.eval()(test.x, test.domain)
        assert all(map(torch.equal, method(test.x, None), expected))


def test_a_closed_form_takes_the_features_of_a_network_trained_on_them(da: Any, root: Path) -> None:
    keys = (*overrides(root, source="camera"), "logger=[]", "callback=[]")
    assert da("train", "method=joint", "steps=400", *keys, "hydra.run.dir=first").code == 0
    ended = da(*("train", "method=coral", *keys, "init_from=first", "hydra.run.dir=second"))
    assert ended.code == 0, ended
    assert da.record("second")["target"]["last"]["accuracy"] > 0.9


@pytest.mark.parametrize("name", ["joint", "dann", "mcd", "adda", "mean_teacher"])
def test_a_run_resumes_bit_for_bit(root: Path, name: str) -> None:
    config = compose(f"method={name}", *overrides(root))
    with fit_for_method(config) as config:
        kept, message = resumes_bit_for_bit(config)
    assert kept, message


@pytest.mark.parametrize("name", ["source_only", "dann", "mcd"])
def test_two_processes_equal_one_although_layers_are_without_rows(root: Path, name: str) -> None:
    torch.set_num_threads(1)
    config = compose(f"method={name}", *overrides(root))
    kept, message = two_processes_equal_one(config)
    assert kept, message


def test_a_run_is_evaluated_and_gone_on_from(da: Any, root: Path) -> None:
    keys = (*overrides(root), "logger=[]", "callback=[]")
    first = da("train", *keys, "method=dann", "steps=400", "hydra.run.dir=first")
    assert first.code == 0, first
    assert "camera has 3 columns, scanner has 5 columns, sound has 8 columns" in first.out
    assert "warning" not in first.out
    accuracy = da.record("first")["target"]["last"]["accuracy"]
    assert accuracy > 0.9
    ended = da("evaluate", "run=first", f"trust=[{root}]")
    assert ended.code == 0, ended
    assert f"{accuracy:.4f}" in ended.out
    second = da(
        *("train", *keys, "method=shot", "init_from=first", "steps=1", "optimizer.lr=1e-9"),
        "hydra.run.dir=second",
    )
    assert second.code == 0, second
    assert da.record("second")["target"]["last"]["accuracy"] == pytest.approx(accuracy, abs=0.02)
    other = da("evaluate", "run=first", f"trust=[{root}]", "+dataset.source=[scanner,camera]")
    assert other.code == 2
    assert "no checkpoint of this network and these inputs" in other.err


def test_a_target_that_nothing_explains_is_warned_of(da: Any, root: Path) -> None:
    keys = (*overrides(root), "logger=[]", "callback=[]", "steps=1")
    ended = da("train", *keys, "method=source_only", "hydra.run.dir=run")
    assert "warning: no labelled target row is learnt from" in ended.out
    assert "warning" not in da("train", *keys, "method=target_only", "hydra.run.dir=other").out


def test_the_radius_of_a_perturbation_is_by_the_row_s_own_columns(root: Path) -> None:
    run = build(compose("method=vada", *overrides(root), "method.radius=0.5"))
    method: Any = run.module.method
    actual = method.reach(torch.tensor([2, 0, 1]))
    torch.testing.assert_close(actual, 0.5 * torch.tensor([[8.0], [3.0], [5.0]]).sqrt())
    same = build(compose("method=vada", "dataset=two_moons", "network=mlp", "method.radius=0.5"))
    method = same.module.method
    assert method.reach(torch.tensor([0, 1])) == 0.5 * 2**0.5


def test_networks_of_images_and_null_refuse_them(root: Path) -> None:
    with pytest.raises(InputError, match=r"have 3, 5, 8 columns: network\.adapter=256"):
        build(compose(*overrides(root, "network.adapter=null")))
    keys = [own for own in overrides(root) if not own.startswith(("network=", "network.b"))]
    with pytest.raises(InputError, match="network=mlp"):
        build(compose("network=convnet", *keys))
