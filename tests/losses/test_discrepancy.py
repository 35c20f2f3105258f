import math
from functools import partial

import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import normalize
from torch.testing import assert_close

from da_framework.losses.discrepancy import l1_discrepancy, sliced_wasserstein_discrepancy


def logits(rows: int, classes: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, classes, dtype=torch.float64, generator=generator)


def certain(*labels: int, classes: int = 3) -> Tensor:
    return 1e3 * torch.eye(classes, dtype=torch.float64)[list(labels)]


SLICES = logits(4, 7, seed=9)
sliced = partial(sliced_wasserstein_discrepancy, directions=SLICES)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_heads_certain_of_different_classes_are_as_far_apart_as_can_be(classes: int) -> None:
    first, other = certain(0, 1, classes=classes), certain(1, 0, classes=classes)
    assert l1_discrepancy(first, other).item() == pytest.approx(2 / classes)


@pytest.mark.parametrize("classes", [2, 5])
def test_a_certain_and_a_blind_head_give_the_closed_form(classes: int) -> None:
    first, other = certain(0, 1, classes=classes), torch.zeros(2, classes).double()
    expected = 2 * (1 - 1 / classes) / classes
    assert l1_discrepancy(first, other).item() == pytest.approx(expected)


@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 4, 2.0])
def test_two_corners_are_their_distance_along_the_line_apart(angle: float) -> None:
    direction = torch.tensor([[math.cos(angle)], [math.sin(angle)]]).double()
    actual = sliced_wasserstein_discrepancy(
        certain(0, 0, classes=2), certain(1, 1, classes=2), directions=direction
    )
    assert actual.item() == pytest.approx((math.cos(angle) - math.sin(angle)) ** 2)


def test_rows_are_compared_by_one_and_clouds_by_the_other() -> None:
    batch = logits(5, 4)
    shuffled = batch[[3, 0, 4, 1, 2]]
    assert sliced(batch, shuffled).item() == pytest.approx(0, abs=1e-12)
    assert l1_discrepancy(batch, shuffled) > 0.1


@pytest.mark.parametrize("rows", [1, 2, 6])
def test_sliced_is_that_of_pot(rows: int) -> None:
    first, other = logits(rows, 4), logits(rows, 4, seed=1)
    expected = ot.sliced_wasserstein_distance(
        first.softmax(1).numpy(),
        other.softmax(1).numpy(),
        projections=normalize(SLICES, dim=0).numpy(),
        p=2,
    )
    assert sliced(first, other).item() == pytest.approx(float(expected) ** 2)


def test_the_length_of_directions_does_not_count() -> None:
    first, other = logits(6, 4), logits(6, 4, seed=1)
    longer = sliced_wasserstein_discrepancy(
        first, other, directions=SLICES * torch.arange(1, 8).double()
    )
    assert_close(longer, sliced(first, other))


@settings(deadline=None, max_examples=40)
@given(rows=st.integers(1, 8), seed=st.integers(0, 2**31))
def test_are_symmetric_bounded_and_blind_to_order_and_to_the_logits_origin(
    rows: int, seed: int
) -> None:
    first, other = logits(rows, 4, seed), logits(rows, 4, seed + 1)
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    for discrepancy, most in ((l1_discrepancy, 2 / 4), (sliced, 2.0)):
        value = discrepancy(first, other)
        assert 0 <= value <= most
        assert_close(discrepancy(other, first), value)
        assert_close(discrepancy(first[order], other[order]), value)
        assert_close(discrepancy(first + 3.0, other - 7.0), value)
        assert discrepancy(first, first) == 0


def test_gradient() -> None:
    pair = (logits(5, 4).requires_grad_(), logits(5, 4, seed=1).requires_grad_())
    assert gradcheck(l1_discrepancy, pair)
    assert gradcheck(sliced, pair)


def test_half_precision_elsewhere_lowers_nothing() -> None:
    first, other = logits(6, 4).float(), logits(6, 4, seed=1).float()
    expected = [l1_discrepancy(first, other), sliced(first.double(), other.double()).float()]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = [
            l1_discrepancy(first, other),
            sliced_wasserstein_discrepancy(first, other, directions=SLICES.float()),
        ]
    assert_close(values, expected)
