import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf
from torch import Tensor

from da_framework.metrics.transferability.h_score import h_score


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


Y = torch.arange(30) % 3
CENTRES = torch.tensor([[4.0, 0.0, 0.0, 1.0], [0.0, 4.0, 0.0, 1.0], [0.0, 0.0, 4.0, 1.0]])
X = (CENTRES[Y] + torch.randn(30, 4, generator=generator(0))).double()
ROTATION = torch.linalg.qr(torch.randn(4, 4, generator=generator(1)).double())[0]
both = pytest.mark.parametrize("shrinkage", [False, True])


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).unsqueeze(1)


def test_one_feature_gives_the_ratio_of_the_variances() -> None:
    # class means -2 and 2: 4 between, of 4 + 1 in all
    x = column(-3, -1, 1, 3)
    assert h_score(x, y=torch.tensor([0, 0, 1, 1]), shrinkage=False) == pytest.approx(4 / 5)


def test_features_apart_add_up() -> None:
    # the second tells the classes 4/5, the first nothing, and neither knows of the other
    x = torch.tensor([[-1, -3], [1, -1], [-1, -1], [1, -3]], dtype=torch.float64)
    x = torch.cat([x, x * torch.tensor([1, -1])])
    y = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    assert h_score(x, y=y, shrinkage=False) == pytest.approx(4 / 5)


def test_shrunk_it_is_the_formula_with_the_shrunk_covariance() -> None:
    fitted = LedoitWolf().fit(X.numpy())
    means = np.stack([X[label == Y].mean(0).numpy() for label in (0, 1, 2)])[Y.numpy()]
    between = (1 - fitted.shrinkage_) * np.cov(means, rowvar=False, bias=True)
    expected = np.trace(np.linalg.inv(fitted.covariance_) @ between)
    assert 0 < fitted.shrinkage_ < 1
    assert h_score(X, y=Y, shrinkage=True) == pytest.approx(expected)


def test_classes_that_are_points_have_the_most_there_is() -> None:
    assert h_score(CENTRES[Y], y=Y, shrinkage=False) == pytest.approx(2)


@both
def test_is_at_most_the_number_of_classes_less_one(shrinkage: bool) -> None:
    for y in (Y, Y % 2, torch.arange(30) % 10):
        assert 0 <= h_score(X, y=y, shrinkage=shrinkage) <= int(y.max()) + 1e-9


@both
def test_rotation_shift_scale_and_order_do_not_matter(shrinkage: bool) -> None:
    expected = h_score(X, y=Y, shrinkage=shrinkage)
    order = torch.randperm(30, generator=generator(2))
    moved = (3 * X @ ROTATION + 5)[order]
    assert h_score(moved, y=(7 - Y)[order], shrinkage=shrinkage) == pytest.approx(expected)


@both
def test_features_that_know_the_classes_score_above_shuffled_labels(shrinkage: bool) -> None:
    shuffled = Y[torch.randperm(30, generator=generator(2))]
    actual = h_score(X, y=Y, shrinkage=shrinkage)
    assert actual > h_score(X, y=shuffled, shrinkage=shrinkage) + 0.5


def test_with_fewer_rows_than_features_only_shrinkage_tells_labels_from_noise() -> None:
    y = torch.arange(12) % 2
    x = torch.randn(12, 40, generator=generator(2)).double()
    x[:, 0] += 10 * y
    shuffled = torch.arange(12) // 6
    blind = [h_score(x, y=labels, shrinkage=False) for labels in (y, shuffled)]
    assert blind == pytest.approx([1, 1])
    assert h_score(x, y=y, shrinkage=True) > h_score(x, y=shuffled, shrinkage=True) + 0.1


@both
def test_constant_features_score_nothing(shrinkage: bool) -> None:
    assert h_score(torch.full((30, 4), 3.0), y=Y, shrinkage=shrinkage) == 0
