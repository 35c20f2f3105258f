import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.losses.pseudo_label import pseudo_label


def logits_of(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64).log().requires_grad_()


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.0, -(math.log(0.5) + math.log(0.7) + math.log(0.9)) / 3),
        (0.6, -(math.log(0.7) + math.log(0.9)) / 3),
        (0.8, -math.log(0.9) / 3),
        (0.95, 0.0),
    ],
)
def test_rows_that_are_sure_enough_cost_their_surprise(threshold: float, expected: float) -> None:
    given = logits_of([0.3, 0.5, 0.2], [0.7, 0.1, 0.2], [0.05, 0.05, 0.9])
    assert pseudo_label(given, threshold=threshold).item() == pytest.approx(expected)


def test_without_threshold_is_the_cross_entropy_with_the_predicted_class() -> None:
    given = logits_of([0.3, 0.5, 0.2], [0.7, 0.1, 0.2])
    expected = cross_entropy(given, torch.tensor([1, 0]))
    assert_close(pseudo_label(given, threshold=0.0), expected)


def test_a_sure_row_is_pulled_to_its_class_and_an_unsure_one_left_alone() -> None:
    given = logits_of([0.5, 0.3, 0.2], [0.1, 0.1, 0.8])
    (gradient,) = torch.autograd.grad(pseudo_label(given, threshold=0.6), given)
    expected = torch.tensor([[0.0, 0.0, 0.0], [0.1, 0.1, 0.8 - 1]], dtype=torch.float64) / 2
    assert_close(gradient, expected)


def test_the_threshold_itself_is_sure_enough() -> None:
    given = torch.zeros(3, 2, dtype=torch.float64)
    assert pseudo_label(given, threshold=0.5).item() == pytest.approx(math.log(2))
