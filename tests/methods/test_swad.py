from copy import deepcopy
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from da_framework.methods.swad import SWAD

KEYS: dict[str, Any] = {"patience": 2, "tolerance": 1.5}


@pytest.fixture
def follow(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Takes steps with a held-out loss after each; the weights after every step."""

    def run(losses: list[float], **keys: Any) -> tuple[Any, list[Any]]:
        method = tiny.method(SWAD, **(KEYS | keys))
        weights = []
        for step, loss in enumerate(losses):
            tiny.train(method, [tiny.batch("source", seed=step)])
            weights.append(deepcopy(list(method.network.parameters())))
            monkeypatch.setattr(method, "held_out_loss", lambda _, own=loss: torch.tensor(own))
            method.evaluated(method.outputs(tiny.batch("source")))
        return method, weights

    return run


def test_the_mean_is_that_of_the_steps_in_the_valley_by_hand(follow: Any, tiny: Any) -> None:
    # flat at the fifth: from the sixth step on, up to the one before which the loss has risen
    losses = [3.0, 2.0, 1.0, 1.1, 1.2, 1.0, 1.3, 1.7, 0.9, 0.9]
    method, weights = follow(losses)
    assert method.ceiling.item() == pytest.approx(1.5 * 1.1)
    assert method.mean.count.item() == 3
    means = [torch.stack(own).mean(0) for own in zip(*weights[5:8], strict=True)]
    assert_close(list(method.mean.module.parameters()), means)
    x = tiny.batch("source")["source"].x
    expected = deepcopy(method.network)
    for weight, mean in zip(expected.parameters(), means, strict=True):
        weight.data.copy_(mean)
    assert_close(method.eval()(x)[1], expected(x)[1])
    assert not torch.equal(method(x)[1], method.network(x)[1])


def test_while_the_loss_falls_nothing_is_averaged(follow: Any, tiny: Any) -> None:
    method, _ = follow([3.0, 2.0, 2.5, 1.9, 1.8])
    assert method.mean.count.item() == 0
    x = tiny.batch("source")["source"].x
    assert torch.equal(method(x)[1], method.network(x)[1])


def test_training_is_that_of_the_network_alone(follow: Any, tiny: Any) -> None:
    from da_framework.methods.source_only import SourceOnly

    method, _ = follow([1.0] * 6)
    assert method.mean.count.item() == 3
    plain = tiny.train(
        tiny.method(SourceOnly), [tiny.batch("source", seed=step) for step in range(6)]
    )
    assert_close(
        list(method.network.parameters()), list(plain.network.parameters()), rtol=0, atol=0
    )


def test_the_held_out_loss_is_the_network_s_and_not_the_mean_s(tiny: Any) -> None:
    method, batch = tiny.method(SWAD, **KEYS), tiny.batch("source")
    method.mean.add(tiny.network(seed=5))
    source = method.outputs(batch)["source"]
    assert_close(method.held_out_loss(source), method.label_loss(source, "source"))
    other = source._replace(logits=method(source.x)[1])
    assert not torch.equal(method.held_out_loss(source), method.label_loss(other, "source"))
