import math
from typing import Any

import torch
from torch.testing import assert_close

from da_framework.losses.adversarial import domain_adversarial
from da_framework.methods.dann_between_sources import DANNBetweenSources

KEYS: dict[str, Any] = {"hidden": [6], "weight": 0.7, "coefficient": 0.5}


def blind(method: Any) -> Any:
    for weight in method.discriminator[-1].parameters():
        torch.nn.init.zeros_(weight)
    return method


def test_a_blind_discriminator_costs_the_logarithm_of_the_sources(tiny: Any) -> None:
    method = blind(tiny.method(DANNBetweenSources, domains=4, **KEYS))
    (objective,) = method.objectives(tiny.batch("source", domains=4))
    assert_close(objective.terms["domain"].value.item(), math.log(3))


def test_of_two_sources_it_is_the_loss_of_source_and_target(tiny: Any) -> None:
    method, batch = tiny.method(DANNBetweenSources, domains=3, **KEYS), tiny.batch(domains=3)
    (objective,) = method.objectives(batch)
    features, _ = method.network(batch["source"].x)
    logits = method.discriminator(features)
    first = int((batch["source"].domain == 0).sum())
    assert 0 < first < len(features)
    expected = domain_adversarial(logits[:, 0] - logits[:, 1], n=first)
    assert_close(objective.terms["domain"].value, expected)


def test_the_encoder_climbs_what_the_discriminator_descends(tiny: Any, gradient: Any) -> None:
    method, batch = tiny.method(DANNBetweenSources, domains=4, **KEYS), tiny.batch(domains=4)
    (objective,) = method.objectives(batch)
    source = method.outputs(batch)["source"]
    plain = method.domain_loss(source.features, source)
    term = objective.terms["domain"].value
    assert_close(gradient(term, method.discriminator), gradient(plain, method.discriminator))
    turned = [-0.5 * own for own in gradient(plain, method.network.encoder)]
    assert_close(gradient(term, method.network.encoder), turned)
