from typing import Any

import pytest
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.methods.vrex import VREx


def test_the_penalty_is_the_variance_of_the_sources_risks(tiny: Any) -> None:
    method, batch = tiny.method(VREx, domains=3, weight=0.7), tiny.batch("source", domains=3)
    (objective,) = method.objectives(batch)
    source = batch["source"]
    _, logits = method.network(source.x)
    first, second = (
        cross_entropy(logits[source.domain == number], source.y[source.domain == number])
        for number in range(2)
    )
    assert_close(objective.terms["penalty"].value, (first - second).square() / 4)


def test_sources_of_equal_risk_cost_nothing(tiny: Any) -> None:
    method, batch = tiny.method(VREx, domains=3, weight=0.7), tiny.batch("source", domains=3)
    half = batch["source"].at(slice(0, 3))
    twice = half._replace(domain=half.domain + 1)
    both = type(half)(
        *(
            first.new_tensor([*first.tolist(), *second.tolist()])
            for first, second in zip(half._replace(domain=0 * half.domain), twice, strict=True)
        )
    )
    (objective,) = method.objectives({"source": both._replace(domain=both.domain.clamp_max(1))})
    assert objective.terms["penalty"].value.item() == pytest.approx(0, abs=1e-30)
