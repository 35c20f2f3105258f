"""Every verdict on a fault that was planted for it, in a run that is otherwise sound."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from da_framework.callbacks.base import Callback, Evaluation
from da_framework.callbacks.diagnostics import Diagnostics, describe_majority, is_task_lost
from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.errors import DivergedError
from da_framework.datasets.datamodule import Domains
from da_framework.datasets.two_moons import TwoMoons
from da_framework.losses.adversarial import domain_adversarial
from da_framework.methods.base import Method
from da_framework.methods.dann import DANN
from da_framework.methods.mcd import MCD
from da_framework.methods.source_only import SourceOnly
from da_framework.networks.mlp import MLP
from da_framework.networks.network import Network
from da_framework.training.module import Adaptation
from da_framework.training.optimizers import sgd
from da_framework.training.trainer import build_trainer
from da_framework.validators.information_maximization import information_maximization


class Detached(DANN):
    """The encoder never hears of the discriminator."""

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        source, target = (own._replace(features=own.features.detach()) for own in (source, target))
        return super().terms(source, target)


class Blind(DANN):
    """Its discriminator is a softmax over one value, which is 1 whatever it is given."""

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        features = torch.cat([source.features, target.features])
        told = self.discriminator(features)[:, None].softmax(1)[:, 0]
        return {"domain": Term(domain_adversarial(0 * told, n=len(source.features)))}


class Collapsing(Method):
    """Wants features of no length, far more than it wants the labels."""

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        both = torch.cat([source.features, target.features])
        return {"size": Term(both.square().sum(1).mean(), 20.0)}


class Heavy(Method):
    """Wants one class for all rows, so much more than the labels that these are lost."""

    weight = 100.0

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        both = torch.cat([source.logits, target.logits])
        return {"wrong": Term((both[:, 1] - both[:, 0]).mean(), self.weight)}


class Breaking(Method):
    """Has a term that is not finite."""

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        return {"broken": Term(source.features.mean() / 0)}


def _network() -> Network:
    backbone = partial(MLP, widths=[8], dropout=0.0)
    return Network(backbone=backbone, bottleneck=[], head=[], dropout=0.0, shape=(1,), classes=2)


DANN_KEYS: dict[str, Any] = {"hidden": [8], "weight": 1.0, "coefficient": 1.0}


def fit(
    kind: Any,
    *,
    watched: bool = True,
    norm: bool = False,
    steps: int = 60,
    lr: float = 0.1,
    shift: float = 0.5,
    **keys: Any,
) -> Adaptation:
    """Two moons, far apart, in a fraction of a second."""
    batch = {"source": 16, "target": 16}
    sides: dict[str, Any] = {"source": ["straight"], "target": ["rotated"], "batch_size": batch}
    split: dict[str, Any] = {"protocol": "inductive", "val": 0.3, "test": 0.3, "split_seed": 0}
    target: dict[str, Any] = {"rotation": 30.0, "shift": shift, "noise": 0.1, "seed": 0}
    moons = TwoMoons(rows=200, labels_per_class=0, **sides, **split, **target)
    domains = Domains(moons, kind.roles, seed=3)
    torch.manual_seed(0)

    def normed(shape: tuple[int, ...]) -> nn.Module:
        return nn.Sequential(nn.Linear(shape[0], 8), nn.BatchNorm1d(8), nn.ReLU())

    network = Network(
        backbone=normed if norm else partial(MLP, widths=[8], dropout=0.0),
        bottleneck=[8], head=[], dropout=0.2, shape=(2,), classes=2,
    )  # fmt: skip
    method = kind(network, domains.task, alpha=0.5, batch_norm="shared", **keys)
    optimizer = sgd(lr=lr, momentum=0.9, weight_decay=0.0, nesterov=False)
    module = Adaptation(
        method, optimizer=optimizer, steps=steps, evaluate_every=steps // 3, flush_every=5, seed=3,
        validator=information_maximization,
    )  # fmt: skip
    watch: list[Callback] = [
        Diagnostics(
            min_feature_variance=1e-4,
            max_class_share=0.95,
            max_gradient_ratio=10.0,
            rows=500,
            readings=5,
        )
    ]
    trainer = {"_target_": "pytorch_lightning.Trainer", "_partial_": True, "accelerator": "cpu"}
    config = {
        "method": {"_target_": "da_framework.methods.source_only.SourceOnly", "_partial_": True},
        "trainer": {**trainer, "devices": 1, "strategy": "auto", "precision": "32-true"},
    }
    build_trainer(config, callbacks=watch if watched else [], loggers=[]).fit(
        module, datamodule=domains
    )
    return module


def verdicts(module: Adaptation) -> set[str]:
    return set(module.verdicts)


def figures(module: Adaptation, name: str) -> list[float]:
    return [row[f"diagnosis/{name}"] for row in module.history if f"diagnosis/{name}" in row]


def test_a_sound_run_has_figures_and_no_verdict(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="da_framework"):
        module = fit(DANN, **DANN_KEYS)
    assert verdicts(module) == set()
    assert not [r for r in caplog.records if r.name.startswith("da_framework")]
    for name in ("domain_accuracy", "a_distance", "spread", "majority"):
        assert len(figures(module, name)) == 4, name
    first, *_, last = figures(module, "domain_accuracy")
    assert first > 0.65
    assert last < first
    assert figures(module, "a_distance")[0] == pytest.approx(2 * (2 * first - 1))
    assert len(figures(module, "gradient_ratio")) == 3
    assert min(figures(module, "gradient_ratio")) > 0


def test_source_only_adds_nothing_to_weigh() -> None:
    module = fit(SourceOnly)
    assert verdicts(module) == set()
    assert figures(module, "gradient_ratio") == []


@pytest.mark.parametrize("fault", [Detached, partial(DANN, coefficient=0.0)])
def test_features_that_are_detached_are_seen(fault: Any) -> None:
    kind = fault.func if isinstance(fault, partial) else fault
    given = DANN_KEYS | (fault.keywords if isinstance(fault, partial) else {})
    module = fit(kind, **given)
    assert verdicts(module) == {"gradient"}
    assert "does not reach the encoder" in module.verdicts["gradient"]["words"]
    assert module.verdicts["gradient"]["step"] == 40  # not before half of the training is done


def test_a_discriminator_that_cannot_see_is_seen(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="da_framework"):
        module = fit(Blind, shift=1.0, **DANN_KEYS)  # which any network's features show
    assert "discriminator" in verdicts(module)
    assert "is at chance from the start: it cannot see the shift" in caplog.text


def test_collapsed_features_are_seen() -> None:
    module = fit(Collapsing, lr=0.01)
    assert "features" in verdicts(module)
    assert figures(module, "spread")[-1] < 1e-4 * figures(module, "spread")[0]


def test_a_weight_that_loses_the_task_is_seen_with_what_it_does_to_predictions() -> None:
    module = fit(Heavy, lr=0.0001, steps=30)
    assert verdicts(module) == {"task", "predictions"}
    assert "lower method.weight" in module.verdicts["task"]["words"]
    assert "predictions have collapsed" in module.verdicts["predictions"]["words"]


@pytest.mark.parametrize("kind", [SourceOnly, Heavy])
def test_a_target_that_is_truly_skewed_is_allowed_for(kind: type[Method]) -> None:
    """A target of 97 to 3 and a classifier that is right: 97 % in one class are as it should be."""
    y = torch.tensor([0] * 97 + [1] * 3)
    halves = torch.arange(100) % 2
    sides = {
        role: Outputs(
            *(labels, labels, labels, labels), labels[:, None].float(), 9 * torch.eye(2)[labels]
        )
        for role, labels in {"source": halves, "target": y}.items()
    }
    task = Task(("common", "rare"), ("s", "t"), {}, (1,))
    method = kind(_network(), task, alpha=0.5, batch_norm="shared")
    evaluation = Evaluation(10, task, sides, sides["target"], {})
    words = describe_majority(evaluation, {"majority": 0.97}, method)
    assert "97% of target samples are put in one class" in words
    assert "held-out source accuracy is 100%: a target that is truly so skewed looks" in words
    assert "information_maximization" in words
    assert ("method.weight" in words) == (kind is Heavy)  # no key that there is not
    # a network that puts the source in one class too has collapsed
    sides["source"] = sides["source"]._replace(logits=torch.eye(2)[torch.zeros(100).long()])
    assert describe_majority(evaluation, {"majority": 0.97}, method).startswith("predictions have")


def test_what_is_not_finite_stops_the_run_and_is_named() -> None:
    with pytest.raises(DivergedError, match="the term broken is"):
        fit(Breaking)


@pytest.mark.parametrize(
    ("kind", "keys"), [(DANN, DANN_KEYS), (MCD, {"weight": 1.0, "repeats": 2})]
)
def test_watching_changes_no_bit(kind: Any, keys: dict[str, Any]) -> None:
    seen, alone = (
        fit(kind, watched=watched, norm=True, steps=15, **keys).state_dict()
        for watched in (True, False)
    )
    assert seen.keys() == alone.keys()
    for name, value in seen.items():
        assert torch.equal(value, alone[name]), name


def test_one_row_of_a_domain_tells_nothing_of_the_domains() -> None:
    def outputs(rows: int) -> Outputs:
        none = torch.zeros(rows).long()
        return Outputs(none, none, none, none, torch.randn(rows, 3), torch.randn(rows, 2))

    def seen(rows: int) -> dict[str, float]:
        task = Task(("a", "b"), ("one", "other"), {}, (3,))
        sides = {"source": outputs(rows), "target": outputs(9)}
        reader = Diagnostics(
            min_feature_variance=0.01,
            max_class_share=0.9,
            max_gradient_ratio=10.0,
            rows=99,
            readings=1,
        )
        return reader.figures(Evaluation(0, task, sides, outputs(9), {}))

    assert "domain_accuracy" not in seen(1)
    assert 0 <= seen(2)["domain_accuracy"] <= 1


def test_a_task_is_lost_near_chance_or_well_below_its_best() -> None:
    assert is_task_lost([0.9, 0.55], 2)
    assert is_task_lost([0.2], 10)
    assert is_task_lost([0.95, 0.84], 10)
    assert not is_task_lost([0.95, 0.86], 10)
    assert not is_task_lost([0.4], 10)
