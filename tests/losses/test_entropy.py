import math

import pytest
import torch
from scipy.stats import entropy as reference
from torch.autograd import gradcheck
from torch.testing import assert_close

from da_framework.losses.entropy import entropy, row_entropy


def logits(rows: int, classes: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rows)
    return torch.randn(rows, classes, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_what_is_undecided_costs_log_k_and_what_is_sure_nothing(classes: int) -> None:
    assert entropy(torch.zeros(4, classes)).item() == pytest.approx(math.log(classes))
    assert entropy(1e3 * torch.eye(classes)).item() == 0


def test_is_scipy_s() -> None:
    given = logits(6, 4)
    expected = torch.as_tensor(reference(given.softmax(1).numpy(), axis=1))
    assert_close(row_entropy(given), expected)
    assert_close(entropy(given), expected.mean())


def test_gradient() -> None:
    assert gradcheck(entropy, logits(5, 3).requires_grad_())
