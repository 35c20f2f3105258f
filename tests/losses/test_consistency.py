import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from da_framework.losses.consistency import hard_consistency, squared_difference

BOTH = [squared_difference, hard_consistency]


def logits(seed: int, rows: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(rows, 3, dtype=torch.float64, generator=generator)


def sure(*p: float) -> Tensor:
    return torch.tensor(p, dtype=torch.float64).log()[None]


def test_closed_forms_of_one_row() -> None:
    student, teacher = sure(0.5, 0.3, 0.2), sure(0.9, 0.05, 0.05)
    squared = squared_difference(student, teacher, threshold=0.8)
    assert squared.item() == pytest.approx((0.4**2 + 0.25**2 + 0.15**2) / 3)
    assert hard_consistency(student, teacher, threshold=0.8).item() == pytest.approx(-math.log(0.5))


@pytest.mark.parametrize("loss", BOTH)
def test_rows_the_teacher_is_unsure_of_cost_nothing_but_count(loss: Callable[..., Tensor]) -> None:
    student = logits(0, 2)
    teacher = torch.cat([sure(0.9, 0.05, 0.05), sure(0.5, 0.3, 0.2)])
    alone = loss(student[:1], teacher[:1], threshold=0.8)
    assert loss(student, teacher, threshold=0.8).item() == pytest.approx(alone.item() / 2)
    assert loss(student, teacher, threshold=0.95).item() == 0
    even = torch.zeros(2, 2, dtype=torch.float64)  # the threshold itself is enough
    assert loss(student[:, :2], even, threshold=0.5).item() > 0


@pytest.mark.parametrize("loss", BOTH)
def test_the_teacher_learns_nothing_and_the_student_does(loss: Callable[..., Tensor]) -> None:
    student, teacher = logits(0).requires_grad_(), logits(1).requires_grad_()
    value = loss(student, teacher, threshold=0.0)
    moved, still = torch.autograd.grad(value, (student, teacher), allow_unused=True)
    assert moved.any()
    assert still is None


def test_agreement_costs_nothing() -> None:
    assert squared_difference(logits(0), logits(0), threshold=0.0).item() == 0
    certain = 100 * torch.eye(3, dtype=torch.float64)
    assert hard_consistency(certain, certain, threshold=0.9).item() == pytest.approx(0)


@pytest.mark.parametrize("loss", BOTH)
def test_gradient(loss: Callable[..., Tensor]) -> None:
    teacher = logits(1)
    assert gradcheck(lambda z: loss(z, teacher, threshold=0.5), logits(0).requires_grad_())
