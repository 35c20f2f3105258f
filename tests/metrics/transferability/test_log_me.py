import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor
from torch.nn.functional import one_hot

from da_framework.metrics.transferability.log_me import log_evidence, log_me, precisions


def linear_problem(n: int, d: int, k: int, *, signal: float = 2.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n + d + k)
    y = torch.arange(n) % k
    x = torch.randn(n, d, generator=generator).double()
    return x + signal * torch.randn(k, d, generator=generator).double()[y], y


def by_density(x: Tensor, target: Tensor, alpha: float, beta: float) -> float:
    covariance = np.eye(len(x)) / beta + (x @ x.T).numpy() / alpha
    return float(multivariate_normal(np.zeros(len(x)), covariance).logpdf(target.numpy()))


SIZES = pytest.mark.parametrize(("n", "d", "k"), [(20, 3, 2), (24, 6, 3), (12, 12, 3), (9, 15, 3)])


@SIZES
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.3, 20.0), (50.0, 2.0)])
def test_the_evidence_is_the_density_of_a_normal_vector(
    n: int, d: int, k: int, alpha: float, beta: float
) -> None:
    x, y = linear_problem(n, d, k)
    targets = one_hot(y).double()
    actual = log_evidence(x, targets, alpha=torch.full((k,), alpha), beta=torch.full((k,), beta))
    assert actual.tolist() == pytest.approx([by_density(x, own, alpha, beta) for own in targets.T])


@SIZES
def test_is_the_mean_of_the_largest_evidence_a_row(n: int, d: int, k: int) -> None:
    x, y = linear_problem(n, d, k)
    targets = one_hot(y).double()
    alpha, beta = precisions(x, targets)
    densities = [
        by_density(x, column, a, b)
        for column, a, b in zip(targets.T, alpha.tolist(), beta.tolist(), strict=True)
    ]
    assert log_me(x, y=y) == pytest.approx(sum(densities) / k / n)


@SIZES
def test_no_alpha_and_beta_nearby_are_better(n: int, d: int, k: int) -> None:
    x, y = linear_problem(n, d, k)
    targets = one_hot(y).double()
    alpha, beta = precisions(x, targets)
    best = log_evidence(x, targets, alpha=alpha, beta=beta)
    for a in (0.5, 0.99, 1.0, 1.01, 2.0):
        for b in (0.5, 0.99, 1.0, 1.01, 2.0):
            other = log_evidence(x, targets, alpha=a * alpha, beta=b * beta)
            assert (other <= best + 1e-9).all(), (a, b)


def test_the_papers_rounds_end_at_the_same_point() -> None:
    x, y = linear_problem(24, 6, 3)
    targets = one_hot(y).double()
    for column, *actual in zip(targets.T, *precisions(x, targets), strict=True):
        alpha = beta = torch.ones(()).double()
        for _ in range(500):
            a = alpha * torch.eye(6) + beta * x.T @ x
            m = beta * torch.linalg.solve(a, x.T @ column)
            gamma = 6 - alpha * torch.linalg.inv(a).trace()
            alpha, beta = gamma / (m @ m), (24 - gamma) / (x @ m - column).square().sum()
        torch.testing.assert_close([alpha, beta], actual)


def test_rotation_scale_order_and_names_do_not_matter() -> None:
    x, y = linear_problem(24, 6, 3)
    generator = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=generator).double())[0]
    order = torch.randperm(24, generator=generator)
    for scale in (1e-4, 1.0, 1e4):
        moved = scale * (x @ rotation)[order]
        assert log_me(moved, y=(7 - y)[order]) == pytest.approx(log_me(x, y=y))


@SIZES
def test_features_that_know_the_classes_score_above_shuffled_labels(n: int, d: int, k: int) -> None:
    x, y = linear_problem(n, d, k)
    shuffled = y[torch.randperm(n, generator=torch.Generator().manual_seed(0))]
    assert log_me(x, y=y) > log_me(x, y=shuffled)


def test_more_signal_scores_higher() -> None:
    values = []
    for signal in (0.0, 1.0, 3.0, 10.0):
        x, y = linear_problem(60, 5, 3, signal=signal)
        values.append(log_me(x, y=y))
    assert values == sorted(values)


@pytest.mark.parametrize("value", [0.0, 1.0, -1e6])
def test_constant_features_know_no_more_than_the_shares_of_the_classes(value: float) -> None:
    y = torch.arange(12) % 3
    actual = log_me(torch.full((12, 4), value), y=y)
    x, _ = linear_problem(12, 4, 3, signal=10.0)
    assert np.isfinite(actual)
    assert actual < log_me(torch.eye(3)[y] + 1e-3 * x[:, :3], y=y)


def test_features_that_fit_exactly_have_a_finite_score() -> None:
    y = torch.arange(12) % 3
    actual = log_me(torch.eye(3)[y], y=y)
    assert np.isfinite(actual)
    assert actual > log_me(torch.eye(3)[y] + 0.1 * linear_problem(12, 3, 3)[0], y=y)
