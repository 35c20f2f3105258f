from itertools import combinations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.testing import assert_close

from da_framework.losses.moments import moment_distance

DOMAIN = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2])


def rows() -> Tensor:
    return torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("orders", [1, 2, 3])
def test_is_the_paper_s_sum(orders: int) -> None:
    features, expected = rows(), torch.zeros((), dtype=torch.float64)
    for order in range(1, orders + 1):
        means = [(features[number == DOMAIN] ** order).mean(0) for number in range(3)]
        expected += sum((means[i] - means[2]).norm() for i in range(2)) / 2
        pairs = list(combinations(range(2), 2))
        expected += sum((means[i] - means[j]).norm() for i, j in pairs) / len(pairs)
    assert_close(moment_distance(features, DOMAIN, sources=2, orders=orders), expected)


def test_points_at_known_places() -> None:
    features = torch.tensor([[0.0], [2.0], [3.0]]).double()
    actual = moment_distance(features, torch.tensor([0, 1, 2]), sources=2, orders=2)
    assert actual.item() == (3 + 1) / 2 + 2 + (9 + 5) / 2 + 4


def test_one_source_has_no_pairs_and_several_targets_are_one() -> None:
    features = torch.tensor([[0.0], [1.0], [3.0]]).double()
    actual = moment_distance(features, torch.tensor([0, 1, 2]), sources=1, orders=1)
    assert actual.item() == 2


def test_equal_moments_are_no_distance_and_have_a_finite_gradient() -> None:
    features = torch.ones(9, 3, dtype=torch.float64, requires_grad=True)
    value = moment_distance(features, DOMAIN, sources=2, orders=2)
    assert value.item() == pytest.approx(0, abs=1e-12)
    (gradient,) = torch.autograd.grad(value, features)
    assert gradient.isfinite().all()


def test_gradient() -> None:
    assert gradcheck(
        lambda z: moment_distance(z, DOMAIN, sources=2, orders=2), rows().requires_grad_()
    )
