from typing import Any

import pytest
import torch
from torch.testing import assert_close

from da_framework.core.schedules import SigmoidRamp
from da_framework.losses.moments import central_moment_discrepancy
from da_framework.methods.cmd import CMD

KEYS: dict[str, Any] = {"weight": 2.0, "ramp": 1.0, "orders": 4, "span": 3.0}


def test_the_term_is_the_discrepancy_of_the_features(tiny: Any) -> None:
    method, batch = tiny.method(CMD, **KEYS), tiny.batch()
    (objective,) = method.objectives(batch)
    assert list(objective.terms) == ["source", "cmd"]
    source, target = (method.network(batch[role].x)[0] for role in ("source", "target"))
    expected = central_moment_discrepancy(source, target, orders=4, span=3.0)
    assert_close(objective.terms["cmd"].value, expected)


def test_the_encoder_learns_and_the_head_does_not(tiny: Any, gradient: Any) -> None:
    method = tiny.method(CMD, **KEYS)
    (objective,) = method.objectives(tiny.batch())
    value = objective.terms["cmd"].value
    assert any(own.any() for own in gradient(value, method.network.encoder))
    assert not any(own.any() for own in gradient(value, method.network.head))


@pytest.mark.parametrize("progress", [0.0, 0.1, 1.0])
def test_the_weight_follows_the_ramp(tiny: Any, progress: float) -> None:
    ramp = SigmoidRamp(gamma=10.0, high=1.0)
    method = tiny.method(CMD, **(KEYS | {"ramp": ramp}))
    method.progress = progress
    (objective,) = method.objectives(tiny.batch())
    assert objective.terms["cmd"].weight == pytest.approx(2.0 * ramp(progress))


def test_training_lowers_it_below_what_plain_training_reaches(tiny: Any) -> None:
    batch, reached = tiny.batch(), []
    for weight in (0.0, 5.0):
        method = tiny.train(tiny.method(CMD, **(KEYS | {"weight": weight})), [batch] * 20)
        with torch.no_grad():
            (objective,) = method.objectives(batch)
        reached.append(objective.terms["cmd"].value)
    assert reached[1] < reached[0]
