import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.testing import assert_close

from da_framework.methods.reweighting import kernel_mean_matching as module
from da_framework.methods.reweighting.distances import median_distance
from da_framework.methods.reweighting.kernel_mean_matching import kernel_mean_matching


def domains(n: int = 24, m: int = 15, d: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    source = torch.randn(n, d, dtype=torch.float64, generator=generator)
    return source, 1 + torch.randn(m, d, dtype=torch.float64, generator=generator)


def kernels(source: Tensor, target: Tensor, width: float = 1.0) -> tuple[Tensor, Tensor]:
    """K / n and κ, by way of plain distances."""
    sigma = width * median_distance(source, target)
    k, near = (
        torch.exp(-torch.cdist(source, other).square() / (2 * sigma**2))
        for other in (source, target)
    )
    return k / len(source), near.mean(1)


@pytest.mark.parametrize("bound", [1.5, 1000.0])
@pytest.mark.parametrize("slack", [0.0, 0.02, 1.0])
@pytest.mark.parametrize("ridge", [1e-2, 0.3])
def test_is_the_optimum_that_scipy_finds(bound: float, slack: float, ridge: float) -> None:
    source, target = domains()
    k, near = (own.numpy() for own in kernels(source, target))
    n = len(source)
    best = minimize(
        lambda b: b @ k @ b / 2 - near @ b + ridge / 2 * b @ b,
        np.ones(n),
        jac=lambda b: k @ b - near + ridge * b,
        method="SLSQP",
        bounds=[(0, bound)] * n,
        constraints=[
            {"type": "ineq", "fun": lambda b: n * slack - (b.sum() - n)},
            {"type": "ineq", "fun": lambda b: n * slack + (b.sum() - n)},
        ],
        options={"ftol": 1e-12, "maxiter": 500},
    )
    weights = kernel_mean_matching(source, target, width=1.0, bound=bound, slack=slack, ridge=ridge)
    assert_close(weights, torch.as_tensor(best.x), rtol=0, atol=5e-3)
    assert (weights >= 0).all()
    assert (weights <= bound).all()
    assert abs(weights.mean().item() - 1) <= slack + 1e-9


def test_without_bounds_it_is_the_least_squares_ratio() -> None:
    source, target = domains()
    k, near = kernels(source, target, width=2.0)
    expected = torch.linalg.solve(k + 0.3 * torch.eye(len(k)), near)
    assert (expected > 0).all()
    weights = kernel_mean_matching(source, target, width=2.0, bound=1000.0, slack=1.0, ridge=0.3)
    assert_close(weights, expected, rtol=0, atol=5e-3)


@pytest.mark.parametrize(("d", "left"), [(1, 0.05), (3, 0.1), (20, 0.5)])
def test_brings_the_kernel_means_together(d: int, left: float) -> None:
    source, target = domains(200, 150, d)
    weights = kernel_mean_matching(source, target, width=1.0, bound=1000.0, slack=None, ridge=None)
    sigma = median_distance(source, target)
    z = torch.cat([source, target])
    kernel = torch.exp(-torch.cdist(z, z).square() / (2 * sigma**2))

    def discrepancy(weights: Tensor) -> float:
        share = torch.cat([weights / 200, torch.full((150,), -1 / 150).double()])
        return float(share @ kernel @ share)

    assert 0 <= discrepancy(weights) < left * discrepancy(torch.ones(200).double())


def test_blocks_weigh_their_rows_as_the_whole_does(monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = domains(900, 400, 1)
    keys = {"width": 1.0, "bound": 1000.0, "slack": None, "ridge": 0.01}
    whole = kernel_mean_matching(source, target, **keys)  # type: ignore[arg-type]
    monkeypatch.setattr(module, "KERNEL_BLOCK", 250)
    apart = kernel_mean_matching(source, target, **keys)  # type: ignore[arg-type]
    assert not torch.equal(apart, whole)
    assert (apart - whole).abs().mean() < 0.15
