"""CDAN and CDAN+E."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from da_framework.losses.adversarial import domain_adversarial
from da_framework.methods.cdan import CDAN
from da_framework.networks.conditional import RandomizedMap

KEYS: dict[str, Any] = {
    "hidden": [6],
    "weight": 0.7,
    "coefficient": 0.5,
    "limit": 4096,
    "entropy_conditioning": False,
}


def told(method: Any, batch: Any, *, detach: bool = True) -> torch.Tensor:
    """What the discriminator says of the outer products, without reversal."""
    features, logits = method.network(torch.cat([batch["source"].x, batch["target"].x]))
    p = logits.softmax(1)
    p = p.detach() if detach else p
    rows = [torch.outer(f, q).flatten() for f, q in zip(features, p, strict=True)]
    scores: torch.Tensor = method.discriminator(torch.stack(rows))
    return scores


def test_a_blind_discriminator_costs_log_2(tiny: Any) -> None:
    for conditioning in (False, True):
        method = tiny.method(CDAN, **(KEYS | {"entropy_conditioning": conditioning}))
        for parameter in method.discriminator.parameters():
            nn.init.zeros_(parameter)
        (objective,) = method.objectives(tiny.batch())
        assert objective.terms["domain"].value.item() == pytest.approx(math.log(2))


def test_the_discriminator_sees_features_with_predictions(tiny: Any, gradient: Any) -> None:
    method, batch = tiny.method(CDAN, **KEYS), tiny.batch()
    (objective,) = method.objectives(batch)
    value, plain = objective.terms["domain"].value, domain_adversarial(told(method, batch), n=7)
    assert objective.terms["domain"].weight == 0.7
    assert_close(value, plain)
    for part, sign in ((method.discriminator, 1.0), (method.network.encoder, -0.5)):
        expected = [sign * own for own in gradient(plain, part)]
        assert any(own.any() for own in expected)
        assert_close(gradient(value, part), expected)
    # by way of the predictions nothing is learnt
    assert not any(own.any() for own in gradient(value, method.network.head))


def test_sure_rows_weigh_up_to_twice_as_much(tiny: Any) -> None:
    method = tiny.method(CDAN, **(KEYS | {"entropy_conditioning": True}))
    batch = tiny.batch()
    (objective,) = method.objectives(batch)
    _, logits = method.network(torch.cat([batch["source"].x, batch["target"].x]))
    p = logits.softmax(1)
    w = 1 + torch.exp((p * p.log()).sum(1))
    w = torch.cat([own / own.mean() for own in (w[:7], w[7:])])
    expected = domain_adversarial(told(method, batch), n=7, weights=w)
    assert_close(objective.terms["domain"].value, expected)
    assert w.std() > 0
    sure = torch.tensor([[100.0, 0.0, 0.0], [0.0, 0.0, 0.0]]).double()
    ratio = method.certainty(torch.cat([sure, sure]), 2)
    assert (ratio[0] / ratio[1]).item() == pytest.approx(2 / (1 + 1 / 3))


def test_wide_products_are_randomised_and_saved(tiny: Any) -> None:
    method = tiny.method(CDAN, **(KEYS | {"limit": 7}))
    assert isinstance(method.join, RandomizedMap)
    assert {"join.of_features", "join.of_predictions"} <= method.state_dict().keys()
    (objective,) = method.objectives(tiny.batch())
    assert objective.total.isfinite()
