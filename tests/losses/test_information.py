import math

import pytest
import torch
from scipy.stats import entropy as relative_entropy
from torch import Tensor
from torch.autograd import gradcheck
from torch.testing import assert_close

from da_framework.losses.information import negative_mutual_information


def logits(rows: int, classes: int) -> Tensor:
    generator = torch.Generator().manual_seed(rows)
    return torch.randn(rows, classes, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize(("rows", "classes"), [(6, 4), (3, 5), (1, 2)])
def test_is_that_of_the_joint_distribution_of_row_and_class(rows: int, classes: int) -> None:
    given = logits(rows, classes)
    joint = given.softmax(1).numpy() / rows
    independent = joint.sum(1, keepdims=True) * joint.sum(0)
    expected = relative_entropy(joint.ravel(), independent.ravel())
    assert negative_mutual_information(given).item() == pytest.approx(-expected, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_certain_and_balanced_is_the_least(classes: int) -> None:
    sure = 1e3 * torch.eye(classes, dtype=torch.float64).repeat(3, 1)
    assert negative_mutual_information(sure).item() == pytest.approx(-math.log(classes))


@pytest.mark.parametrize("row", [[0.0, 0.0, 0.0], [1e3, 0.0, 0.0], [0.5, -1.0, 2.0]])
def test_rows_predicted_alike_tell_nothing(row: list[float]) -> None:
    alike = torch.tensor(row, dtype=torch.float64).repeat(5, 1)
    assert negative_mutual_information(alike).item() == pytest.approx(0, abs=1e-12)


def test_ignores_order_repetition_and_what_is_added_to_a_row() -> None:
    given = logits(6, 4)
    value = negative_mutual_information(given)
    assert_close(negative_mutual_information(given.flip(0)), value)
    assert_close(negative_mutual_information(given.flip(1)), value)
    assert_close(negative_mutual_information(given.repeat(3, 1)), value)
    assert_close(negative_mutual_information(given + logits(6, 1)), value)


def test_a_class_left_out_has_a_finite_gradient() -> None:
    given = torch.tensor([[900.0, 0.0, 0.0], [0.0, 900.0, 0.0]], requires_grad=True)
    value = negative_mutual_information(given)
    assert value.item() == pytest.approx(-math.log(2))
    (gradient,) = torch.autograd.grad(value, given)
    assert gradient.isfinite().all()


@pytest.mark.parametrize(("rows", "classes"), [(5, 3), (2, 4)])
def test_gradient(rows: int, classes: int) -> None:
    assert gradcheck(negative_mutual_information, logits(rows, classes).requires_grad_())
