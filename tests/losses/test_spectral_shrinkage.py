import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from da_framework.losses.spectral_shrinkage import spectral_shrinkage

DIAGONAL = torch.diag(torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64))


@pytest.mark.parametrize(("smallest", "expected"), [(1, 1.0), (2, 5.0), (3, 14.0), (9, 14.0)])
def test_is_the_sum_of_the_smallest_squares(smallest: int, expected: float) -> None:
    actual = spectral_shrinkage(DIAGONAL, smallest=smallest)
    assert_close(actual, torch.tensor(expected).double())
    turned = DIAGONAL[torch.tensor([2, 0, 1])]
    assert_close(spectral_shrinkage(turned, smallest=smallest), actual)


def test_gradient() -> None:
    torch.manual_seed(0)
    features = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda z: spectral_shrinkage(z, smallest=2), (features,))
