import math
from collections.abc import Callable
from functools import partial
from itertools import permutations
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import rbf_kernel
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from da_framework.losses import mmd as module
from da_framework.losses.mmd import (
    Bandwidth,
    MMDEstimator,
    bandwidths,
    gaussian,
    mmd,
    pairwise_squared_distances,
)

ONE = torch.ones(1, dtype=torch.float64)
LADDER = torch.tensor([0.3, 1.0, 2.5], dtype=torch.float64)
ESTIMATORS: list[MMDEstimator] = ["biased", "unbiased", "linear"]
POLICIES: list[Bandwidth] = ["mean", "median", "fixed"]


def rows(n: int, d: int = 2, seed: int = 0, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, dtype=torch.float64, generator=generator) + shift


def kernel(a: Tensor, b: Tensor, widths: Tensor) -> float:
    squared = sum((p - q) ** 2 for p, q in zip(a.tolist(), b.tolist(), strict=True))
    return sum(math.exp(-squared / (2 * width**2)) for width in widths.tolist()) / len(widths)


def biased(s: Tensor, t: Tensor, k: Callable[[Tensor, Tensor], float]) -> float:
    within = sum(k(a, b) for a in s for b in s) / len(s) ** 2
    within += sum(k(a, b) for a in t for b in t) / len(t) ** 2
    return within - 2 * sum(k(a, b) for a in s for b in t) / (len(s) * len(t))


def unbiased(s: Tensor, t: Tensor, k: Callable[[Tensor, Tensor], float]) -> float:
    def within(z: Tensor) -> float:
        n = len(z)
        return sum(k(z[i], z[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))

    return within(s) + within(t) - 2 * sum(k(a, b) for a in s for b in t) / (len(s) * len(t))


def linear(s: Tensor, t: Tensor, k: Callable[[Tensor, Tensor], float]) -> float:
    pairs = min(len(s), len(t)) // 2
    total = 0.0
    for i in range(0, 2 * pairs, 2):
        total += k(s[i], s[i + 1]) + k(t[i], t[i + 1]) - k(s[i], t[i + 1]) - k(s[i + 1], t[i])
    return total / pairs


BY_HAND = {"biased": biased, "unbiased": unbiased, "linear": linear}


@pytest.mark.parametrize("width", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("distance", [0.0, 0.5, 3.0])
def test_two_points_give_the_closed_form(distance: float, width: float) -> None:
    source, target = torch.zeros(1, 1).double(), torch.full((1, 1), distance).double()
    expected = torch.tensor(2 - 2 * math.exp(-(distance**2) / (2 * width**2))).double()
    assert_close(mmd(source, target, bandwidths=width * ONE), expected, rtol=1e-6, atol=1e-7)


def test_kernels_are_averaged() -> None:
    source, target = rows(4), rows(3, seed=1, shift=1.0)
    alone = [mmd(source, target, bandwidths=width[None]) for width in LADDER]
    assert_close(mmd(source, target, bandwidths=LADDER), torch.stack(alone).mean())
    assert_close(mmd(source, target, bandwidths=ONE.repeat(5)), alone[1])


@pytest.mark.parametrize("sizes", [(5, 3), (2, 7), (4, 4)])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_equals_a_loop_over_pairs(estimator: MMDEstimator, sizes: tuple[int, int]) -> None:
    source, target = rows(sizes[0], 3), rows(sizes[1], 3, seed=1, shift=0.5)
    value = mmd(source, target, bandwidths=LADDER, estimator=estimator)
    k = partial(kernel, widths=LADDER)
    assert value.item() == pytest.approx(BY_HAND[estimator](source, target, k), abs=1e-12)


def test_equals_scikit_learn() -> None:
    source, target = rows(6, 4), rows(9, 4, seed=1, shift=1.0)
    expected = 0.0
    for width in LADDER.tolist():
        k = partial(rbf_kernel, gamma=1 / (2 * width**2))
        within = k(source.numpy()).mean() + k(target.numpy()).mean()
        expected += (within - 2 * k(source.numpy(), target.numpy()).mean()) / len(LADDER)
    assert mmd(source, target, bandwidths=LADDER).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_gradient(estimator: MMDEstimator) -> None:
    source, target = rows(4).requires_grad_(), rows(5, seed=1, shift=0.5).requires_grad_()
    value = partial(mmd, bandwidths=LADDER, estimator=estimator)
    assert gradcheck(value, (source, target))


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 8), m=st.integers(1, 8), d=st.integers(1, 5), seed=st.integers(0, 2**31))
def test_is_a_squared_distance(n: int, m: int, d: int, seed: int) -> None:
    source, target = rows(n, d, seed), rows(m, d, seed + 1, shift=0.3)
    value = mmd(source, target, bandwidths=LADDER)
    assert -1e-12 <= value <= 2
    assert_close(value, mmd(target, source, bandwidths=LADDER))
    assert_close(mmd(source, source, bandwidths=LADDER), torch.zeros(()).double())


@settings(deadline=None, max_examples=40)
@given(
    estimator=st.sampled_from(ESTIMATORS),
    n=st.integers(2, 8),
    m=st.integers(2, 8),
    d=st.integers(1, 5),
    seed=st.integers(0, 2**31),
)
def test_ignores_translation_rotation_and_order(
    estimator: MMDEstimator, n: int, m: int, d: int, seed: int
) -> None:
    source, target = rows(n, d, seed), rows(m, d, seed + 1, shift=0.3)
    value = partial(mmd, bandwidths=LADDER, estimator=estimator)
    expected = value(source, target)
    shift, rotation = rows(1, d, seed + 2), torch.linalg.qr(rows(d, d, seed + 3)).Q
    assert_close(value(source + shift, target + shift), expected)
    assert_close(value(source @ rotation, target @ rotation), expected)
    if estimator != "linear":
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(n, generator=generator), torch.randperm(m, generator=generator)
        assert_close(value(source[order[0]], target[order[1]]), expected)


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_estimators_have_the_expectation_they_claim(shift: float) -> None:
    # standard normals in the plane: E k(x, y) = exp(-|mean(x) - mean(y)|^2 / 6) / 3 at width 1
    n, draws = 10, 1500
    population = 2 / 3 * (1 - math.exp(-(shift**2) / 3))
    bias = 2 / n * (1 - 1 / 3)
    generator = torch.Generator().manual_seed(7)
    source = torch.randn(draws, n, 2, dtype=torch.float64, generator=generator)
    target = torch.randn(draws, n, 2, dtype=torch.float64, generator=generator) + shift
    expected = {"unbiased": population, "linear": population, "biased": population + bias}
    for estimator in ESTIMATORS:
        values = torch.stack(
            [
                mmd(s, t, bandwidths=ONE, estimator=estimator)
                for s, t in zip(source, target, strict=True)
            ]
        )
        tolerance = 4 * values.std().item() / math.sqrt(draws)
        assert tolerance < bias / 3, "too loose to tell the biased from the unbiased"
        assert abs(values.mean().item() - expected[estimator]) < tolerance


def test_linear_averages_to_unbiased_over_all_orders() -> None:
    source, target = rows(4), rows(4, seed=1, shift=0.5)
    values = [
        mmd(source[list(p)], target[list(q)], bandwidths=LADDER, estimator="linear")
        for p in permutations(range(4))
        for q in permutations(range(4))
    ]
    expected = mmd(source, target, bandwidths=LADDER, estimator="unbiased")
    assert_close(torch.stack(values).mean(), expected)


@pytest.mark.parametrize("estimator", ["unbiased", "linear"])
@pytest.mark.parametrize("sizes", [(1, 4), (4, 1)])
def test_too_few_rows_for_pairs_within_are_refused(
    estimator: MMDEstimator, sizes: tuple[int, int]
) -> None:
    message = f"{estimator}.*two rows of each domain.*{sizes[0]} and {sizes[1]}.*biased"
    with pytest.raises(ValueError, match=message):
        mmd(rows(sizes[0]), rows(sizes[1]), bandwidths=ONE, estimator=estimator)


@pytest.mark.parametrize("policy", ["mean", "median"])
@pytest.mark.parametrize("sizes", [(3, 4), (5, 1), (4, 4)])
def test_bandwidths_equal_a_loop_over_pairs(policy: Bandwidth, sizes: tuple[int, int]) -> None:
    source, target = rows(sizes[0], 3), rows(sizes[1], 3, seed=1, shift=2.0)
    z = torch.cat([source, target])
    pairs = [(z[i] - z[j]).square().sum() for i in range(len(z)) for j in range(i)]
    scale = torch.stack(pairs).mean() if policy == "mean" else torch.stack(pairs).median()
    factors = torch.tensor([0.25, 1.0, 4.0])
    widths = bandwidths(source, target, policy=policy, factors=factors)
    assert_close(widths, (factors * scale / 2).sqrt().float())


def test_fixed_bandwidths_are_the_factors() -> None:
    assert torch.equal(bandwidths(rows(3), rows(4), policy="fixed", factors=LADDER), LADDER)


@pytest.mark.parametrize("policy", ["mean", "median"])
def test_relative_bandwidths_make_the_value_ignore_scale(policy: Bandwidth) -> None:
    def value(source: Tensor, target: Tensor) -> Tensor:
        widths = bandwidths(source, target, policy=policy, factors=LADDER.float())
        return mmd(source, target, bandwidths=widths)

    source, target = rows(5), rows(6, seed=1, shift=1.0)
    assert_close(value(100 * source, 100 * target), value(source, target), rtol=1e-5, atol=0)


@pytest.mark.parametrize("policy", ["mean", "median"])
def test_no_gradient_flows_through_the_bandwidths(policy: Bandwidth) -> None:
    source, target = rows(4).requires_grad_(), rows(5, seed=1, shift=1.0).requires_grad_()
    widths = bandwidths(source, target, policy=policy, factors=LADDER.float())
    assert not widths.requires_grad
    adapted = torch.autograd.grad(mmd(source, target, bandwidths=widths), (source, target))
    constant = torch.tensor(widths.tolist())
    fixed = torch.autograd.grad(mmd(source, target, bandwidths=constant), (source, target))
    assert_close(adapted, fixed)


@pytest.mark.parametrize("place", [0.0, 1.0, -37.3])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_collapsed_features_are_no_distance_apart_and_have_no_gradient(
    estimator: MMDEstimator, policy: Bandwidth, place: float
) -> None:
    source = torch.full((4, 3), place).requires_grad_()
    target = torch.full((6, 3), place).requires_grad_()
    widths = bandwidths(source, target, policy=policy, factors=torch.tensor([0.25, 4.0]))
    value = mmd(source, target, bandwidths=widths, estimator=estimator)
    assert_close(value, torch.zeros(()), rtol=0, atol=1e-6)
    for gradient in torch.autograd.grad(value, (source, target)):
        assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-6)


def test_equal_rows_among_others_have_a_finite_gradient() -> None:
    source, target = rows(4).requires_grad_(), rows(5, seed=1, shift=1.0)
    repeated = torch.cat([source, source[:2], target[:1]])
    (gradient,) = torch.autograd.grad(mmd(repeated, target, bandwidths=LADDER), source)
    assert gradient.isfinite().all()
    assert gradient.any()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_is_accurate_far_from_the_origin_in_single_precision(estimator: MMDEstimator) -> None:
    source, target = rows(20, 16, shift=1e3).float(), rows(30, 16, seed=1, shift=1e3 + 1).float()
    for policy in POLICIES:
        widths = bandwidths(source, target, policy=policy, factors=torch.tensor([1.0, 4.0]))
        value = mmd(source, target, bandwidths=widths, estimator=estimator)
        exact = mmd(source.double(), target.double(), bandwidths=widths, estimator=estimator)
        assert_close(value.double(), exact, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("policy", ["mean", "median"])
def test_bandwidths_are_accurate_far_from_the_origin(policy: Bandwidth) -> None:
    source, target = rows(20, 16), rows(30, 16, seed=1, shift=1.0)
    factors = torch.ones(1)
    near = bandwidths(source, target, policy=policy, factors=factors)
    far = bandwidths(source + 1e3, target + 1e3, policy=policy, factors=factors)
    assert_close(far, near, rtol=1e-4, atol=0)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_half_precision_lowers_nothing(estimator: MMDEstimator) -> None:
    source, target = rows(6, 8).bfloat16(), rows(8, 8, seed=1, shift=1.0).bfloat16()
    widths = bandwidths(source, target, policy="mean", factors=torch.tensor([0.5, 2.0]))
    expected = mmd(source.float(), target.float(), bandwidths=widths, estimator=estimator)
    assert_close(
        widths,
        bandwidths(source.float(), target.float(), policy="mean", factors=torch.tensor([0.5, 2.0])),
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for s, t in ((source, target), (source.float(), target.float())):
            value = mmd(s, t, bandwidths=widths, estimator=estimator)
            assert value.dtype == torch.float32
            assert_close(value, expected)


def test_squared_distances_are_those_of_cdist_with_an_exact_diagonal() -> None:
    z = rows(7, 3)
    assert_close(pairwise_squared_distances(z), torch.cdist(z, z).square())
    # in single precision the Gram matrix alone leaves rounding on the diagonal
    single = rows(50, 16).float()
    assert torch.equal(pairwise_squared_distances(single).diagonal(), torch.zeros(50))


def test_gaussian_is_one_at_no_distance_and_falls() -> None:
    values = gaussian(torch.tensor([0.0, 1.0, 4.0, 1e6]).double(), LADDER)
    assert values[0] == 1
    assert (values.diff() < 0).all()
    assert values[-1] == 0


def composed(
    source: Tensor, target: Tensor, *, bandwidths: Tensor, estimator: MMDEstimator
) -> Tensor:
    kernel = module.gaussian(
        module.pairwise_squared_distances(torch.cat([source, target])), bandwidths
    )
    n, m, unbiased = len(source), len(target), estimator == "unbiased"
    sums = [(k.sum() - unbiased * k.trace()) for k in (kernel[:n, :n], kernel[n:, n:])]
    within = sums[0] / (n * (n - unbiased)) + sums[1] / (m * (m - unbiased))
    return within - 2 * kernel[:n, n:].mean()


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
@pytest.mark.parametrize(("n", "m"), [(7, 5), (8, 8), (12, 3), (2, 9)])
@pytest.mark.parametrize("tile", [4, 512])
def test_tiles_give_the_whole_matrix_to_rounding(
    monkeypatch: pytest.MonkeyPatch, tile: int, n: int, m: int, estimator: MMDEstimator
) -> None:
    monkeypatch.setattr(module, "KERNEL_TILE", tile)
    source = rows(n, 3).requires_grad_()
    target = rows(m, 3, seed=1, shift=0.5).requires_grad_()
    values = []
    for form in (composed, mmd):
        value = form(source, target, bandwidths=LADDER, estimator=estimator)
        values.append((value, *torch.autograd.grad(value, (source, target))))
    for whole, tiled in zip(*values, strict=True):
        assert_close(tiled, whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_for_geometric_bandwidths_one_exponential_serves_all(
    monkeypatch: pytest.MonkeyPatch, estimator: MMDEstimator
) -> None:
    monkeypatch.setattr(module, "KERNEL_TILE", 4)
    source, target = rows(9).requires_grad_(), rows(7, seed=1, shift=1.0).requires_grad_()
    widths = 0.5 * 2 ** (torch.arange(5).double() / 2)
    values = []
    for geometric_bandwidths in (False, True):
        value = mmd(
            source,
            target,
            bandwidths=widths,
            estimator=estimator,
            geometric_bandwidths=geometric_bandwidths,
        )
        values.append((value, *torch.autograd.grad(value, (source, target))))
    assert_close(*values, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("geometric_bandwidths", [False, True])
def test_tiles_of_which_no_gradient_is_asked_give_the_same_value(
    geometric_bandwidths: bool,
) -> None:
    source, target = rows(400, seed=1), rows(300, seed=2, shift=0.5)
    widths = torch.tensor([1.0, math.sqrt(2)], dtype=torch.float64)
    value = mmd(source, target, bandwidths=widths, geometric_bandwidths=geometric_bandwidths)
    learning = mmd(
        source.requires_grad_(),
        target,
        bandwidths=widths,
        geometric_bandwidths=geometric_bandwidths,
    )
    assert value.item() == learning.item()
    assert not value.requires_grad


def test_the_gradient_of_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KERNEL_TILE", 2)
    sides = (rows(5).requires_grad_(), rows(3, seed=1).requires_grad_())
    for estimator in ("biased", "unbiased"):
        assert gradcheck(partial(mmd, bandwidths=LADDER, estimator=estimator), sides)


@pytest.mark.parametrize("tile", [2, 512])
def test_the_second_derivative(monkeypatch: pytest.MonkeyPatch, tile: int) -> None:
    monkeypatch.setattr(module, "KERNEL_TILE", tile)
    sides = (rows(5).requires_grad_(), rows(3, seed=1).requires_grad_())
    for estimator in ("biased", "unbiased"):
        assert gradgradcheck(partial(mmd, bandwidths=LADDER, estimator=estimator), sides)


def test_large_batches_never_hold_the_whole_matrix() -> None:
    seen: list[int] = []

    class Sizes(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            outputs = function(*args, **(kwargs or {}))
            seen.extend(x.numel() for x in (outputs,) if isinstance(x, Tensor))
            return outputs

    source, target = rows(1200).requires_grad_(), rows(1200, seed=1)
    with Sizes():  # type: ignore[no-untyped-call]
        mmd(source, target, bandwidths=LADDER).backward()  # type: ignore[no-untyped-call]
    assert max(seen) <= max(module.KERNEL_TILE**2, 2400 * 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [2, 3, 30, 77])
def test_the_median_in_blocks_is_that_of_the_whole_matrix(
    rows: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    z = torch.randn(rows, 4, dtype=dtype, generator=torch.Generator().manual_seed(rows)) + 9
    z[: rows // 3] = z[0]  # with ties, and distances that are 0
    whole = module._median_squared_distance(z)
    monkeypatch.setattr(module, "MEDIAN_ROWS", 1)
    monkeypatch.setattr(module, "BLOCK_ROWS", 8)
    blocks = module._median_squared_distance(z)
    exact = dtype == torch.float64
    assert_close(blocks, whole, rtol=1e-12 if exact else 1e-5, atol=1e-12 if exact else 1e-6)
