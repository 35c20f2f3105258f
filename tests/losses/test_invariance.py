"""What differs between domains, held against closed forms, finite differences and loops."""

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.losses.invariance import (
    domain_means,
    fishr,
    gradient_variances,
    group_weights,
    irm_penalty,
    risk_variance,
)

N, K, D = 12, 3, 4


def draw(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features, logits, labels, and numbers of domains of which one is left out."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(N, D, dtype=torch.float64, generator=generator)
    logits = torch.randn(N, K, dtype=torch.float64, generator=generator)
    y = torch.randint(K, (N,), generator=generator)
    domain = torch.tensor([0, 4, 1, 0, 4, 4, 0, 1, 0, 4, 4, 4])
    return features, logits, y, domain


def test_the_means_are_those_of_each_domain_that_is_there() -> None:
    features, _, _, domain = draw()
    expected = torch.stack([features[domain == number].mean(0) for number in (0, 1, 4)])
    assert_close(domain_means(features, domain), expected)
    assert_close(domain_means(features[:, 0], domain), expected[:, 0])


def test_the_irm_penalty_is_the_squared_slope_in_a_scale_by_finite_differences() -> None:
    _, logits, y, domain = draw()
    step, slopes = 1e-5, []
    for number in (0, 1, 4):
        rows = domain == number
        up, down = (
            cross_entropy((1 + side * step) * logits[rows], y[rows]).item() for side in (1, -1)
        )
        slopes.append((up - down) / (2 * step))
    expected = sum(slope**2 for slope in slopes) / 3
    assert irm_penalty(logits, y, domain).item() == pytest.approx(expected, rel=1e-6)


def test_of_two_classes_the_irm_penalty_is_that_of_the_logistic_loss() -> None:
    _, logits, _, domain = draw()
    odds, y = logits[:, 0], (logits[:, 1] > 0).long()
    both = torch.stack([torch.zeros_like(odds), odds], dim=1) + logits[:, 2:]
    # what is added to both logits changes no probability
    slope = (odds.sigmoid() - y) * odds
    expected = domain_means(slope, domain).square().mean()
    assert_close(irm_penalty(both, y, domain), expected)


def test_the_irm_penalty_is_zero_at_the_best_scale_of_each_domain() -> None:
    # one of four is another class: the best logit is log 3, in any domain
    odds = torch.full((8,), math.log(3), dtype=torch.float64)
    logits = torch.stack([torch.zeros_like(odds), odds], dim=1)
    y, domain = torch.tensor([1, 1, 1, 0] * 2), torch.tensor([0] * 4 + [1] * 4)
    assert irm_penalty(logits, y, domain).item() == pytest.approx(0, abs=1e-20)
    assert irm_penalty(2 * logits, y, domain) > 0.01


def test_the_gradient_of_the_irm_penalty() -> None:
    _, logits, y, domain = draw()
    assert gradcheck(lambda z: irm_penalty(z, y, domain), logits.requires_grad_())


def test_equal_risks_have_no_variance_and_two_have_a_quarter_of_their_squared_difference() -> None:
    assert risk_variance(torch.full((4,), 0.7)).item() == 0
    assert risk_variance(torch.tensor([0.2, 1.2])).item() == pytest.approx(0.25)


def test_the_variances_are_those_of_each_sample_s_gradient() -> None:
    features, _, y, domain = draw()
    head = torch.nn.Linear(D, K).double()
    expected = []
    for number in (0, 1, 4):
        each = []
        for row in torch.nonzero(domain == number).flatten():
            loss = cross_entropy(head(features[row : row + 1]), y[row : row + 1])
            weight, bias = torch.autograd.grad(loss, [head.weight, head.bias])
            each.append(torch.cat([weight, bias[:, None]], dim=1).ravel())
        expected.append(torch.stack(each).var(0, correction=0))
    actual = gradient_variances(features, head(features), y, domain)
    assert_close(actual, torch.stack(expected))
    mean = sum(expected) / 3
    distance = sum((v - mean).square().sum() for v in expected) / 3
    assert_close(fishr(actual), distance)


def test_the_gradient_of_fishr() -> None:
    features, logits, y, domain = draw()
    assert gradcheck(
        lambda f, z: fishr(gradient_variances(f, z, y, domain)),
        (features.requires_grad_(), logits.requires_grad_()),
    )


def test_domains_whose_gradients_vary_alike_cost_nothing() -> None:
    features, logits, y, _ = draw()
    twice = [torch.cat([part, part]) for part in (features, logits, y)]
    domain = torch.arange(2).repeat_interleave(N)
    assert fishr(gradient_variances(twice[0], twice[1], twice[2], domain)).item() < 1e-30


def test_the_weights_after_several_looks_are_the_softmax_of_the_summed_risks() -> None:
    generator = torch.Generator().manual_seed(0)
    looks = torch.rand(5, 3, dtype=torch.float64, generator=generator)
    weights = torch.full((3,), 1 / 3, dtype=torch.float64)
    for risks in looks:
        weights = group_weights(weights, risks, step_size=0.7)
    assert_close(weights, (0.7 * looks.sum(0)).softmax(0))


def test_the_weights_of_a_risk_that_is_large_are_finite() -> None:
    weights = group_weights(torch.tensor([0.5, 0.5]), torch.tensor([1e4, 0.0]), step_size=1.0)
    assert weights.tolist() == [1.0, 0.0]
    again = group_weights(weights, torch.tensor([0.0, 0.0]), step_size=1.0)
    assert again.tolist() == [1.0, 0.0]
