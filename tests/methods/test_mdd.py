from typing import Any

import torch
from torch.testing import assert_close

from da_framework.losses.margin_disparity import margin_disparity
from da_framework.methods.mdd import MDD

KEYS: dict[str, Any] = {"weight": 0.7, "coefficient": 0.5, "margin": 4.0}


def test_adversary_and_encoder_play_against_each_other(tiny: Any, gradient: Any) -> None:
    method, batch = tiny.method(MDD, **KEYS), tiny.batch()
    (objective,) = method.objectives(batch)
    assert list(objective.terms) == ["source", "disparity"]
    features, logits = method.network(torch.cat([batch["source"].x, batch["target"].x]))
    adversarial = method.adversary(features)
    plain = margin_disparity(
        adversarial[:7],
        adversarial[7:],
        source_logits=logits[:7],
        target_logits=logits[7:],
        margin=4.0,
    )
    value = objective.terms["disparity"].value
    assert_close(value, plain)
    assert objective.terms["disparity"].weight == 0.7
    for part, sign in ((method.adversary, 1.0), (method.network.encoder, -0.5)):
        expected = [sign * own for own in gradient(plain, part)]
        assert any(own.any() for own in expected)
        assert_close(gradient(value, part), expected)
    assert not any(own.any() for own in gradient(value, method.network.head))


def test_the_adversary_is_another_head_of_the_same_kind(tiny: Any) -> None:
    method = tiny.method(MDD, **KEYS)
    shapes = [
        [p.shape for p in head.parameters()] for head in (method.adversary, method.network.head)
    ]
    assert shapes[0] == shapes[1]
    adversary, other = method.adversary[-1].weight, method.network.head[-1].weight
    assert not torch.equal(adversary, other)
    assert method.parts() == {"model": [method]}
