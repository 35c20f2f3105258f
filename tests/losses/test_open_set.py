import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn.functional import binary_cross_entropy
from torch.testing import assert_close

from da_framework.losses.open_set import unknown_boundary


def logits(rows: int, k: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rows)
    return torch.randn(rows, k, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("boundary", [0.0, 0.3, 0.5, 1.0])
def test_is_the_binary_cross_entropy_of_the_last_class(boundary: float) -> None:
    given = logits(6, 4)
    p = given.softmax(1)[:, -1]
    expected = binary_cross_entropy(p, torch.full_like(p, boundary))
    assert_close(unknown_boundary(given, boundary=boundary), expected)


def test_on_the_border_it_is_log_2_and_least() -> None:
    border = torch.tensor([[0.0, 0.0, math.log(2)]], dtype=torch.float64)
    least = unknown_boundary(border, boundary=0.5)
    assert least.item() == pytest.approx(math.log(2))
    for step in (-1.0, 1.0):
        moved = border + torch.tensor([0.0, 0.0, step])
        assert unknown_boundary(moved, boundary=0.5) > least


def test_is_finite_where_probabilities_are_0_or_1() -> None:
    sure = torch.tensor([[1e4, 0.0, -1e4], [-1e4, 0.0, 1e4]], dtype=torch.float64)
    assert unknown_boundary(sure, boundary=0.5).isfinite()


def test_gradient() -> None:
    assert gradcheck(lambda z: unknown_boundary(z, boundary=0.3), logits(5, 3).requires_grad_())
