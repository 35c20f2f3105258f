import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from da_framework.metrics.transferability.leep import leep


def test_two_rows_give_the_closed_form() -> None:
    theta = torch.tensor([[0.9, 0.1], [0.3, 0.7]], dtype=torch.float64)
    # P(y = 0 | z) = 0.9 / 1.2 and 0.1 / 0.8
    first = 0.75 * 0.9 + 0.125 * 0.1
    second = 0.25 * 0.3 + 0.875 * 0.7
    expected = (math.log(first) + math.log(second)) / 2
    assert leep(theta, y=torch.tensor([0, 1])) == pytest.approx(expected)


def test_predictions_that_are_all_alike_leave_the_labels_as_they_are() -> None:
    theta = torch.tensor([[0.2, 0.5, 0.3]]).expand(8, 3)
    y = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])
    assert leep(theta, y=y) == pytest.approx(-1.5 * math.log(2))


def test_a_source_class_that_never_happens_changes_nothing() -> None:
    theta = torch.rand(6, 3, generator=torch.Generator().manual_seed(0)).double().softmax(1)
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    assert leep(torch.cat([theta, torch.zeros(6, 1)], 1), y=y) == pytest.approx(leep(theta, y=y))


@given(
    n=st.integers(2, 12),
    k=st.integers(2, 4),
    z=st.integers(1, 5),
    sharpness=st.sampled_from([0.1, 1.0, 1000.0]),
    seed=st.integers(0, 2**31),
)
def test_lies_between_the_entropy_of_the_labels_and_zero(
    n: int, k: int, z: int, sharpness: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(k, (n,), generator=generator)
    y[:2] = torch.tensor([0, 1])
    theta = (sharpness * torch.randn(n, z, generator=generator)).softmax(1)
    shares = y.bincount().double() / n
    actual = leep(theta, y=y)
    assert shares.xlogy(shares).sum().item() - 1e-6 <= actual <= 1e-6
    order = torch.randperm(n, generator=generator)
    columns = torch.randperm(z, generator=generator)
    assert leep(theta[order][:, columns], y=(k - y)[order]) == pytest.approx(actual)
