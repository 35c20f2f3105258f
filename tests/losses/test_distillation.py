import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import cross_entropy, smooth_l1_loss
from torch.testing import assert_close

from da_framework.losses.distillation import angles, distillation, relative_distances


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_at_temperature_1_it_is_cross_entropy() -> None:
    z, p = normal(6, 4), normal(6, 4, seed=1).softmax(1)
    assert_close(distillation(z, probabilities=p, temperature=1.0), cross_entropy(z, p))


def test_blind_logits_cost_the_logarithm_of_the_classes() -> None:
    p = normal(6, 4).softmax(1)
    actual = distillation(torch.zeros(6, 4).double(), probabilities=p, temperature=3.0)
    assert_close(actual, torch.tensor(9 * math.log(4)).double())


def test_the_size_of_the_gradient_hardly_knows_the_temperature() -> None:
    """Hinton's limit: at a high temperature the gradient is that of the logits' difference."""
    z, t = normal(6, 4).requires_grad_(), normal(6, 4, seed=1)
    p = (t / 1000).softmax(1)
    (derived,) = torch.autograd.grad(distillation(z, probabilities=p, temperature=1000.0), z)
    gap = z - z.mean(1, keepdim=True) - (t - t.mean(1, keepdim=True))
    assert_close(derived, (gap / (4 * 6)).detach(), rtol=1e-2, atol=1e-4)


def test_relations_by_a_loop_written_by_hand() -> None:
    s, t = normal(5, 3), normal(5, 2, seed=1)
    pairs = [(i, j) for i in range(5) for j in range(i + 1, 5)]
    of_student, other = (torch.stack([torch.dist(z[i], z[j]) for i, j in pairs]) for z in (s, t))
    expected = smooth_l1_loss(of_student / of_student.mean(), other / other.mean())
    assert_close(relative_distances(s, t), expected)

    def cosine(z: Tensor, i: int, j: int, k: int) -> Tensor:
        a, b = z[i] - z[j], z[k] - z[j]
        size = torch.linalg.vector_norm(a) * torch.linalg.vector_norm(b)
        cosine: Tensor = torch.dot(a, b) / size if size > 0 else size
        return cosine

    every = [(i, j, k) for j in range(5) for i in range(5) for k in range(5)]
    of_student, other = (torch.stack([cosine(z, *three) for three in every]) for z in (s, t))
    assert_close(angles(s, t), smooth_l1_loss(of_student, other))


@pytest.mark.parametrize("loss", [relative_distances, angles])
def test_relations_ignore_place_and_scale_and_turning(loss: object) -> None:
    assert callable(loss)
    z = normal(6, 3)
    turn, _ = torch.linalg.qr(normal(3, 3, seed=2))
    assert_close(loss(z, 7 * z @ turn + 3), torch.zeros(()).double())
    assert loss(z, normal(6, 3, seed=1)) > 0.01


def test_gradients() -> None:
    z, t = normal(4, 3).requires_grad_(), normal(4, 2, seed=1)
    p = normal(4, 3, seed=3).softmax(1)
    assert gradcheck(lambda z: distillation(z, probabilities=p, temperature=2.0), (z,))
    assert gradcheck(lambda z: angles(z, t), (z,))


def test_equal_rows_have_a_finite_gradient() -> None:
    z = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    (relative_distances(z, normal(4, 2)) + angles(z, normal(4, 2))).backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    assert z.grad.isfinite().all()
