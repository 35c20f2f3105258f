import math

import pytest
import torch
from torch.nn.functional import one_hot

from da_framework.metrics.transferability.leep import leep
from da_framework.metrics.transferability.nce import nce

Y = torch.tensor([0, 0, 0, 1, 1, 2])
Z = torch.tensor([4, 4, 1, 1, 1, 0])


def entropy(*shares: float) -> float:
    return -sum(share * math.log(share) for share in shares)


def test_is_the_negative_conditional_entropy_of_a_hand_count() -> None:
    # z = 4 twice: both of class 0; z = 1 thrice: one of class 0, two of 1; z = 0 once: class 2
    assert nce(Z, y=Y) == pytest.approx(-3 / 6 * entropy(1 / 3, 2 / 3))


def test_a_prediction_that_tells_the_label_leaves_nothing_open() -> None:
    assert nce(torch.tensor([5, 5, 5, 0, 0, 9]), y=Y) == pytest.approx(0, abs=1e-12)
    assert nce(torch.arange(6), y=Y) == pytest.approx(0, abs=1e-12)


def test_one_prediction_for_all_leaves_all_of_the_labels_open() -> None:
    assert nce(torch.zeros(6, dtype=torch.long), y=Y) == pytest.approx(
        -entropy(3 / 6, 2 / 6, 1 / 6)
    )


def test_names_and_order_do_not_matter() -> None:
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    renamed = torch.tensor([7, 2, 11])[Y]
    assert nce(Z[order], y=renamed[order]) == pytest.approx(nce(Z, y=Y))


def test_is_leep_of_a_source_model_that_is_certain() -> None:
    assert nce(Z, y=Y) == pytest.approx(leep(one_hot(Z).double(), y=Y))
