from typing import Any

import pytest
import torch
from torch.testing import assert_close

from da_framework.methods.l2_sp import L2SP

KEYS = {"weight": 0.3, "new_weight": 0.2, "gradual": 0.0}


def terms(tiny: Any, method: Any) -> Any:
    (objective,) = method.objectives(tiny.batch("target_labelled"))
    return objective.terms


@pytest.mark.parametrize("fresh", [False, True])
def test_is_half_the_squared_distance_from_the_start(tiny: Any, fresh: bool) -> None:
    method = tiny.method(L2SP, network=tiny.begun(fresh=fresh), **KEYS)
    assert_close(terms(tiny, method)["start"].value, torch.zeros(()).double())
    with torch.no_grad():
        for weight in method.network.parameters():
            weight.add_(0.5)
    actual = terms(tiny, method)
    count = sum(weight.numel() for weight in method.network.encoder.parameters())
    head = list(method.network.head.parameters())
    if not fresh:
        count += sum(weight.numel() for weight in head)
    assert_close(actual["start"].value, torch.tensor(count * 0.25 / 2).double())
    assert actual["start"].weight == 0.3
    assert ("new" in actual) == fresh
    if fresh:
        assert_close(actual["new"].value, sum(w.square().sum() for w in head) / 2)


def test_its_gradient_is_the_way_back(tiny: Any) -> None:
    method = tiny.method(L2SP, network=tiny.begun(), **KEYS)
    weight = method.network.encoder.backbone[1].weight
    with torch.no_grad():
        weight.mul_(3)
    (derived,) = torch.autograd.grad(terms(tiny, method)["start"].value, weight)
    assert_close(derived, weight.detach() * 2 / 3)
