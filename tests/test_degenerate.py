"""Degenerate data with every method, validator and callback: it works, or one line says why."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from da_framework.config.plugins import conf_dir
from da_framework.config.schema import instantiate
from da_framework.core.errors import exit_message
from da_framework.results.folder import RunFolder
from da_framework.training.build import build, compose
from da_framework.training.method_check import SourceFirst, fit_run, method_class
from tests.selection import EVERY

METHODS = sorted(path.stem for path in (conf_dir() / "method").glob("*.yaml"))
KINDS = ("adda", "coral", "dann", "jda", "joint", "kmm", "mcd", "mmd", "shot", "tradaboost", "uan")
"""A method of each kind; all of them where DA_EVERY_CASE is set."""
VALIDATORS = sorted(path.stem for path in (conf_dir() / "validator").glob("*.yaml"))

Sides = tuple[Any, Any, Any, Any]
"""Inputs and labels of the source, then of the target."""


def draw(n: int, m: int, classes: int = 2, width: int = 4) -> Sides:
    """A source and a target whose classes differ in their means."""
    draws = np.random.default_rng(0)
    y, z = np.arange(n) % classes, np.arange(m) % classes
    means = draws.normal(size=(classes, width)) * 3
    x, u = (means[own] + draws.normal(size=(len(own), width)) for own in (y, z))
    return x.astype("f4"), y, (u + 0.5).astype("f4"), z


def change_inputs(change: Callable[[Any], Any], *, source: bool = True) -> Sides:
    x, y, u, z = draw(40, 30)
    return change(x) if source else x, y, change(u), z


def fill(value: float, where: Any) -> Callable[[Any], Any]:
    def change(x: Any) -> Any:
        x = x.copy()
        x[where] = value
        return x

    return change


ONE_CLASS = np.zeros(40, int)
DATA: dict[str, Callable[[], Sides]] = {
    "one sample": lambda: draw(1, 1),
    "two samples": lambda: draw(2, 2),
    "one target sample": lambda: draw(40, 1),
    "one source class": lambda: (draw(40, 30)[0], ONE_CLASS, *draw(40, 30)[2:]),
    "one target class": lambda: (*draw(40, 30)[:3], np.ones(30, int)),
    "no target labels": lambda: (*draw(40, 30)[:3], -np.ones(30, int)),
    "other target classes": lambda: (*draw(40, 30)[:3], np.arange(30) % 2 + 5),
    "fewer samples than a batch": lambda: draw(5, 4),
    "fewer samples than classes": lambda: draw(8, 3, classes=8),
    "a sample a class": lambda: draw(20, 20, classes=20),
    "many classes": lambda: draw(900, 450, classes=300),
    "equal features": lambda: change_inputs(np.ones_like),
    "equal targets": lambda: change_inputs(np.ones_like, source=False),
    "zeros": lambda: change_inputs(np.zeros_like),
    "constant columns": lambda: change_inputs(fill(7, (slice(None), slice(2)))),
    "huge numbers": lambda: change_inputs(lambda x: x * np.float32(1e30)),
    "the largest numbers": lambda: change_inputs(lambda x: x * np.float32(3e37)),
    "tiny numbers": lambda: change_inputs(lambda x: x * np.float32(1e-30)),
    "a huge number": lambda: change_inputs(fill(1e20, (3, 1))),
    "not a number": lambda: change_inputs(fill(np.nan, (3, 1))),
    "infinite": lambda: change_inputs(fill(np.inf, (3, 1))),
    "one feature": lambda: draw(40, 30, width=1),
    "more features than samples": lambda: draw(10, 8, width=60),
    "no target": lambda: draw(40, 0),
}
SMALL = {"one sample", "two samples", "one target sample", "fewer samples than a batch"}
SMALL |= {"fewer samples than classes", "a sample a class", "many classes"}
SMALL |= {"more features than samples"}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Folders with the data of each kind."""
    found = {}
    for name, make in DATA.items():
        found[name] = root = tmp_path_factory.mktemp("data")
        x, y, u, z = make()
        np.savez(root / "s.npz", x=x, y=y)
        np.savez(root / "t.npz", x=u, y=z)
    return found


def words_of(root: Path, data: str, *words: str) -> list[str]:
    """The words of a short run on such data."""
    own = ["dataset=arrays", f"dataset.root={root}", "dataset.source=[s]", "network=mlp"]
    own += ["network.backbone.widths=[8]", "network.bottleneck=[4]", "trainer.accelerator=cpu"]
    own += ["steps=2", "evaluate_every=1", "flush_every=1"]
    return [*own, *words, *(["dataset.val=0.0"] if data in SMALL else [])]


def fitted_config(method: str, root: Path, data: str, folder: Path) -> dict[str, Any]:
    """The config of a method with what it cannot do without."""
    config = compose(*words_of(root, data, f"method={method}"))
    kind = method_class(config)
    words = []
    if "target_labelled" in kind.roles:
        words.append("dataset.labels_per_class=1")
    if kind.closed_form:
        words.append("network=identity")
    if kind.needs_batch_norm:
        words.append("network.backbone.batch_norm=true")
    own = [word for word in words_of(root, data, f"method={method}") if "identity" not in words]
    if "network=identity" in words:
        own = [word for word in own if not word.startswith("network")]
    config = compose(*own, *words)
    if not (kind.needs_init_from or kind.needs_teachers):
        return config
    base = {name: config["method"][name] for name in ("alpha", "batch_norm")}
    target = {"_target_": f"{SourceFirst.__module__}.SourceFirst", "_partial_": True}
    former = {**config, "method": target | base}
    run, place = build(former), RunFolder(folder)
    place.checkpoints.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": run.module.state_dict()}, place.checkpoint("last"))
    classes = list(run.domains.task.classes)
    place.write_record({"key": "", "config": former, "target": {}, "classes": classes})
    begun = {"init_from": str(folder)} if kind.needs_init_from else {}
    return {**config, **begun, **({"teachers": [str(folder)]} if kind.needs_teachers else {})}


def in_a_line(error: Exception) -> bool:
    """Whether an error is one that a person is told in words."""
    message = exit_message(error)
    return message is not None and "\n" not in message[0] and len(message[0]) < 600


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():  # of numbers that overflow: what comes of it is looked at
        warnings.simplefilter("ignore")
        yield


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS if EVERY else KINDS)
def test_every_method(method: str, roots: Mapping[str, Path], tmp_path: Path) -> None:
    wrong = {}
    for number, (data, root) in enumerate(roots.items()):
        try:
            config = fitted_config(method, root, data, tmp_path / str(number))
            run = build(config)
            fit_run(run, config)
        except Exception as error:
            if not in_a_line(error):
                wrong[data] = f"{type(error).__name__}: {error}"
    assert not wrong


@pytest.mark.slow
@pytest.mark.parametrize("data", DATA)
def test_every_validator(data: str, roots: Mapping[str, Path]) -> None:
    judges = {name: instantiate(compose(f"validator={name}")["validator"]) for name in VALIDATORS}
    wrong: dict[str, str] = {}
    scores: dict[str, float | None] = {}

    def judge_by_all(outputs: Any) -> float:
        for name, judge in judges.items():
            run.module.validator = judge
            try:
                scores[name] = run.module.score(outputs)
            except Exception as error:
                if not in_a_line(error):
                    wrong[name] = f"{type(error).__name__}: {error}"
        run.module.validator = judge_by_all
        return 0.0

    for words in ([], ["dataset.val=0.0"]):
        try:
            config = compose(*words_of(roots[data], data, "method=source_only", *words))
            run = build(config)
            run.module.validator = judge_by_all
            fit_run(run, config)
        except Exception as error:
            if not in_a_line(error):
                wrong["run"] = f"{type(error).__name__}: {error}"
    assert not wrong
    assert not {name for name, score in scores.items() if score and not math.isfinite(score)}


@pytest.mark.slow
@pytest.mark.parametrize("data", DATA)
def test_every_callback(data: str, roots: Mapping[str, Path], da: Any) -> None:
    watched = "callback=[diagnostics,curves,confusion,tsne,validators]"
    words = words_of(roots[data], data, "method=dann", watched, "logger=[]", "hydra.run.dir=run")
    ended = da("train", *words)
    assert "Traceback" not in ended.out + ended.err
    assert ended.code in (0, 2, 3)
    if ended.code:
        assert len(ended.err.splitlines()) == 1
    else:
        assert Path("run/result.json").is_file()
