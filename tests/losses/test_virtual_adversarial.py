import math
from functools import partial

import pytest
import torch
from scipy.linalg import eigh
from scipy.stats import entropy as reference
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.testing import assert_close

from da_framework.losses.virtual_adversarial import unit, virtual_adversarial


def rows(n: int, d: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, dtype=torch.float64, generator=generator)


def divergence(p: Tensor, q: Tensor) -> float:
    return float(reference(p.detach().numpy(), q.detach().numpy()))


@pytest.mark.parametrize("radius", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("place", [-1.0, 0.0, 0.7])
def test_on_a_line_it_is_the_divergence_one_radius_away(place: float, radius: float) -> None:
    # two classes with logits 0 and z: a divergence of Bernoullis
    x = torch.tensor([[place]], dtype=torch.float64)
    actual = virtual_adversarial(
        lambda z: torch.cat([0 * z, z], 1), x, noise=torch.ones_like(x), radius=radius
    )

    def bernoulli(z: float) -> Tensor:
        sigmoid = 1 / (1 + math.exp(-z))
        return torch.tensor([1 - sigmoid, sigmoid], dtype=torch.float64)

    expected = divergence(bernoulli(place), bernoulli(place + radius))
    assert actual.item() == pytest.approx(expected, abs=1e-12)


def test_power_iterations_find_the_direction_that_changes_the_prediction_most() -> None:
    weight, x = rows(3, 5, seed=2), rows(1, 5)
    p = (x @ weight.T).softmax(1)[0]
    # of softmax(W x) the divergence is half the form of W' (diag p - p p') W, at small radius
    fisher = weight.T @ (p.diag() - p.outer(p)) @ weight
    largest = eigh(fisher.numpy(), eigvals_only=True)[-1]
    radius, noise = 1e-3, rows(1, 5, seed=1)
    predict = partial(nn.functional.linear, weight=weight)
    values = [
        virtual_adversarial(predict, x, noise=noise, radius=radius, iterations=n).item()
        for n in (1, 2, 40)
    ]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(radius**2 * largest / 2, rel=1e-3)
    first = fisher @ (fisher @ noise[0] / (fisher @ noise[0]).norm())
    expected = (noise[0] @ fisher @ first) / (fisher @ noise[0]).norm() * radius**2 / 2
    assert values[0] == pytest.approx(expected.item(), rel=1e-3)


def test_each_row_is_perturbed_by_itself() -> None:
    weight, x, noise = rows(3, 4, seed=2), rows(5, 4), rows(5, 4, seed=1)
    of = partial(virtual_adversarial, partial(nn.functional.linear, weight=weight), radius=0.5)
    alone = [of(x[i : i + 1], noise=noise[i : i + 1]) for i in range(5)]
    assert_close(of(x, noise=noise), torch.stack(alone).mean())


def test_what_cannot_be_moved_costs_nothing() -> None:
    x = rows(4, 2)
    constant = virtual_adversarial(lambda z: 0 * z, x, noise=rows(4, 2, seed=1), radius=1.0)
    assert constant == 0
    still = virtual_adversarial(lambda z: z, x, noise=rows(4, 2, seed=1), radius=0.0)
    assert still.item() == pytest.approx(0, abs=1e-15)


def test_images_are_perturbed_by_the_length_of_all_their_numbers() -> None:
    seen: list[Tensor] = []

    def predict(images: Tensor) -> Tensor:
        seen.append(images)
        return images.flatten(1)[:, :3]

    x = rows(4, 12).view(4, 3, 2, 2)
    virtual_adversarial(predict, x, noise=rows(4, 12, seed=1).view_as(x), radius=0.7)
    assert_close((seen[-1] - x).flatten(1).norm(dim=1), torch.full((4,), 0.7).double())


def test_gradient_is_that_of_the_perturbed_prediction_alone() -> None:
    weight = rows(3, 4, seed=2).requires_grad_()
    x, noise, fixed = rows(5, 4), rows(5, 4, seed=1), weight.detach().clone()
    seen: list[Tensor] = []

    def predict(inputs: Tensor) -> Tensor:
        seen.append(inputs.detach())
        return inputs @ weight.T

    value = virtual_adversarial(predict, x, noise=noise, radius=0.5)
    (derived,) = torch.autograd.grad(value, weight)

    def by_hand(perturbed: Tensor) -> Tensor:
        p, q = (x @ fixed.T).softmax(1), (seen[-1] @ perturbed.T).softmax(1)
        return (p * (p.log() - q.log())).sum(1).mean()

    assert_close(by_hand(weight), value)
    assert_close(derived, torch.autograd.grad(by_hand(weight), weight)[0])
    assert gradcheck(by_hand, (weight,))


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_unit_rows_have_length_one_whatever_their_scale(scale: float) -> None:
    x = rows(4, 6).float()
    assert_close(unit(scale * x), nn.functional.normalize(x, dim=1))
    assert torch.equal(unit(torch.zeros(2, 3)), torch.zeros(2, 3))


def test_single_precision_and_half_elsewhere_find_the_same() -> None:
    weight, x, noise = rows(3, 4, seed=2), rows(5, 4), rows(5, 4, seed=1)
    exact = virtual_adversarial(lambda z: z @ weight.T, x, noise=noise, radius=0.5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = virtual_adversarial(
            lambda z: z @ weight.float().T, x.float(), noise=noise.float(), radius=0.5
        )
    assert_close(actual.double(), exact, rtol=2e-3, atol=0)
