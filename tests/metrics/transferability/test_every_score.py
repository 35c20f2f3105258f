"""What all transferability scores have in common."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from da_framework.core.batch import UNLABELLED
from da_framework.core.errors import InputError
from da_framework.metrics.transferability.h_score import h_score
from da_framework.metrics.transferability.leep import leep
from da_framework.metrics.transferability.log_me import log_me
from da_framework.metrics.transferability.nce import nce

SCORES: dict[str, Callable[[Tensor, Tensor], float]] = {
    "log_me": lambda x, y: log_me(x, y=y),
    "leep": lambda x, y: leep(x.softmax(1), y=y),
    "nce": lambda x, y: nce(x.argmax(1), y=y),
    "h_score": lambda x, y: h_score(x, y=y, shrinkage=False),
    "h_score shrunk": lambda x, y: h_score(x, y=y, shrinkage=True),
}
each = pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
X = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))


@each
def test_one_class_is_refused(score: Callable[[Tensor, Tensor], float]) -> None:
    with pytest.raises(InputError, match="two classes at least"):
        score(X, torch.full((12,), 3))


@each
def test_hidden_labels_are_refused(score: Callable[[Tensor, Tensor], float]) -> None:
    y = torch.arange(12) % 3
    y[5] = UNLABELLED
    with pytest.raises(InputError, match="some are hidden"):
        score(X, y)


@each
def test_a_class_that_no_row_has_does_not_count(score: Callable[[Tensor, Tensor], float]) -> None:
    y = torch.arange(12) % 3
    assert score(X, y + (y > 0)) == pytest.approx(score(X, y))


@each
@pytest.mark.parametrize("rows", [2, 3, 12])
@pytest.mark.parametrize("scale", [0.0, 1e-20, 1.0, 1e15])
def test_is_finite_for_few_rows_and_any_size(
    score: Callable[[Tensor, Tensor], float], rows: int, scale: float
) -> None:
    actual = score(scale * X[:rows], torch.arange(rows) % 2)
    assert torch.tensor(actual).isfinite()


@each
def test_single_precision_is_enough_for_what_goes_in(
    score: Callable[[Tensor, Tensor], float],
) -> None:
    y = torch.arange(12) % 3
    assert score(X, y) == pytest.approx(score(X.double(), y), rel=1e-5)
