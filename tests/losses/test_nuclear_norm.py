import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.testing import assert_close

from da_framework.losses.nuclear_norm import negative_nuclear_norm

SHAPES = [(6, 4), (3, 5), (1, 2), (4, 4)]


def logits(rows: int, classes: int) -> Tensor:
    generator = torch.Generator().manual_seed(rows)
    return torch.randn(rows, classes, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize(("rows", "classes"), SHAPES)
def test_is_numpy_s_by_rows(rows: int, classes: int) -> None:
    given = logits(rows, classes)
    expected = np.linalg.norm(given.softmax(1).numpy(), "nuc") / rows
    assert negative_nuclear_norm(given).item() == pytest.approx(-expected)


@pytest.mark.parametrize("counts", [[1, 1, 1], [4, 4, 4], [5, 2, 1], [8, 0, 0]])
def test_certain_predictions_cost_the_roots_of_how_many_each_class_gets(counts: list[int]) -> None:
    labels = torch.arange(3).repeat_interleave(torch.tensor(counts))
    value = negative_nuclear_norm(1e3 * torch.eye(3, dtype=torch.float64)[labels])
    assert value.item() == pytest.approx(-sum(map(math.sqrt, counts)) / sum(counts))


@pytest.mark.parametrize(("rows", "classes"), SHAPES)
def test_undecided_predictions_cost_the_most(rows: int, classes: int) -> None:
    most = -1 / math.sqrt(rows * classes)
    undecided = torch.zeros(rows, classes, dtype=torch.float64)
    assert negative_nuclear_norm(undecided).item() == pytest.approx(most)
    least = -math.sqrt(min(rows, classes) / rows)
    for scale in (0.1, 1.0, 10.0, 1e3):
        assert least - 1e-12 <= negative_nuclear_norm(scale * logits(rows, classes)).item() < most


def test_ignores_the_order_of_rows_and_of_classes() -> None:
    given = logits(6, 4)
    value = negative_nuclear_norm(given)
    assert_close(negative_nuclear_norm(given.flip(0)), value)
    assert_close(negative_nuclear_norm(given.flip(1)), value)


def test_half_precision_is_decomposed_in_single() -> None:
    given = logits(6, 4).bfloat16()
    value = negative_nuclear_norm(given)
    assert value.dtype == torch.float32
    assert_close(value.double(), negative_nuclear_norm(given.double()), rtol=1e-2, atol=0)


@pytest.mark.parametrize("rows", [[0.0, 0.0, 0.0], [1e3, 0.0, 0.0]])
def test_rows_predicted_alike_have_a_finite_gradient(rows: list[float]) -> None:
    given = torch.tensor(rows).repeat(4, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(negative_nuclear_norm(given), given)
    assert gradient.isfinite().all()


@pytest.mark.parametrize(("rows", "classes"), SHAPES)
def test_gradient(rows: int, classes: int) -> None:
    assert gradcheck(negative_nuclear_norm, logits(rows, classes).requires_grad_())
