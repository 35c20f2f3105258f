import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.testing import assert_close

from da_framework.losses.feature_norm import hard_norm, stepwise_norm

FEATURES = torch.tensor([[3.0, 4.0], [0.0, 1.0], [-6.0, 8.0]], dtype=torch.float64)


def gradient(value: Tensor, x: Tensor) -> Tensor:
    return torch.autograd.grad(value, x)[0]


@pytest.mark.parametrize("step", [0.3, 1.0, 2.0])
def test_a_step_costs_its_square_wherever_the_features_are(step: float) -> None:
    for scale in (0.1, 1.0, 50.0):
        assert stepwise_norm(scale * FEATURES, step=step).item() == pytest.approx(step**2)


@pytest.mark.parametrize("step", [0.3, 1.0])
def test_every_row_is_drawn_outwards_at_the_same_rate(step: float) -> None:
    features = FEATURES.clone().requires_grad_()
    directions = torch.tensor([[0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]], dtype=torch.float64)
    actual = gradient(stepwise_norm(features, step=step), features)
    assert_close(actual, -2 * step * directions / 3)


def test_the_gradient_is_that_of_a_constant_aim() -> None:
    features = FEATURES.clone().requires_grad_()
    aim = torch.tensor([5.0, 1.0, 10.0], dtype=torch.float64) + 0.5

    def towards(x: Tensor) -> Tensor:
        return (x.square().sum(1).sqrt() - aim).square().mean()

    assert gradcheck(towards, features)
    actual = gradient(stepwise_norm(features, step=0.5), features)
    assert_close(actual, gradient(towards(features), features))


@pytest.mark.parametrize("radius", [2.0, 16 / 3, 25.0])
def test_the_hard_norm_is_the_mean_s_distance_from_the_radius(radius: float) -> None:
    assert hard_norm(FEATURES, radius=radius).item() == pytest.approx((16 / 3 - radius) ** 2)
    assert gradcheck(lambda x: hard_norm(x, radius=radius), FEATURES.clone().requires_grad_())


def test_order_and_direction_do_not_matter() -> None:
    turned = FEATURES.flip(0).flip(1) * torch.tensor([1.0, -1.0])
    assert_close(hard_norm(turned, radius=2.0), hard_norm(FEATURES, radius=2.0))


def test_a_row_of_zeros_has_no_direction_and_no_gradient() -> None:
    features = torch.zeros(2, 3, requires_grad=True)
    for value in (stepwise_norm(features, step=1.0), hard_norm(features, radius=1.0)):
        assert torch.equal(gradient(value, features), torch.zeros(2, 3))
