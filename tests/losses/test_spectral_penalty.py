import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.testing import assert_close

from da_framework.losses.spectral_penalty import spectral_penalty


def rows(n: int, d: int) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.randn(n, d, dtype=torch.float64, generator=generator)


def test_singular_values_that_are_known() -> None:
    features = torch.diag(torch.tensor([1.0, 3.0, 2.0])).double()
    assert spectral_penalty(features, largest=1).item() == 9
    assert spectral_penalty(features, largest=2).item() == 13


def test_all_of_them_are_the_squared_size() -> None:
    for n, d in ((7, 4), (3, 5)):
        features = rows(n, d)
        assert_close(spectral_penalty(features, largest=9), features.square().sum())


def test_is_the_largest_eigenvalue_of_the_gram_matrix() -> None:
    features = rows(7, 4)
    eigenvalue = torch.linalg.eigvalsh(features.T @ features)[-1]
    assert_close(spectral_penalty(features, largest=1), eigenvalue)


def test_a_turn_of_rows_or_features_changes_nothing() -> None:
    features = rows(7, 4)
    turn = torch.linalg.qr(rows(4, 4)).Q
    assert_close(
        spectral_penalty(features @ turn, largest=2), spectral_penalty(features, largest=2)
    )
    assert_close(
        spectral_penalty(features.flip(0), largest=2), spectral_penalty(features, largest=2)
    )


def test_half_precision_is_raised_to_single() -> None:
    features = rows(7, 4).bfloat16()
    value = spectral_penalty(features, largest=2)
    assert value.dtype == torch.float32
    assert_close(value, spectral_penalty(features.float(), largest=2))


def test_gradient() -> None:
    assert gradcheck(lambda z: spectral_penalty(z, largest=2), rows(5, 3).requires_grad_())
