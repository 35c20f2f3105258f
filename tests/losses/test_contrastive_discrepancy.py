from itertools import permutations
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from da_framework.losses.contrastive_discrepancy import contrastive_discrepancy
from da_framework.losses.mmd import mmd

WIDTHS = torch.tensor([0.7, 2.0], dtype=torch.float64)
Y_SOURCE = torch.tensor([0, 0, 1, 1, 1, 2, 3])
Y_TARGET = torch.tensor([1, 0, 0, 2, -1, 2])


class Largest(TorchDispatchMode):
    """Numbers of the largest tensor that an operator gives."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        given = function(*args, **(kwargs or {}))
        if isinstance(given, Tensor):
            self.numbers = max(self.numbers, given.numel())
        return given


def rows(n: int, seed: int) -> Tensor:
    return torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def discrepancy(source: Tensor, target: Tensor, **keys: Tensor) -> Tensor:
    given = {"y_source": Y_SOURCE, "y_target": Y_TARGET} | keys
    return contrastive_discrepancy(source, target, classes=5, bandwidths=WIDTHS, **given)


def test_is_the_mmd_of_each_class_less_that_of_different_ones() -> None:
    source, target = rows(7, 0), rows(6, 1)
    shared = [0, 1, 2]  # 3 is of the source alone, 4 of nobody

    def distance(c: int, d: int) -> Tensor:
        return mmd(source[c == Y_SOURCE], target[d == Y_TARGET], bandwidths=WIDTHS)

    intra = sum(distance(c, c) for c in shared) / 3
    inter = sum(distance(c, d) for c, d in permutations(shared, 2)) / 6
    assert_close(discrepancy(source, target), torch.as_tensor(intra - inter))


def test_with_one_class_it_is_the_mmd() -> None:
    source, target = rows(7, 0), rows(6, 1)
    value = discrepancy(
        source, target, y_source=torch.zeros(7).long(), y_target=torch.zeros(6).long()
    )
    assert_close(value, mmd(source, target, bandwidths=WIDTHS))


def test_classes_in_their_places_score_less_than_mistaken_ones() -> None:
    centres = 5 * torch.eye(3, dtype=torch.float64)
    y = torch.tensor([0, 1, 2])
    right = discrepancy(centres, centres + 0.1, y_source=y, y_target=y)
    wrong = discrepancy(centres, centres + 0.1, y_source=y, y_target=y.roll(1))
    assert right < 0 < wrong


@pytest.mark.parametrize("label", [-1, 4])
def test_without_a_class_of_both_domains_it_is_0_and_moves_nothing(label: int) -> None:
    source, target = rows(7, 0).requires_grad_(), rows(6, 1).requires_grad_()
    value = discrepancy(source, target, y_target=torch.full((6,), label))
    assert value.item() == 0
    for gradient in torch.autograd.grad(value, (source, target)):
        assert not gradient.any()


def test_gradient() -> None:
    assert gradcheck(discrepancy, (rows(7, 0).requires_grad_(), rows(6, 1).requires_grad_()))


def test_of_many_classes_those_with_samples_are_all_that_count() -> None:
    source, target = rows(7, 0), rows(6, 1)
    spread = torch.tensor([19_999, 3, 12, 7_000, 5])
    moved = {"y_source": spread[Y_SOURCE], "y_target": spread[Y_TARGET].where(Y_TARGET >= 0, -1)}
    keys = {"classes": 20_000, "bandwidths": WIDTHS, **moved}
    with Largest() as seen:
        many = contrastive_discrepancy(source, target, **keys)  # type: ignore[arg-type]
    assert_close(many, discrepancy(source, target), rtol=0, atol=1e-12)
    assert seen.numbers <= 13 * 13 * len(WIDTHS)
