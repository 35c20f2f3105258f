import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.core.batch import Batch, Samples, Task
from da_framework.core.schedules import Schedule, SigmoidRamp
from da_framework.losses.adversarial import domain_adversarial
from da_framework.methods.dann import DANN
from da_framework.networks.mlp import MLP
from da_framework.networks.network import Network

TASK = Task(("a", "b"), ("s", "t"), {"source": 5, "target": 3}, (2,))


def dann(coefficient: float | Schedule = 1.0, **keys: Any) -> DANN:
    torch.manual_seed(0)
    backbone = partial(MLP, widths=[5], dropout=0.0)
    network = Network(
        backbone=backbone, bottleneck=[4], head=[], dropout=0.0, shape=(2,), classes=2
    )
    given: dict[str, Any] = {
        "hidden": [6],
        "weight": 1.0,
        "coefficient": coefficient,
        "alpha": 0.5,
        "batch_norm": "shared",
    }
    return DANN(network, TASK, **(given | keys)).double()


def samples(rows: int, domain: int) -> Samples:
    generator = torch.Generator().manual_seed(domain)
    x = torch.randn(rows, 2, dtype=torch.float64, generator=generator) + domain
    y = torch.randint(2, (rows,), generator=generator) if domain == 0 else torch.full((rows,), -1)
    return Samples(x, y, torch.full((rows,), domain), torch.arange(rows))


BATCH: Batch = {"source": samples(5, 0), "target": samples(3, 1)}


def domain_loss(method: DANN) -> Tensor:
    (objective,) = method.objectives(BATCH)
    return objective.terms["domain"].value


def without_reversal(method: DANN) -> Tensor:
    features, _ = method.network(torch.cat([BATCH["source"].x, BATCH["target"].x]))
    return domain_adversarial(method.discriminator(features), n=5)


def gradient(value: Tensor, module: nn.Module) -> tuple[Tensor, ...]:
    return torch.autograd.grad(value, list(module.parameters()))


def test_a_blind_discriminator_costs_log_2() -> None:
    method = dann()
    for parameter in method.discriminator.parameters():
        nn.init.zeros_(parameter)
    assert domain_loss(method).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("coefficient", [0.0, 0.5, 1.0])
def test_the_domain_term_is_the_discriminator_s_loss(coefficient: float) -> None:
    method = dann(coefficient)
    assert_close(domain_loss(method), without_reversal(method))


@pytest.mark.parametrize("coefficient", [0.0, 0.3, 1.0, 2.0])
def test_the_coefficient_turns_the_encoder_s_gradient(coefficient: float) -> None:
    method = dann(coefficient)
    turned = gradient(domain_loss(method), method.network.encoder)
    plain = gradient(without_reversal(method), method.network.encoder)
    assert any(reversed_gradient.any() for reversed_gradient in plain)
    for reversed_gradient, original in zip(turned, plain, strict=True):
        assert_close(reversed_gradient, -coefficient * original)


def test_the_discriminator_learns_at_full_rate_whatever_the_coefficient() -> None:
    method = dann()
    expected = gradient(without_reversal(method), method.discriminator)
    for coefficient in (0.0, 0.3, 1.0):
        other = dann(coefficient)
        assert_close(gradient(domain_loss(other), other.discriminator), expected)


def test_the_head_learns_nothing_from_the_domain_term() -> None:
    method = dann()
    parameters = list(method.network.head.parameters())
    unused = torch.autograd.grad(domain_loss(method), parameters, allow_unused=True)
    assert unused == (None,) * len(parameters)


def test_the_weight_scales_the_term_for_both_players() -> None:
    method = dann(0.5, weight=0.25)
    (objective,) = method.objectives(BATCH)
    assert list(objective.terms) == ["source", "domain"]
    assert objective.terms["domain"].weight == 0.25
    logits = method.network(BATCH["source"].x)[1]
    supervised = cross_entropy(logits, BATCH["source"].y)
    assert_close(objective.total, supervised + 0.25 * without_reversal(method))
    learnt = gradient(objective.total, method.discriminator)
    full = gradient(without_reversal(method), method.discriminator)
    assert_close(learnt, tuple(0.25 * own for own in full))


def test_the_coefficient_follows_progress() -> None:
    ramp = SigmoidRamp(gamma=10.0, high=1.0)
    method = dann(coefficient=ramp)
    plain = gradient(without_reversal(method), method.network.encoder)
    for progress in (0.0, 0.1, 1.0):
        method.progress = progress
        turned = gradient(domain_loss(method), method.network.encoder)
        assert_close(turned, tuple(-ramp(progress) * own for own in plain))


def test_discriminator_reads_the_features_and_is_trained_with_the_model() -> None:
    method = dann(hidden=[7, 3])
    widths = [p.shape[1] for p in method.discriminator.parameters() if p.dim() == 2]
    assert widths == [method.network.feature_dim, 7, 3]
    (part,) = method.parts()["model"]
    discriminator_ids = {id(p) for p in method.discriminator.parameters()}
    assert discriminator_ids <= {id(p) for p in part.parameters()}
