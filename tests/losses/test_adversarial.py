import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.testing import assert_close

from da_framework.losses.adversarial import domain_adversarial, domain_cross_entropy

LOGITS = torch.tensor([1.3, -0.4, 0.2, 2.0, -1.1], dtype=torch.float64)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 3), (2, 7)])
def test_a_blind_discriminator_costs_log_2(n: int, m: int) -> None:
    value = domain_adversarial(torch.zeros(n + m).double(), n=n)
    assert_close(value, torch.tensor(math.log(2)).double(), rtol=1e-7, atol=0)


def test_a_perfect_discriminator_costs_nothing_and_an_inverted_one_its_logits() -> None:
    logits = torch.tensor([50.0, 60.0, -70.0]).double()
    assert domain_adversarial(logits, n=2) < 1e-12
    assert domain_adversarial(-logits, n=2).item() == pytest.approx((55 + 70) / 2)


def test_equals_the_formula() -> None:
    def sigmoid(logit: float) -> float:
        return 1 / (1 + math.exp(-logit))

    source = [-math.log(sigmoid(logit)) for logit in LOGITS[:2].tolist()]
    target = [-math.log(1 - sigmoid(logit)) for logit in LOGITS[2:].tolist()]
    expected = sum(source) / (2 * 2) + sum(target) / (2 * 3)
    assert domain_adversarial(LOGITS, n=2).item() == pytest.approx(expected, abs=1e-12)


def test_domains_weigh_alike_whatever_their_sizes() -> None:
    source, target = LOGITS[:2], LOGITS[2:]
    expected = domain_adversarial(LOGITS, n=2)
    assert_close(domain_adversarial(torch.cat([source, target, target, target]), n=2), expected)
    assert_close(domain_adversarial(torch.cat([source, source, target]), n=4), expected)


def test_equals_binary_cross_entropy_at_equal_sizes() -> None:
    logits, labels = LOGITS[:4], torch.tensor([1.0, 1.0, 0.0, 0.0]).double()
    expected = binary_cross_entropy_with_logits(logits, labels)
    assert_close(domain_adversarial(logits, n=2), expected)


def test_gradient() -> None:
    assert gradcheck(
        lambda logits: domain_adversarial(logits, n=2), LOGITS.clone().requires_grad_()
    )


def test_weights_are_factors_within_a_domain_s_mean() -> None:
    logits = torch.randn(5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights = torch.tensor([2.0, 0.0, 1.0, 3.0, 0.5], dtype=torch.float64)
    costs = [math.log1p(math.exp(-z if i < 3 else z)) for i, z in enumerate(logits.tolist())]
    weighted = [w * cost for w, cost in zip(weights.tolist(), costs, strict=True)]
    expected = (sum(weighted[:3]) / 3 + sum(weighted[3:]) / 2) / 2
    actual = domain_adversarial(logits, n=3, weights=weights)
    assert actual.item() == pytest.approx(expected)
    unweighted = domain_adversarial(logits, n=3, weights=torch.ones_like(weights))
    assert_close(unweighted, domain_adversarial(logits, n=3))


def test_of_several_domains_each_weighs_the_same_and_two_are_the_binary_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(9, 3, dtype=torch.float64, generator=generator)
    domain = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2, 2])
    log_p = logits.log_softmax(1)
    each = [-log_p[domain == number, number].mean() for number in range(3)]
    assert_close(domain_cross_entropy(logits, domain), sum(each) / 3)
    binary = domain_adversarial(logits[:7, 0] - logits[:7, 1], n=5)
    assert_close(domain_cross_entropy(logits[:7, :2], domain[:7]), binary)
    weights = torch.rand(9, dtype=torch.float64, generator=generator)
    mean = sum(
        -(weights * log_p[:, n])[domain == n].sum() / weights[domain == n].sum() for n in range(3)
    )
    assert_close(domain_cross_entropy(logits, domain, weights=weights), mean / 3)
