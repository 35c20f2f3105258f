import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.testing import assert_close

from da_framework.losses.wasserstein import critic_gap, gradient_penalty


def rows(n: int, seed: int, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, dtype=torch.float64, generator=generator) + shift


def test_for_a_pure_shift_the_steepest_linear_critic_finds_the_distance() -> None:
    source, target = torch.tensor([0.0, 1.0, 5.0]), torch.tensor([-2.0, -1.0, 3.0])
    expected = wasserstein_distance(source.numpy(), target.numpy())
    assert critic_gap(source, target).item() == pytest.approx(expected)


def test_the_gap_is_of_means_whatever_the_numbers_of_rows() -> None:
    assert critic_gap(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0, 5.0])).item() == 0


@pytest.mark.parametrize("slope", [0.0, 1.0, 3.0])
def test_a_linear_critic_is_as_steep_as_its_weights(slope: float) -> None:
    direction = torch.tensor([0.6, 0.8, 0.0], dtype=torch.float64)
    value = gradient_penalty(lambda x: x @ (slope * direction), rows(4, 0))
    assert value.item() == pytest.approx((slope - 1) ** 2)


def test_a_curved_critic_s_slope_depends_on_the_point() -> None:
    points = rows(5, 0)
    value = gradient_penalty(lambda x: x.square().sum(1) / 2, points)
    assert_close(value, (points.norm(dim=1) - 1).square().mean())


def test_the_critic_learns_from_it_and_the_points_do_not() -> None:
    critic = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    points = rows(5, 0).requires_grad_()
    gradient_penalty(lambda x: critic(x).squeeze(1), points).backward()  # type: ignore[no-untyped-call]
    assert points.grad is None
    assert all(p.grad is not None for p in list(critic.parameters())[:-1])


def test_gradient_in_the_critic_s_weights() -> None:
    points = rows(4, 0)
    weight = rows(2, 1).requires_grad_()
    assert gradcheck(lambda w: gradient_penalty(lambda x: (x @ w.T).tanh().sum(1), points), weight)
