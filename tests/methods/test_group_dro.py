from typing import Any

import torch
from torch.testing import assert_close

from da_framework.methods.group_dro import GroupDRO
from da_framework.methods.source_only import SourceOnly


def test_the_weights_over_several_steps_are_the_softmax_of_the_summed_risks(
    tiny: Any, gradient: Any
) -> None:
    method = tiny.method(GroupDRO, domains=4, step_size=0.7)
    summed = torch.zeros(3, dtype=torch.float64)
    for seed in range(4):
        batch = tiny.batch("source", domains=4, seed=seed)
        risks = method.risks(method.outputs(batch)["source"])
        summed = summed + risks.detach()
        expected = (0.7 * summed).softmax(0)
        for objective in method.objectives(batch):
            # this step's risks are counted already, and no gradient goes through the weights
            total = (expected * risks).sum()
            assert_close(objective.total, total)
            assert_close(gradient(objective.total, method), gradient(total, method))
        assert_close(method.weights, expected)


def test_at_no_step_size_it_is_training_on_the_sources(tiny: Any) -> None:
    batch = tiny.batch("source", domains=3, source=6)
    (robust,) = tiny.method(GroupDRO, domains=3, step_size=0.0).objectives(batch)
    (plain,) = tiny.method(SourceOnly, domains=3).objectives(batch)
    assert_close(robust.total, plain.total)


def test_a_source_that_is_not_in_the_batch_keeps_its_share_of_the_rest(tiny: Any) -> None:
    method = tiny.method(GroupDRO, domains=4, step_size=0.7)
    list(method.objectives(tiny.batch("source", domains=3)))
    first, second, absent = method.weights
    assert first + second + absent == 1
    assert absent < min(first, second)  # the others had a risk
    assert method.weights.isfinite().all()


def test_the_weights_survive_a_checkpoint(tiny: Any) -> None:
    method = tiny.method(GroupDRO, domains=3, step_size=0.7)
    list(method.objectives(tiny.batch("source", domains=3)))
    other = tiny.method(GroupDRO, domains=3, step_size=0.7)
    other.load_state_dict(method.state_dict())
    assert torch.equal(other.weights, method.weights)
    assert not torch.equal(other.weights, torch.full_like(other.weights, 0.5))
