"""A penalty on what differs between sources, and what a large weight divides."""

from typing import Any

import pytest
import torch

from da_framework.methods.penalized_generalization import PenalizedGeneralization


class Size(PenalizedGeneralization):
    """A penalty of known value."""

    def penalty(self, source: Any) -> torch.Tensor:
        return torch.tensor(3.0, dtype=torch.float64)


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0, 8.0])
def test_a_weight_above_one_divides_the_whole_loss(tiny: Any, weight: float) -> None:
    method, batch = tiny.method(Size, domains=3, weight=weight), tiny.batch("source", domains=3)
    (objective,) = method.objectives(batch)
    label = objective.terms["source"].value
    torch.testing.assert_close(objective.total, (label + 3 * weight) / max(1, weight))


def test_the_weights_own_norm_is_divided_as_well(tiny: Any, gradient: Any) -> None:
    method = tiny.method(Size, domains=3, weight=8.0, l2=0.1)
    (objective,) = method.objectives(tiny.batch("source", domains=3))
    label = objective.terms["source"].value
    weights = torch.cat([p.flatten() for p in method.network.parameters()])
    total = (label + 3 * 8.0 + 0.1 * weights.square().sum()) / 8
    torch.testing.assert_close(objective.total, total)
    torch.testing.assert_close(gradient(objective.total, method), gradient(total, method))
