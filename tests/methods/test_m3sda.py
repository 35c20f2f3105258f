from typing import Any

import pytest
import torch
from torch.testing import assert_close

from da_framework.core.schedules import SigmoidRamp
from da_framework.losses.moments import moment_distance
from da_framework.methods.m3sda import M3SDA

KEYS: dict[str, Any] = {"weight": 0.3, "ramp": 1.0, "orders": 2}


@pytest.mark.parametrize("domains", [2, 3, 4])
def test_the_term_is_the_distance_of_all_domains(tiny: Any, domains: int) -> None:
    method = tiny.method(M3SDA, domains=domains, **KEYS)
    batch = tiny.batch(domains=domains)
    (objective,) = method.objectives(batch)
    x, domain = (
        torch.cat([getattr(batch[role], field) for role in ("source", "target")])
        for field in ("x", "domain")
    )
    features, _ = method.network(x)
    expected = moment_distance(features, domain, sources=domains - 1, orders=2)
    assert_close(objective.terms["moments"].value, expected)
    assert objective.terms["moments"].weight == 0.3


def test_the_ramp_follows_progress(tiny: Any) -> None:
    method = tiny.method(M3SDA, **(KEYS | {"ramp": SigmoidRamp(gamma=10.0, high=1.0)}))
    for progress in (0.0, 0.5, 1.0):
        method.progress = progress
        (objective,) = method.objectives(tiny.batch())
        expected = 0.3 * SigmoidRamp(gamma=10.0, high=1.0)(progress)
        assert objective.terms["moments"].weight == pytest.approx(expected)


def test_every_domain_s_features_are_moved_and_the_head_is_not(tiny: Any, gradient: Any) -> None:
    method = tiny.method(M3SDA, domains=3, **KEYS)
    outputs = {  # of their own: what is split off one pass is joined again unseen
        role: side._replace(features=side.features.clone())
        for role, side in method.outputs(tiny.batch(domains=3)).items()
    }
    value = method.terms(outputs["source"], outputs["target"])["moments"].value
    for role in ("source", "target"):
        (moved,) = torch.autograd.grad(value, outputs[role].features, retain_graph=True)
        assert moved.any(dim=1).all()
    assert not any(own.any() for own in gradient(value, method.network.head))
