from typing import Any

import pytest
import torch
from torch.testing import assert_close

from da_framework.core.schedules import SigmoidRamp
from da_framework.losses.class_mmd import class_mmd
from da_framework.losses.mmd import bandwidths, mmd
from da_framework.methods.dsan import DSAN

FACTORS = [0.5, 1.0]
KEYS: dict[str, Any] = {"weight": 2.0, "ramp": 1.0, "bandwidth": "mean", "factors": FACTORS}


@pytest.mark.parametrize("policy", ["mean", "median", "fixed"])
def test_the_term_is_the_class_mmd_of_the_features(tiny: Any, policy: Any) -> None:
    method, batch = tiny.method(DSAN, **(KEYS | {"bandwidth": policy})), tiny.batch()
    (objective,) = method.objectives(batch)
    assert list(objective.terms) == ["source", "class_mmd"]
    source, _ = method.network(batch["source"].x)
    target, logits = method.network(batch["target"].x)
    widths = bandwidths(source, target, policy=policy, factors=torch.tensor(FACTORS).double())
    expected = class_mmd(
        source, target, y=batch["source"].y, p=logits.softmax(1), bandwidths=widths
    )
    assert_close(objective.terms["class_mmd"].value, expected)


def test_a_head_sure_of_one_class_aligns_that_class_alone(tiny: Any) -> None:
    method, batch = tiny.method(DSAN, **KEYS), tiny.batch()
    with torch.no_grad():
        method.network.head[-1].weight.zero_()
        method.network.head[-1].bias.copy_(torch.tensor([0.0, 1e3, 0.0]))
    (objective,) = method.objectives(batch)
    source, target = (method.network(batch[role].x)[0] for role in ("source", "target"))
    widths = bandwidths(source, target, policy="mean", factors=torch.tensor(FACTORS).double())
    expected = mmd(source[batch["source"].y == 1], target, bandwidths=widths)
    assert_close(objective.terms["class_mmd"].value, expected)


def test_the_encoder_learns_and_the_head_does_not(tiny: Any, gradient: Any) -> None:
    method = tiny.method(DSAN, **KEYS)
    (objective,) = method.objectives(tiny.batch())
    value = objective.terms["class_mmd"].value
    assert any(own.any() for own in gradient(value, method.network.encoder))
    assert not any(own.any() for own in gradient(value, method.network.head))


@pytest.mark.parametrize("progress", [0.0, 0.1, 1.0])
def test_the_weight_follows_the_ramp(tiny: Any, progress: float) -> None:
    ramp = SigmoidRamp(gamma=10.0, high=1.0)
    method = tiny.method(DSAN, **(KEYS | {"ramp": ramp}))
    method.progress = progress
    (objective,) = method.objectives(tiny.batch())
    term = objective.terms["class_mmd"]
    assert term.weight == pytest.approx(2.0 * ramp(progress))
    assert_close(objective.total, objective.terms["source"].value + term.weight * term.value)


def test_training_lowers_it_below_what_plain_training_reaches(tiny: Any) -> None:
    batch, reached = tiny.batch(), []
    for weight in (0.0, 5.0):
        method = tiny.train(tiny.method(DSAN, **(KEYS | {"weight": weight})), [batch] * 20)
        with torch.no_grad():
            (objective,) = method.objectives(batch)
        reached.append(objective.terms["class_mmd"].value)
    assert reached[1] < reached[0]
