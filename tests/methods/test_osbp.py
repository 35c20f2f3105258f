from typing import Any

import pytest
import torch
from torch.testing import assert_close

from da_framework.losses.open_set import unknown_boundary
from da_framework.methods.osbp import OSBP

KEYS: dict[str, Any] = {"weight": 0.7, "boundary": 0.5}


def test_the_head_has_one_more_logit_and_the_source_never_that_label(tiny: Any) -> None:
    method = tiny.method(OSBP, **KEYS)
    outputs = method.outputs(tiny.batch())
    assert outputs["source"].logits.shape[1] == len(method.task.classes) + 1
    assert outputs["source"].y.max() < len(method.task.classes)


def test_the_encoder_s_gradient_is_turned_and_the_head_s_is_not(tiny: Any, gradient: Any) -> None:
    method, batch = tiny.method(OSBP, **KEYS), tiny.batch()
    (objective,) = method.objectives(batch)
    term = objective.terms["boundary"]
    assert term.weight == 0.7
    plain = unknown_boundary(method.network(batch["target"].x)[1], boundary=0.5)
    assert_close(term.value, plain)
    for part, sign in ((method.network.encoder, -1.0), (method.network.head, 1.0)):
        expected = [sign * own for own in gradient(plain, part)]
        assert any(own.any() for own in expected)
        assert_close(gradient(term.value, part), expected)


def test_the_source_has_no_part_in_the_boundary(tiny: Any) -> None:
    method, batch = tiny.method(OSBP, **KEYS), tiny.batch()
    (objective,) = method.objectives(batch)
    (other,) = method.objectives({**batch, "source": tiny.samples("source", seed=5)})
    assert_close(objective.terms["boundary"].value, other.terms["boundary"].value)


@pytest.mark.parametrize("boundary", [0.2, 0.8])
def test_the_head_alone_goes_to_the_boundary(tiny: Any, boundary: float) -> None:
    method = tiny.method(OSBP, weight=1.0, boundary=boundary)
    target = method.outputs(tiny.batch())["target"]
    optimizer = torch.optim.SGD(method.network.head.parameters(), lr=1.0)
    for _ in range(300):
        optimizer.zero_grad()
        features = target.features.detach()
        term = method.terms(target, target._replace(features=features))["boundary"]
        term.value.backward()
        optimizer.step()
    p = method.network.head(target.features).softmax(1)[:, -1]
    assert p.mean().item() == pytest.approx(boundary, abs=0.05)
