from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.core.schedules import Step
from da_framework.methods.irm import IRM


def test_the_penalty_is_the_squared_gradient_of_each_source_in_a_scale(
    tiny: Any, gradient: Any
) -> None:
    method, batch = tiny.method(IRM, domains=4, weight=0.7), tiny.batch("source", domains=4)
    (objective,) = method.objectives(batch)
    source = batch["source"]
    _, logits = method.network(source.x)
    penalties = []
    for number in range(3):
        rows = source.domain == number
        scale = torch.ones((), dtype=torch.float64, requires_grad=True)
        loss = cross_entropy(scale * logits[rows], source.y[rows])
        (slope,) = torch.autograd.grad(loss, scale, create_graph=True)
        penalties.append(slope.square())
    expected = torch.stack(penalties).mean()
    assert_close(objective.terms["penalty"].value, expected)
    total = cross_entropy(logits, source.y) + 0.7 * expected
    assert_close(gradient(objective.total, method), gradient(total, method))


def test_the_weight_follows_its_step(tiny: Any) -> None:
    method = tiny.method(IRM, domains=3, weight=Step(at=0.5, before=1.0, after=10.0))
    batch, weights = tiny.batch("source", domains=3), []
    for method.progress in (0.0, 0.49, 0.5, 1.0):
        (objective,) = method.objectives(batch)
        weights.append((objective.terms["source"].weight, objective.terms["penalty"].weight))
    assert weights == [(1.0, 1.0)] * 2 + [(0.1, 1.0)] * 2
