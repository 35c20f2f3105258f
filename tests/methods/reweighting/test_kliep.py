import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from da_framework.methods.reweighting.distances import median_distance
from da_framework.methods.reweighting.kliep import LIKELIHOOD_GAP, kliep


def domains(n: int = 40, m: int = 30) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    source = torch.randn(n, 2, dtype=torch.float64, generator=generator)
    return source, 0.7 + torch.randn(m, 2, dtype=torch.float64, generator=generator)


def kernels(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Of the source's and of the target's rows with every target row."""
    sigma = median_distance(source, target)
    s, t = (
        torch.exp(-torch.cdist(rows, target).square() / (2 * sigma**2)) for rows in (source, target)
    )
    return s, t


def test_is_the_likeliest_ratio() -> None:
    source, target = domains()
    s, t = (own.numpy() for own in kernels(source, target))
    best = minimize(
        lambda a: -np.log(t @ a).mean(),
        np.full(30, 1 / s.mean(0).sum()),
        method="SLSQP",
        bounds=[(0, None)] * 30,
        constraints={"type": "eq", "fun": lambda a: (s @ a).mean() - 1},
        options={"maxiter": 500},
    )
    # with every target row a centre, the weights are s @ a for some a: which they must be
    weights = kliep(source, target, centres=30, widths=[1.0]).numpy()
    a, *_ = np.linalg.lstsq(s, weights, rcond=1e-10)
    np.testing.assert_allclose(s @ a, weights, atol=1e-6)
    assert -best.fun - np.log(np.maximum(t @ a, 1e-12)).mean() < 2 * LIKELIHOOD_GAP


def test_the_source_s_mean_weight_is_one() -> None:
    source, target = domains()
    for widths in ([0.1], [0.5, 1.0], [3.0]):
        assert kliep(source, target, centres=10, widths=widths).mean().item() == pytest.approx(1)


def test_two_places_have_the_ratio_of_their_shares() -> None:
    places = torch.tensor([[0.0], [100.0]], dtype=torch.float64)
    source, target = places[[0] * 6 + [1] * 2], places[[0] * 5 + [1] * 15]
    weights = kliep(source, target, centres=20, widths=[0.1])
    expected = torch.tensor([0.25 / 0.75] * 6 + [0.75 / 0.25] * 2).double()
    torch.testing.assert_close(weights, expected, rtol=0.02, atol=0)


def equal(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    source, target = torch.randn(2, 300, 1, dtype=torch.float64, generator=generator)
    return source, target


def test_chooses_the_widest_that_is_not_surely_less_likely() -> None:
    """Equal domains in which the narrower kernel is the likelier, by chance."""
    source, target = equal(5)
    both, wide, narrow = (
        kliep(source, target, centres=50, widths=widths) for widths in ([0.5, 2.0], [2.0], [0.5])
    )
    assert torch.equal(both, wide)
    assert not torch.equal(both, narrow)


def test_chooses_narrow_kernels_for_narrow_peaks() -> None:
    source, target = equal(0)
    peaks = torch.cat([0.05 * target[:150] - 1, 0.05 * target[150:] + 1])
    both, narrow = (
        kliep(source, peaks, centres=50, widths=widths) for widths in ([0.05, 20.0], [0.05])
    )
    assert torch.equal(both, narrow)
