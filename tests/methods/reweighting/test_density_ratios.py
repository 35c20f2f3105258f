"""What every density ratio is held against."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from da_framework.methods.reweighting.domain_classifier import domain_classifier
from da_framework.methods.reweighting.effective_sample_size import effective_sample_size
from da_framework.methods.reweighting.kernel_mean_matching import kernel_mean_matching
from da_framework.methods.reweighting.kliep import kliep

Ratio = Callable[[Tensor, Tensor], Tensor]
RATIOS: dict[str, Ratio] = {
    "kmm": partial(kernel_mean_matching, width=1.0, bound=1000.0, slack=None, ridge=None),
    "kliep": partial(kliep, centres=100, widths=[0.25, 0.5, 1.0, 2.0]),
    "linear": partial(domain_classifier, degree=1),
    "quadratic": partial(domain_classifier, degree=2),
}
every = pytest.mark.parametrize("ratio", RATIOS.values(), ids=RATIOS)


def normal(
    rows: int, d: int = 1, *, mean: float = 0.0, deviation: float = 1.0, seed: int
) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return mean + deviation * torch.randn(rows, d, dtype=torch.float64, generator=generator)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "deviation"),
    [(name, 1.0) for name in RATIOS]
    # its log ratio is quadratic, which a linear classifier cannot be
    + [(name, 0.8) for name in RATIOS if name != "linear"],
)
def test_recovers_the_ratio_of_two_normal_densities(name: str, deviation: float) -> None:
    """Mean over the source's rows of \\|ŵ - w\\| / w, of N(0.5, deviation²) to N(0, 1).

    All rows count, those in the tails as well; of each of five seeds.
    """
    for seed in range(5):
        source = normal(2000, seed=seed)
        target = normal(2000, mean=0.5, deviation=deviation, seed=100 + seed)
        x = source.squeeze(1)
        expected = (x.square() / 2 - ((x - 0.5) / deviation).square() / 2).exp() / deviation
        error = (RATIOS[name](source, target) - expected).abs() / expected
        assert error.mean() <= 0.15


@every
def test_equal_domains_weigh_about_one(ratio: Ratio) -> None:
    rows = normal(400, 3, seed=0)
    assert (ratio(rows, rows) - 1).abs().mean() < 0.1
    assert effective_sample_size(ratio(rows, normal(400, 3, seed=1))) > 320


@every
def test_is_positive_of_the_source_s_rows_and_double(ratio: Ratio) -> None:
    weights = ratio(normal(30, 2, seed=0).float(), normal(20, 2, mean=1.0, seed=1).float())
    assert weights.shape == (30,)
    assert weights.dtype == torch.float64
    assert (weights >= 0).all()
    assert weights.mean().item() == pytest.approx(1, abs=0.3)


@every
def test_rows_like_the_target_weigh_more(ratio: Ratio) -> None:
    source, target = normal(300, 2, seed=0), normal(200, 2, mean=1.0, seed=1)
    weights = ratio(source, target)
    nearer = (weights[:, None] * source).sum(0) / weights.sum()
    assert ((nearer - target.mean(0)).abs() < 0.35 * (source.mean(0) - target.mean(0)).abs()).all()


@pytest.mark.parametrize("name", ["kmm", "kliep"])
def test_follows_the_order_of_the_source(name: str) -> None:
    source, target = normal(60, 2, seed=0), normal(40, 2, mean=1.0, seed=1)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(2))
    expected = RATIOS[name](source, target)[order]
    assert_close(RATIOS[name](source[order], target), expected, atol=5e-3, rtol=0)


@every
def test_units_and_origin_do_not_matter(ratio: Ratio) -> None:
    source, target = normal(60, 2, seed=0), normal(40, 2, mean=1.0, seed=1)
    expected = ratio(source, target)
    assert_close(ratio(1e3 * source + 1e5, 1e3 * target + 1e5), expected, rtol=1e-3, atol=1e-3)


@every
def test_constant_features_weigh_about_one(ratio: Ratio) -> None:
    weights = ratio(torch.ones(50, 3), torch.ones(25, 3))
    assert_close(weights, torch.ones(50).double(), rtol=0, atol=0.06)


@every
def test_duplicated_rows_weigh_the_same(ratio: Ratio) -> None:
    source = normal(25, 2, seed=0).repeat(4, 1)
    weights = ratio(source, normal(50, 2, mean=0.5, seed=1).repeat(2, 1)).view(4, 25)
    # the classifier's copies are judged by different parts of it
    gap = (weights - weights.mean(0)).abs().mean()
    assert gap < (0.15 if getattr(ratio, "func", None) is domain_classifier else 1e-9)


@every
@pytest.mark.parametrize(("n", "m"), [(2, 2), (2, 9), (9, 2), (3, 40)])
def test_a_few_rows_are_enough(ratio: Ratio, n: int, m: int) -> None:
    weights = ratio(normal(n, 4, seed=0), normal(m, 4, mean=1.0, seed=1))
    assert weights.isfinite().all()


@every
@pytest.mark.parametrize("distance", [1e2, 1e4, 1e8])
def test_domains_however_far_apart_have_finite_weights(ratio: Ratio, distance: float) -> None:
    weights = ratio(normal(60, 2, seed=0), normal(6, 2, mean=distance, seed=1))
    assert weights.isfinite().all()
    assert (weights >= 0).all()


@every
def test_a_target_row_far_from_all_others_does_no_harm(ratio: Ratio) -> None:
    target = normal(40, 2, seed=1)
    target[7] = 1e3
    weights = ratio(normal(60, 2, seed=0), target)
    assert weights.isfinite().all()
    assert effective_sample_size(weights) > 20


@pytest.mark.parametrize(
    ("name", "message"), [("kliep", "two target samples"), ("linear", "two samples")]
)
def test_one_row_is_an_error(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"{message}.*got"):
        RATIOS[name](normal(5, seed=0), normal(1, seed=1))


def test_effective_sample_size_counts_rows() -> None:
    assert effective_sample_size(torch.full((7,), 3.0)).item() == pytest.approx(7)
    assert effective_sample_size(torch.tensor([0.0, 2.0, 0.0, 2.0])).item() == pytest.approx(2)
    assert effective_sample_size(torch.tensor([1.0, 2.0, 3.0])).item() == pytest.approx(36 / 14)
    assert effective_sample_size(torch.tensor([1e30, 1e-30])).item() == pytest.approx(1)
    assert effective_sample_size(torch.zeros(3)).item() == 0
