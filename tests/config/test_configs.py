"""Every config composes, is what its constructor takes, and runs."""

import inspect
import re
from functools import cache
from pathlib import Path
from pkgutil import resolve_name

import pytest
import torch
import yaml

from da_framework.cli.stream import stream
from da_framework.config.plugins import conf_dir
from da_framework.config.schema import check_config, instantiate
from da_framework.config.settings import Settings
from da_framework.methods.base import Method
from da_framework.training.build import build, compose
from da_framework.training.method_check import fit_for_method, method_class
from tests.selection import a_few

CONF = conf_dir()
GROUPS = [
    (path.parent.name, path.stem)
    for path in sorted(CONF.glob("*/*.yaml"))
    if path.parent.name not in ("experiments", "stream_method")
]
STREAM_METHODS = [path.stem for path in sorted((CONF / "stream_method").glob("*.yaml"))]
METHODS = [name for group, name in GROUPS if group == "method"]
EXPERIMENTS = [
    path.relative_to(CONF / "experiments").with_suffix("").as_posix()
    for path in sorted((CONF / "experiments").rglob("*.yaml"))
]
OWN = {("dataset", name) for name in ("folder", "arrays", "table", "text")}
"""Data of one's own: where it is must be said."""
SHAPES: dict[str, tuple[int, ...]] = {"cnn1d": (9, 32), "recurrent": (9, 32), "text": (12,)}
"""Inputs of networks that take no images."""
LISTS = ("logger", "callback", "term")
composed = cache(compose)  # a method's config is read by several tests


@pytest.mark.parametrize("name", STREAM_METHODS)
def test_keys_of_a_stream_method_are_the_constructors(name: str) -> None:
    """A group of ``da stream`` alone: its files are read as they are."""
    node = yaml.safe_load((CONF / "stream_method" / f"{name}.yaml").read_text())
    check_config({"stream_method": node}, lambda stream_method: None)
    made = resolve_name(node["_target_"])
    assert node["_target_"].split(".")[:3] == ["da_framework", "stream_methods", name]
    message = inspect.getdoc(made) or ""
    assert re.search(r"https://\S+", message)
    assert re.search(r"\b(19|20)\d\d\b", message)
    assert ".. math::" in message
    assert instantiate(node).func is made


def test_the_keys_of_a_stream_are_those_of_its_command() -> None:
    keys = yaml.safe_load((CONF / "stream.yaml").read_text()).keys() - {"hydra", "defaults"}
    assert keys | {"stream_method"} == inspect.signature(stream).parameters.keys()


@pytest.mark.parametrize(("group", "name"), GROUPS, ids=lambda part: part)
def test_keys_are_the_constructors(group: str, name: str) -> None:
    overrides = [f"{group}=[{name}]" if group in LISTS else f"{group}={name}"]
    if group == "accuracy_estimator":  # which a callback alone has
        overrides = [f"callback=[{group}s]", f"+{group}@callback.{group}s.{group}s.x={name}"]
    if group in ("calibration", "label_shift_correction"):  # likewise
        place = f"{group}@callback.accuracy_estimators.{group}"
        overrides = ["callback=[accuracy_estimators]", f"{place}={name}"]
    if (group, name) in OWN:
        overrides += ["dataset.root=here", "dataset.source=[a]"]
    if group in ("logger", "callback"):
        # they name the run's folder and its sweep, which are there in a job alone
        apart = name in ("accuracy_estimators", "diagnostics", "validators")
        overrides += [f"{group}.{name}.folder=here"] * (not apart)
        overrides += [
            "logger.wandb.group=null",
            "logger.wandb.job_type=x",
            "logger.wandb.tags=[]",
        ] * (name == "wandb")
        overrides += [
            "logger.mlflow.sweep=null",
            "logger.mlflow.tags.method=x",
            "logger.mlflow.tags.dataset=x",
        ] * (name == "mlflow")
    check_config(composed(*overrides), Settings)


@pytest.mark.parametrize("name", METHODS)
def test_a_baseline_transfers_nothing(name: str) -> None:
    item = method_class(composed(f"method={name}"))
    if item.baseline and item.closed_form:
        assert "return {}" in inspect.getsource(item.solve)  # type: ignore[attr-defined]
        return
    inherited = ("terms", "method_terms", "all_terms", "objectives", "updated", "refresh")
    plain = all(getattr(item, part) is getattr(Method, part) for part in inherited)
    assert item.baseline == (plain and len({*item.roles, *item.optional}) == 1)


@pytest.mark.parametrize("name", a_few("a step", METHODS, 30))
def test_a_method_runs_a_step_on_two_moons(name: str) -> None:
    with fit_for_method(
        compose(f"method={name}", "dataset.labels_per_class=3", name="check")
    ) as config:
        run = build(config)
    method, train = run.module.method, run.domains.train
    # as training begins
    method.refresh({role: method.evaluate_samples(train[role]) for role in method.refreshes})
    if method.closed_form:
        assert method.evaluate_samples(run.domains.test).logits.isfinite().all()
        return
    for objective in method.objectives(run.domains.batch(0)):
        assert objective.total.isfinite()
        objective.total.backward()  # type: ignore[no-untyped-call]
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in method.parameters())


@pytest.mark.parametrize("name", METHODS)
def test_a_method_cites_its_paper_and_shows_its_formula(name: str) -> None:
    message = inspect.getdoc(instantiate(composed(f"method={name}")["method"]).func) or ""
    assert re.search(r"https://\S+", message)
    assert re.search(r"\b(19|20)\d\d\b", message)
    assert ".. math::" in message


@pytest.mark.parametrize(
    ("place", "departure"),
    [
        ("methods.gfk.GFK", "μ is the mean of a sample's own domain"),
        ("methods.pada.PADA", "w = 2 is the paper's"),
        ("methods.shot.SHOT", "refresh_every"),
        ("methods.lwf.LwF", "the factor T²"),
        ("validators.dev.dev", "each judged by one that was fitted without it"),
    ],
)
def test_a_departure_that_was_once_left_out_is_said(place: str, departure: str) -> None:
    doc = inspect.getdoc(resolve_name(f"da_framework.{place}")) or ""
    assert departure in " ".join(doc.split())


NETWORKS = [name for group, name in GROUPS if group == "network" and name != "module"]
"""All but the one that is given in Python."""


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_makes_features_and_logits(name: str) -> None:
    keys = compose(f"network={name}")["network"]
    given = {**keys, **{key: 64 for key in ("size",) if key in keys}}
    shape = SHAPES.get(name, (1, 28, 28))
    network = instantiate(given)(shape, 10)
    features, logits = network(torch.zeros(3, *shape))
    assert features.shape == (3, network.feature_dim)
    assert logits.shape == (3, 10)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_composes_and_says_what_it_is(name: str) -> None:
    check_config(compose(f"experiments={name}", "logger=[]", "callback=[]"), Settings)
    first, second = (CONF / "experiments" / f"{name}.yaml").read_text().splitlines()[:2]
    assert first == "# @package _global_"
    assert second.startswith("# ")
    assert (CONF / "experiments" / Path(name).parent / "README.md").is_file()
