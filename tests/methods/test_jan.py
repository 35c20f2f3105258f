from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from da_framework.core.schedules import SigmoidRamp
from da_framework.losses.joint_mmd import joint_mmd
from da_framework.losses.mmd import bandwidths, mmd
from da_framework.methods.jan import JAN

FACTORS = [0.5, 1.0]
KEYS: dict[str, Any] = {"weight": 2.0, "ramp": 1.0, "bandwidth": "mean", "factors": FACTORS}


@pytest.mark.parametrize("policy", ["mean", "median"])
def test_the_term_is_the_joint_mmd_of_features_and_predictions(tiny: Any, policy: Any) -> None:
    method, batch = tiny.method(JAN, **(KEYS | {"bandwidth": policy})), tiny.batch()
    (objective,) = method.objectives(batch)
    assert list(objective.terms) == ["source", "joint_mmd"]
    passed = [method.network(batch[role].x) for role in ("source", "target")]
    features = [x for x, _ in passed]
    predictions = [logits.softmax(1) for _, logits in passed]
    factors = torch.tensor(FACTORS).double()
    widths = [bandwidths(s, t, policy=policy, factors=factors) for s, t in (features, predictions)]
    source, target = zip(features, predictions, strict=True)
    expected = joint_mmd(source, target, bandwidths=widths)
    assert_close(objective.terms["joint_mmd"].value, expected)


def test_a_blind_head_leaves_the_mmd_of_the_features(tiny: Any) -> None:
    method, batch = tiny.method(JAN, **KEYS), tiny.batch()
    for parameter in method.network.head.parameters():
        nn.init.zeros_(parameter)
    (objective,) = method.objectives(batch)
    source, target = (method.network(batch[role].x)[0] for role in ("source", "target"))
    factors = torch.tensor(FACTORS).double()
    widths = bandwidths(source, target, policy="mean", factors=factors)
    expected = mmd(source, target, bandwidths=widths)
    assert_close(objective.terms["joint_mmd"].value, expected)


def test_encoder_and_head_learn_from_both_domains(tiny: Any, gradient: Any) -> None:
    method, batch = tiny.method(JAN, **KEYS), tiny.batch()
    outputs = method.outputs(batch)
    value = method.terms(outputs["source"], outputs["target"])["joint_mmd"].value
    for part in (method.network.encoder, method.network.head):
        assert any(side.any() for side in gradient(value, part))
    for side in outputs.values():
        for gradients in torch.autograd.grad(
            value, (side.features, side.logits), retain_graph=True
        ):
            assert gradients.any()


@pytest.mark.parametrize("progress", [0.0, 0.1, 1.0])
def test_the_weight_follows_the_ramp(tiny: Any, progress: float) -> None:
    ramp = SigmoidRamp(gamma=10.0, high=1.0)
    method = tiny.method(JAN, **(KEYS | {"ramp": ramp}))
    method.progress = progress
    (objective,) = method.objectives(tiny.batch())
    term = objective.terms["joint_mmd"]
    assert term.weight == pytest.approx(2.0 * ramp(progress))
    assert_close(objective.total, objective.terms["source"].value + term.weight * term.value)


def test_training_lowers_it_below_what_plain_training_reaches(tiny: Any) -> None:
    batch, reached = tiny.batch(), []
    for weight in (0.0, 5.0):
        method = tiny.train(tiny.method(JAN, **(KEYS | {"weight": weight})), [batch] * 20)
        with torch.no_grad():
            (objective,) = method.objectives(batch)
        reached.append(objective.terms["joint_mmd"].value)
    assert reached[1] < reached[0]
