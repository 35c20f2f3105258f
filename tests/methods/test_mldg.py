from copy import deepcopy
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.methods.mldg import MLDG

KEYS: dict[str, Any] = {"weight": 0.7, "inner_rate": 0.5, "second_order": True}


def total_of(method: Any, batch: Any, held_out: int) -> float:
    """F + w G by a loop: a copy of the network takes the inner step in place."""
    source, network = batch["source"], deepcopy(method.network)
    trained, tested = (source.domain != held_out, source.domain == held_out)
    network.zero_grad()
    risk = cross_entropy(network(source.x[trained])[1], source.y[trained])
    risk.backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for weight in network.parameters():
            weight -= 0.5 * weight.grad
        after = cross_entropy(network(source.x[tested])[1], source.y[tested])
    return float(risk.detach() + 0.7 * after)


def held_out_of(method: Any, batch: Any) -> int:
    """The source that the first draw of the generator holds out."""
    method.generator.manual_seed(0)
    _, tested = method.split(batch["source"])
    method.generator.manual_seed(0)
    (number,) = tested.domain.unique().tolist()
    return int(number)


def test_the_loss_and_its_gradient_are_those_of_a_loop_by_hand(tiny: Any, gradient: Any) -> None:
    method, batch = tiny.method(MLDG, domains=4, **KEYS), tiny.batch("source", domains=4)
    held_out = held_out_of(method, batch)
    (objective,) = method.objectives(batch)
    assert objective.total.item() == pytest.approx(total_of(method, batch, held_out), rel=1e-12)
    # the second order is in it: finite differences of the whole loss
    step = 1e-6
    for weight, slopes in zip(
        method.network.parameters(), gradient(objective.total, method.network), strict=True
    ):
        flat = weight.data.view(-1)
        for place in range(0, len(flat), 3):
            sides = []
            for side in (1, -1):
                flat[place] += side * step
                sides.append(total_of(method, batch, held_out))
                flat[place] -= side * step
            expected = (sides[0] - sides[1]) / (2 * step)
            assert slopes.view(-1)[place].item() == pytest.approx(expected, abs=1e-7)


def test_of_the_first_order_the_inner_step_is_a_constant(tiny: Any, gradient: Any) -> None:
    first = tiny.method(MLDG, domains=4, **(KEYS | {"second_order": False}))
    batch = tiny.batch("source", domains=4)
    held_out = held_out_of(first, batch)
    (objective,) = first.objectives(batch)
    source, moved = batch["source"], deepcopy(first.network)
    trained, tested = (source.domain != held_out, source.domain == held_out)
    risk = cross_entropy(first.network(source.x[trained])[1], source.y[trained])
    slopes = gradient(risk, first.network)
    with torch.no_grad():
        for weight, slope in zip(moved.parameters(), slopes, strict=True):
            weight -= 0.5 * slope
    after = cross_entropy(moved(source.x[tested])[1], source.y[tested])
    expected = [f + 0.7 * g for f, g in zip(slopes, gradient(after, moved), strict=True)]
    assert_close(gradient(objective.total, first.network), expected)
    second = tiny.method(MLDG, domains=4, **KEYS)
    second.generator.manual_seed(0)
    (other,) = second.objectives(batch)
    assert_close(other.total, objective.total)
    pairs = zip(gradient(other.total, second.network), expected, strict=True)
    assert any((a - b).abs().max() > 1e-4 for a, b in pairs)


def test_every_source_is_held_out_in_some_step(tiny: Any) -> None:
    method, batch = tiny.method(MLDG, domains=4, **KEYS), tiny.batch("source", domains=4)
    held = set()
    for seed in range(30):
        method.generator.manual_seed(seed)
        trained, tested = method.split(batch["source"])
        assert len(trained.x) + len(tested.x) == 7
        assert set(trained.domain.tolist()) == {0, 1, 2} - set(tested.domain.tolist())
        held |= set(tested.domain.tolist())
    assert held == {0, 1, 2}
