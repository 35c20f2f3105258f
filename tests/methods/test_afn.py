from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from da_framework.losses.feature_norm import hard_norm, stepwise_norm
from da_framework.methods.afn import AFN

KEYS: dict[str, Any] = {"weight": 0.5, "variant": "stepwise", "step": 0.3, "radius": 4.0}
VARIANTS: dict[str, Any] = {
    "stepwise": lambda x: stepwise_norm(x, step=0.3),
    "hard": lambda x: hard_norm(x, radius=4.0),
}


def norms(method: Any, batch: Any) -> list[Tensor]:
    with torch.no_grad():
        features = [method.network(batch[role].x)[0] for role in ("source", "target")]
    return [own.norm(dim=1).mean() for own in features]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_term_is_the_sum_over_both_domains(tiny: Any, gradient: Any, variant: str) -> None:
    method, batch = tiny.method(AFN, **(KEYS | {"variant": variant})), tiny.batch()
    (objective,) = method.objectives(batch)
    assert list(objective.terms) == ["source", "norm"]
    source, target = (method.network(batch[role].x)[0] for role in ("source", "target"))
    expected = VARIANTS[variant](source) + VARIANTS[variant](target)
    term = objective.terms["norm"]
    assert_close(term.value, expected)
    assert_close(gradient(term.value, method.network), gradient(expected, method.network))
    assert_close(objective.total, objective.terms["source"].value + 0.5 * term.value)


def test_the_stepwise_term_is_twice_the_square_of_the_step(tiny: Any) -> None:
    (objective,) = tiny.method(AFN, **KEYS).objectives(tiny.batch())
    assert objective.terms["norm"].value.item() == pytest.approx(2 * 0.3**2)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_encoder_learns_and_the_head_does_not(tiny: Any, gradient: Any, variant: str) -> None:
    method = tiny.method(AFN, **(KEYS | {"variant": variant}))
    (objective,) = method.objectives(tiny.batch())
    value = objective.terms["norm"].value
    assert any(own.any() for own in gradient(value, method.network.encoder))
    assert not any(own.any() for own in gradient(value, method.network.head))


def test_training_raises_the_norms_of_both_domains(tiny: Any) -> None:
    batch = tiny.batch()
    plain, grown = (
        norms(tiny.train(tiny.method(AFN, **(KEYS | {"weight": w})), [batch] * 10), batch)
        for w in (0.0, 0.5)
    )
    assert all(more > less for more, less in zip(grown, plain, strict=True))


def test_the_hard_norms_come_to_the_radius(tiny: Any) -> None:
    method, batch = tiny.method(AFN, **(KEYS | {"variant": "hard"})), tiny.batch()
    before = norms(method, batch)
    after = norms(tiny.train(method, [batch] * 30, lr=0.02), batch)
    assert all(abs(b - 4) < abs(a - 4) for a, b in zip(before, after, strict=True))
