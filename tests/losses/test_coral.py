import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import logm
from torch import Tensor
from torch.autograd import gradcheck
from torch.testing import assert_close

from da_framework.losses.coral import coral, covariance, log_coral


def rows(n: int, d: int = 3, seed: int = 0, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, dtype=torch.float64, generator=generator) + shift


SOURCE, TARGET = rows(7), 2 * rows(5, seed=1, shift=1.0)


def spread(*variances: float) -> Tensor:
    """Rows whose covariance is diagonal, with these variances."""
    d = len(variances)
    scales = torch.tensor(variances, dtype=torch.float64) * (2 * d - 1) / 2
    axes = torch.diag(scales.sqrt())
    return torch.cat([axes, -axes])


def test_variances_on_the_axes_give_the_closed_form() -> None:
    source, target = spread(4.0, 1.0, 9.0), spread(1.0, 1.0, 4.0)
    assert coral(source, target).item() == pytest.approx((3**2 + 5**2) / (4 * 3**2))
    logs = math.log(5 / 2) ** 2 + math.log(10 / 5) ** 2
    assert log_coral(source, target, ridge=1.0).item() == pytest.approx(logs / (4 * 3**2))


@pytest.mark.parametrize("n", [2, 3, 9])
def test_covariance_is_numpy_s(n: int) -> None:
    x = rows(n, 4, shift=3.0)
    assert_close(covariance(x), torch.as_tensor(np.cov(x.numpy(), rowvar=False)))


def test_one_row_varies_by_nothing() -> None:
    assert torch.equal(covariance(rows(1)), torch.zeros(3, 3).double())
    assert coral(rows(1), rows(1, seed=1)) == 0


@pytest.mark.parametrize(("n", "m", "d"), [(7, 5, 3), (3, 9, 4), (2, 2, 5), (1, 6, 2)])
def test_log_coral_is_scipy_s_logarithm(n: int, m: int, d: int) -> None:
    source, target = rows(n, d), rows(m, d, seed=1, shift=1.0)
    logs = [logm(covariance(x).numpy() + 0.1 * np.eye(d)) for x in (source, target)]
    expected = torch.tensor(((logs[0] - logs[1]) ** 2).sum() / (4 * d**2))
    assert_close(log_coral(source, target, ridge=0.1), expected)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 6), m=st.integers(1, 6), d=st.integers(1, 4), seed=st.integers(0, 99))
def test_both_are_squared_distances_blind_to_means_order_and_rotation(
    n: int, m: int, d: int, seed: int
) -> None:
    source, target = rows(n, d, seed), rows(m, d, seed + 1)
    turn = torch.linalg.qr(rows(d, d, seed + 2)).Q
    for value in (coral, lambda s, t: log_coral(s, t, ridge=0.1)):
        actual = value(source, target)
        assert actual >= 0
        assert_close(value(target, source), actual)
        assert_close(value(source, source), torch.zeros(()).double())
        assert_close(value(source.flip(0) + 5, target - 3), actual)
        assert_close(value(source @ turn, target @ turn), actual)


@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_scale_raises_coral_to_the_fourth_power_and_leaves_log_coral(scale: float) -> None:
    assert_close(coral(scale * SOURCE, scale * TARGET), scale**4 * coral(SOURCE, TARGET))
    plain = log_coral(SOURCE, TARGET, ridge=0.1)
    assert_close(log_coral(scale * SOURCE, scale * TARGET, ridge=0.1 * scale**2), plain)


def test_gradient() -> None:
    sides = (SOURCE.clone().requires_grad_(), TARGET.clone().requires_grad_())
    assert gradcheck(coral, sides)
    assert gradcheck(lambda s, t: log_coral(s, t, ridge=0.1), sides)
    few = (rows(3, 5).requires_grad_(), rows(2, 5, seed=1).requires_grad_())
    assert gradcheck(lambda s, t: log_coral(s, t, ridge=0.1), few), "equal eigenvalues"


def test_dead_features_leave_the_gradient_of_the_others_finite() -> None:
    source, target = rows(8, 6).float(), rows(4, 6, seed=1).float()
    source[:, :3] = target[:, :3] = 0
    source.requires_grad_()
    (gradient,) = torch.autograd.grad(log_coral(source, target, ridge=1e-3), source)
    assert gradient.isfinite().all()
    assert gradient[:, 3:].any()


def test_large_single_precision_features_have_a_logarithm_all_the_same() -> None:
    source = (1e3 * rows(4, 16)).float().requires_grad_()
    value = log_coral(source, rows(6, 16, seed=1).float(), ridge=1e-4)
    assert value.isfinite()
    assert torch.autograd.grad(value, source)[0].isfinite().all()


def test_half_precision_lowers_nothing() -> None:
    source, target = SOURCE.bfloat16(), TARGET.bfloat16()
    expected = coral(source.float(), target.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for s, t in ((source, target), (source.float(), target.float())):
            assert_close(coral(s, t), expected)
            assert log_coral(s, t, ridge=0.1).dtype == torch.float32
