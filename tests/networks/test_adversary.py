import pytest
import torch
from torch import nn

from da_framework.networks.adversary import Discriminator, reverse_gradient


@pytest.mark.parametrize("coefficient", [0.0, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("shape", [(3,), (4, 2), (2, 3, 5)])
def test_gradient_is_the_identity_s_times_minus_the_coefficient(
    coefficient: float, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape, requires_grad=True)
    upstream = torch.randn(shape)
    (identity,) = torch.autograd.grad(x.view_as(x), x, upstream)
    (reversed_,) = torch.autograd.grad(reverse_gradient(x, coefficient), x, upstream)
    assert torch.equal(reversed_, -coefficient * identity)


def test_reversal_is_the_identity_forward() -> None:
    x = torch.randn(4, 3)
    assert torch.equal(reverse_gradient(x, 0.7), x)


def test_what_lies_behind_the_reversal_learns_at_full_rate() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(3, 1), torch.randn(4, 3)
    plain = torch.autograd.grad(layer(x).square().sum(), layer.weight)
    behind = torch.autograd.grad(layer(reverse_gradient(x, 0.1)).square().sum(), layer.weight)
    assert torch.equal(behind[0], plain[0])


@pytest.mark.parametrize("hidden", [[], [7], [100, 50]])
@pytest.mark.parametrize("rows", [1, 6])
def test_discriminator_gives_one_logit_a_row(hidden: list[int], rows: int) -> None:
    assert Discriminator(5, hidden)(torch.randn(rows, 5)).shape == (rows,)


def test_discriminator_has_the_widths_it_is_given() -> None:
    shapes = [tuple(weight.shape) for weight in Discriminator(5, [7, 3]).parameters()]
    assert shapes == [(7, 5), (7,), (3, 7), (3,), (1, 3), (1,)]


def test_discriminator_ends_in_a_logit_without_a_squash() -> None:
    discriminator = Discriminator(2, [])
    (layer,) = [part for part in discriminator.modules() if isinstance(part, nn.Linear)]
    nn.init.constant_(layer.weight, 10.0)
    nn.init.zeros_(layer.bias)
    assert discriminator(torch.tensor([[3.0, 4.0], [-3.0, -4.0]])).tolist() == [70.0, -70.0]
