"""Fine-tuning: what moves, and when."""

from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.methods.fine_tuning import FineTuning
from da_framework.training.build import compose
from da_framework.training.method_check import (
    fit_for_method,
    resumes_bit_for_bit,
    two_processes_equal_one,
)


def test_the_loss_is_that_of_the_labelled_target_alone(tiny: Any) -> None:
    method = tiny.method(FineTuning, gradual=0.0)
    batch = tiny.batch("target_labelled")
    (objective,) = method.objectives(batch)
    rows = batch["target_labelled"]
    assert_close(objective.total, cross_entropy(method.network(rows.x)[1], rows.y))


@pytest.mark.parametrize(
    ("progress", "moving"),
    [
        (0.0, ["head"]),
        (0.24, ["head"]),
        (0.25, ["bottleneck", "head"]),
        (0.5, ["backbone", "bottleneck", "head"]),
        (1.0, ["backbone", "bottleneck", "head"]),
    ],
)
def test_stages_thaw_from_the_last_to_the_first(
    tiny: Any, progress: float, moving: list[str]
) -> None:
    method = tiny.method(FineTuning, gradual=0.5)
    assert list(method.network.stages()) == ["backbone.1", "bottleneck.0"]
    method.progress = progress
    (objective,) = method.objectives(tiny.batch("target_labelled"))
    objective.total.backward()
    parts = {
        name.removeprefix("encoder.").partition(".")[0]
        for name, weight in method.network.named_parameters()
        if weight.grad is not None
    }
    assert sorted(parts) == moving


def test_a_frozen_encoder_stays_with_its_statistics(tiny: Any) -> None:
    network = tiny.network(norm=True)
    network.freeze(tuple(network.stages()))
    before = {name: own.clone() for name, own in network.state_dict().items()}
    method = tiny.method(FineTuning, network=network, gradual=0.0).train()
    assert not any(module.training for module in network.encoder.backbone[1:2])
    tiny.train(method, [tiny.batch("target_labelled", seed=seed) for seed in range(3)])
    moved = {name for name, own in network.state_dict().items() if not own.equal(before[name])}
    assert moved == {"head.0.weight", "head.0.bias"}
    assert method.eval().train().training
    assert torch.is_grad_enabled()


def test_thawing_trains_and_resumes_with_momentum() -> None:
    config = compose("method=fine_tuning", "method.gradual=0.7", name="check")
    with fit_for_method(config) as ready:
        assert resumes_bit_for_bit(ready) == (True, "equal")
        assert two_processes_equal_one(ready)[0]
