from typing import Any

import torch
from torch.testing import assert_close

from da_framework.losses.adversarial import domain_adversarial
from da_framework.losses.entropy import entropy
from da_framework.losses.virtual_adversarial import virtual_adversarial
from da_framework.methods.vada import VADA

KEYS: dict[str, Any] = {
    "hidden": [6],
    "weight": 0.5,
    "domain": 0.1,
    "smooth_source": 0.2,
    "certain_target": 0.3,
    "radius": 0.7,
}


def test_the_terms_are_the_paper_s(tiny: Any) -> None:
    method, batch = tiny.method(VADA, **KEYS), tiny.batch()
    method.generator.manual_seed(3)
    (objective,) = method.objectives(batch)
    draws = torch.Generator().manual_seed(3)
    features, logits = method.network(torch.cat([batch["source"].x, batch["target"].x]))
    sides = {"source": logits[:7], "target": logits[7:]}
    smooth = {
        role: virtual_adversarial(
            lambda x: method.network(x)[1],
            batch[role].x,
            own,
            noise=torch.randn(own.shape[0], 2, generator=draws).double(),
            radius=0.7,
            step=1e-3,
            iterations=1,
        )
        for role, own in sides.items()
    }
    expected = {
        "domain": (domain_adversarial(method.discriminator(features), n=7), 0.05),
        "smooth_source": (smooth["source"], 0.1),
        "smooth_target": (smooth["target"], 0.15),
        "entropy": (entropy(logits[7:]), 0.15),
    }
    for name, (value, weight) in expected.items():
        assert_close(objective.terms[name].value, value)
        assert_close(objective.terms[name].weight, weight)


def test_the_domain_loss_is_turned_for_the_encoder_alone(tiny: Any, gradient: Any) -> None:
    method, batch = tiny.method(VADA, **KEYS), tiny.batch()
    (objective,) = method.objectives(batch)
    features, _ = method.network(torch.cat([batch["source"].x, batch["target"].x]))
    plain = domain_adversarial(method.discriminator(features), n=7)
    value = objective.terms["domain"].value
    for part, sign in ((method.discriminator, 1.0), (method.network.encoder, -1.0)):
        assert_close(gradient(value, part), [sign * own for own in gradient(plain, part)])


def test_looking_around_leaves_the_statistics_alone(tiny: Any) -> None:
    method = tiny.method(VADA, network=tiny.network(norm=True), **KEYS)
    batch = tiny.batch()
    reference = tiny.network(norm=True)
    next(iter(method.objectives(batch)))
    reference(torch.cat([batch["source"].x, batch["target"].x]))
    assert_close(dict(method.network.named_buffers()), dict(reference.named_buffers()))
