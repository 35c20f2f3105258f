from itertools import combinations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.testing import assert_close

from da_framework.losses.moments import central_moment_discrepancy, moment_distance

DOMAIN = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2])


def rows() -> Tensor:
    return torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("orders", [1, 2, 3])
def test_is_the_paper_s_sum(orders: int) -> None:
    features, expected = rows(), torch.zeros((), dtype=torch.float64)
    for order in range(1, orders + 1):
        means = [(features[number == DOMAIN] ** order).mean(0) for number in range(3)]
        expected += sum((means[i] - means[2]).norm() for i in range(2)) / 2
        pairs = list(combinations(range(2), 2))
        expected += sum((means[i] - means[j]).norm() for i, j in pairs) / len(pairs)
    assert_close(moment_distance(features, DOMAIN, sources=2, orders=orders), expected)


def test_points_at_known_places() -> None:
    features = torch.tensor([[0.0], [2.0], [3.0]]).double()
    actual = moment_distance(features, torch.tensor([0, 1, 2]), sources=2, orders=2)
    assert actual.item() == (3 + 1) / 2 + 2 + (9 + 5) / 2 + 4


def test_one_source_has_no_pairs_and_several_targets_are_one() -> None:
    features = torch.tensor([[0.0], [1.0], [3.0]]).double()
    actual = moment_distance(features, torch.tensor([0, 1, 2]), sources=1, orders=1)
    assert actual.item() == 2


def test_equal_moments_are_no_distance_and_have_a_finite_gradient() -> None:
    features = torch.ones(9, 3, dtype=torch.float64, requires_grad=True)
    value = moment_distance(features, DOMAIN, sources=2, orders=2)
    assert value.item() == pytest.approx(0, abs=1e-12)
    (gradient,) = torch.autograd.grad(value, features)
    assert gradient.isfinite().all()


def test_gradient() -> None:
    assert gradcheck(
        lambda z: moment_distance(z, DOMAIN, sources=2, orders=2), rows().requires_grad_()
    )


@pytest.mark.parametrize("orders", [1, 2, 5])
def test_central_moments_are_the_paper_s_sum_feature_by_feature(orders: int) -> None:
    source, target, span = rows()[:4], rows()[4:] * 2 + 1, 1.7
    expected = 0.0
    for order in range(1, orders + 1):
        squares = 0.0
        for feature in range(3):
            moments = []
            for sample in (source[:, feature].tolist(), target[:, feature].tolist()):
                mean = sum(sample) / len(sample)
                central = [(value - mean) ** order for value in sample]
                moments.append(mean if order == 1 else sum(central) / len(sample))
            squares += (moments[0] - moments[1]) ** 2
        expected += squares**0.5 / span**order
    actual = central_moment_discrepancy(source, target, orders=orders, span=span)
    assert actual.item() == pytest.approx(expected, rel=1e-12)


def test_central_moments_do_not_move_with_the_place_and_scale_with_the_span() -> None:
    source, target = rows()[:4], rows()[4:]
    moved = central_moment_discrepancy(source + 5, target + 5, orders=5, span=1.0)
    still = central_moment_discrepancy(source, target, orders=5, span=1.0)
    assert_close(moved, still)
    # in units of the span nothing has a unit
    assert_close(central_moment_discrepancy(3 * source, 3 * target, orders=5, span=3.0), still)
    # the same samples, shuffled, twice, or elsewhere
    twice = torch.cat([source, source]).flip(0)
    zero = central_moment_discrepancy(source, twice, orders=5, span=1.0)
    assert_close(zero, torch.zeros_like(zero))
    apart = central_moment_discrepancy(source, twice + 2, orders=5, span=4.0)
    assert apart.item() == pytest.approx(2 * 3**0.5 / 4)


def test_central_moments_of_equal_samples_have_a_finite_gradient() -> None:
    source = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)
    for span in (1.0, None):
        value = central_moment_discrepancy(source, torch.ones(2, 3).double(), orders=5, span=span)
        assert value.item() == 0
        (gradient,) = torch.autograd.grad(value, source)
        assert gradient.isfinite().all()


def test_without_a_span_it_is_the_interval_of_both_batches_and_has_no_gradient() -> None:
    source, target = rows()[:4].requires_grad_(), rows()[4:]
    span = (rows().max() - rows().min()).item()
    given = central_moment_discrepancy(source, target, orders=5, span=span)
    found = central_moment_discrepancy(source, target, orders=5, span=None)
    assert_close(found, given)
    gradients = [torch.autograd.grad(value, source)[0] for value in (found, given)]
    assert_close(*gradients)
    for unit in (1e-30, 1e30):  # whose fifth powers are no numbers
        other = unit * rows().float()
        value = central_moment_discrepancy(other[:4], other[4:], orders=5, span=None)
        assert value.item() == pytest.approx(given.item(), rel=1e-4)


def test_central_moments_are_not_taken_in_half_precision() -> None:
    source, target = (1 + rows()[part].float() for part in (slice(4), slice(4, 9)))
    expected = central_moment_discrepancy(source, target, orders=5, span=1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = central_moment_discrepancy(source.bfloat16(), target, orders=5, span=1.0)
        assert half.dtype == torch.float32
        assert_close(central_moment_discrepancy(source, target, orders=5, span=1.0), expected)
