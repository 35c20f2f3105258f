from typing import Any

import torch
from torch.testing import assert_close

from da_framework.methods.bsp import BSP
from da_framework.methods.dann import DANN

DOMAIN: dict[str, Any] = {"hidden": [6], "weight": 0.7, "coefficient": 0.5}
KEYS = DOMAIN | {"penalty": 0.01, "largest": 2}


def test_it_is_dann_with_a_penalty_of_each_domain_s_features(tiny: Any) -> None:
    batch = tiny.batch()
    (mine,) = tiny.method(BSP, **KEYS).objectives(batch)
    method = tiny.method(DANN, **DOMAIN)
    (plain,) = method.objectives(batch)
    assert list(mine.terms) == [*plain.terms, "spectral"]
    values = [torch.linalg.svdvals(method.network(batch[role].x)[0]) for role in batch]
    expected = sum(own[:2].square().sum() for own in values)
    assert_close(mine.terms["spectral"].value, expected)
    assert_close(mine.total, plain.total + 0.01 * expected)


def test_the_penalty_moves_the_encoder_alone(tiny: Any, gradient: Any) -> None:
    method = tiny.method(BSP, **KEYS)
    (objective,) = method.objectives(tiny.batch())
    value = objective.terms["spectral"].value
    assert any(own.any() for own in gradient(value, method.network.encoder))
    for part in (method.network.head, method.discriminator):
        assert not any(own.any() for own in gradient(value, part))
