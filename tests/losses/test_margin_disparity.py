import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from da_framework.losses.margin_disparity import margin_disparity


def logits(rows: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 3, dtype=torch.float64, generator=generator)


def test_is_the_paper_s_sum() -> None:
    source, target, first, second = logits(5, 0), logits(4, 1), logits(5, 2), logits(4, 3)
    p, q = source.softmax(1), target.softmax(1)
    agreed = -sum(math.log(p[i, first[i].argmax()]) for i in range(5)) / 5
    differing = -sum(math.log(1 - q[j, second[j].argmax()]) for j in range(4)) / 4
    value = margin_disparity(source, target, source_logits=first, target_logits=second, margin=4.0)
    assert value.item() == pytest.approx(4 * agreed + differing)


def test_an_undecided_adversary_has_the_closed_form() -> None:
    blind = torch.zeros(2, 3, dtype=torch.float64)
    value = margin_disparity(blind, blind, source_logits=blind, target_logits=blind, margin=2.0)
    assert value.item() == pytest.approx(2 * math.log(3) - math.log(2 / 3))


def test_it_is_small_where_the_adversary_differs_on_the_target_alone() -> None:
    certain = 10 * torch.eye(3, dtype=torch.float64)
    keys = {"source_logits": certain, "target_logits": certain}
    assert margin_disparity(certain, certain.roll(1, 1), margin=4.0, **keys) < 1e-3
    assert margin_disparity(certain, certain, margin=4.0, **keys) > 5
    sure = 1e4 * certain
    assert margin_disparity(sure, sure, margin=4.0, **keys).isfinite()


def test_the_classifier_s_logits_have_no_gradient() -> None:
    first, second = logits(5, 2).requires_grad_(), logits(4, 3).requires_grad_()
    source = logits(5, 0).requires_grad_()
    value = margin_disparity(
        source, logits(4, 1), source_logits=first, target_logits=second, margin=4.0
    )
    derived = torch.autograd.grad(value, (first, second), allow_unused=True)
    assert all(own is None for own in derived)


def test_gradient() -> None:
    keys = {"source_logits": logits(5, 2), "target_logits": logits(4, 3)}
    assert gradcheck(
        lambda s, t: margin_disparity(s, t, margin=4.0, **keys),
        (logits(5, 0).requires_grad_(), logits(4, 1).requires_grad_()),
    )
