from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from da_framework.losses.virtual_adversarial import divergence, unit, virtual_adversarial

KEYS: dict[str, Any] = {"radius": 0.5, "step": 1e-3, "iterations": 1}


def rows(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_divergence_is_that_of_torch_s_distributions() -> None:
    p, q = rows(0, 5, 3), rows(1, 5, 3)
    kinds = [torch.distributions.Categorical(logits=z) for z in (p, q)]
    expected = torch.distributions.kl_divergence(*kinds).mean()
    assert_close(divergence(p.log_softmax(1), q), expected)
    assert divergence(p.log_softmax(1), p).item() == pytest.approx(0, abs=1e-15)


def test_the_direction_of_a_linear_binary_model_is_its_weight() -> None:
    w = torch.tensor([3.0, 4.0], dtype=torch.float64)

    def predict(x: Tensor) -> Tensor:
        return torch.stack([x @ w, torch.zeros(len(x), dtype=x.dtype)], 1)

    x, noise = rows(0, 4, 2), rows(1, 4, 2)
    found = virtual_adversarial(predict, x, predict(x), noise=noise, **KEYS)
    log_p = predict(x).log_softmax(1)
    either = [
        divergence(log_p[[i]], predict(x[[i]] + sign * 0.1 * w))
        for i in range(4)
        for sign in (1, -1)
    ]
    # radius .5 along w, of length 5: the way the noise leans
    leans = [0 if noise[i] @ w > 0 else 1 for i in range(4)]
    expected = torch.stack([either[2 * i + lean] for i, lean in enumerate(leans)]).mean()
    assert_close(found, expected, rtol=1e-4, atol=1e-9)


def test_it_is_worse_than_a_random_direction() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x = rows(0, 6, 3)
    worst = virtual_adversarial(net, x, net(x), noise=rows(1, 6, 3), **KEYS)
    for seed in range(5):
        other = divergence(net(x).log_softmax(1), net(x + 0.5 * unit(rows(9 + seed, 6, 3))))
        assert worst > other


def test_the_model_learns_from_the_step_alone() -> None:
    net = nn.Linear(3, 3).double()
    x = rows(0, 4, 3)
    logits = net(x)
    value = virtual_adversarial(net, x, logits, noise=rows(1, 4, 3), **KEYS)
    weights, none = torch.autograd.grad(value, (net.weight, logits), allow_unused=True)
    assert weights.any()
    assert none is None


def test_a_constant_model_has_nothing_to_lose() -> None:
    net = nn.Linear(3, 3).double()
    nn.init.zeros_(net.weight)
    value = virtual_adversarial(net, rows(0, 4, 3), net(rows(0, 4, 3)), noise=rows(1, 4, 3), **KEYS)
    assert value.item() == 0


def test_images_are_moved_as_a_whole() -> None:
    x = rows(0, 2, 1, 4, 4)
    assert_close(unit(x).flatten(1).norm(dim=1), torch.ones(2, dtype=torch.float64))
    assert unit(torch.zeros(2, 3)).abs().sum() == 0
