from copy import deepcopy
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.methods.wdgrl import WDGRL

KEYS: dict[str, Any] = {"hidden": [6], "weight": 0.7, "critic_steps": 3, "penalty": 2.0}


def move(module: torch.nn.Module, loss: Any) -> None:
    weights = list(module.parameters())
    derived = torch.autograd.grad(loss, weights, allow_unused=True)
    with torch.no_grad():
        for weight, slope in zip(weights, derived, strict=True):
            if slope is not None:
                weight.sub_(0.1 * slope)


def test_it_is_a_loop_written_by_hand(tiny: Any) -> None:
    method = tiny.method(WDGRL, network=tiny.network(norm=True), **KEYS)
    network, critic = deepcopy(method.network), deepcopy(method.critic)
    batches = [tiny.batch(seed=step) for step in range(3)]
    tiny.train(method, batches)
    for step, batch in enumerate(batches):
        draws = torch.Generator().manual_seed(step)
        features, logits = network(torch.cat([batch["source"].x, batch["target"].x]))
        fixed = features.detach()
        for _ in range(3):
            share = torch.rand(5, 1, generator=draws).double()
            inner = share * fixed[:5] + (1 - share) * fixed[7:]
            points = torch.cat([fixed, inner]).requires_grad_()
            (slope,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
            penalty = ((slope.norm(dim=1) - 1) ** 2).mean()
            gap = critic(fixed[:7]).mean() - critic(fixed[7:]).mean()
            move(critic, 2 * penalty - gap)
        gap = critic(features[:7]).mean() - critic(features[7:]).mean()
        move(network, cross_entropy(logits[:7], batch["source"].y) + 0.7 * gap)
    assert_close(dict(method.network.state_dict()), dict(network.state_dict()))
    assert_close(dict(method.critic.state_dict()), dict(critic.state_dict()))


def test_each_part_moves_in_its_own_moves(tiny: Any) -> None:
    method = tiny.method(WDGRL, **KEYS)
    moves = list(method.objectives(tiny.batch("source", "target", "target_labelled")))
    assert [move.updates for move in moves] == [("critic",)] * 3 + [("model",)]
    assert list(moves[-1].terms) == ["source", "target_labelled", "wasserstein"]
    for move in moves[:3]:
        derived = torch.autograd.grad(
            move.total, list(method.network.parameters()), allow_unused=True, retain_graph=True
        )
        assert all(one is None for one in derived)


def test_a_constant_critic_sees_no_distance_and_is_too_flat(tiny: Any) -> None:
    method = tiny.method(WDGRL, **KEYS)
    for parameter in method.critic.parameters():
        torch.nn.init.zeros_(parameter)
    first = next(iter(method.objectives(tiny.batch())))
    assert first.terms["critic"].value.item() == 0
    assert first.terms["slope"].value.item() == 1
    assert (first.terms["critic"].weight, first.terms["slope"].weight) == (-1.0, 2.0)
