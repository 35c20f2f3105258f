import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import rbf_kernel
from torch import Tensor
from torch.autograd import gradcheck
from torch.testing import assert_close

from da_framework.losses import mmd as module
from da_framework.losses.joint_mmd import joint_mmd
from da_framework.losses.mmd import mmd

ONE = torch.ones(1, dtype=torch.float64)
WIDTHS = [torch.tensor(own, dtype=torch.float64) for own in ([0.3, 1.0, 2.5], [0.7, 2.0])]


def rows(n: int, d: int = 2, seed: int = 0, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, dtype=torch.float64, generator=generator) + shift


def layers(n: int, seed: int = 0, shift: float = 0.0) -> list[Tensor]:
    return [rows(n, 4, seed, shift), rows(n, 3, seed + 50).softmax(1)]


@pytest.mark.parametrize(("first", "second"), [(0.0, 0.0), (0.5, 0.0), (1.0, 2.0)])
def test_two_points_give_the_closed_form(first: float, second: float) -> None:
    source = [torch.zeros(1, 1).double()] * 2
    target = [torch.full((1, 1), far).double() for far in (first, second)]
    expected = 2 - 2 * math.exp(-(first**2 + second**2) / 2)
    assert joint_mmd(source, target, bandwidths=[ONE, ONE]).item() == pytest.approx(expected)


@pytest.mark.parametrize(("n", "m"), [(6, 4), (1, 3), (5, 5)])
def test_is_the_product_of_scikit_learn_s_kernels(n: int, m: int) -> None:
    source, target = layers(n), layers(m, seed=1, shift=1.0)
    kernel = torch.ones(n + m, n + m).double()
    for s, t, widths in zip(source, target, WIDTHS, strict=True):
        z = torch.cat([s, t]).numpy()
        each = [torch.as_tensor(rbf_kernel(z, gamma=1 / (2 * w**2))) for w in widths.tolist()]
        kernel *= torch.stack(each).mean(0)
    signs = torch.cat([torch.full((n,), 1 / n), torch.full((m,), -1 / m)]).double()
    assert_close(joint_mmd(source, target, bandwidths=WIDTHS), signs @ kernel @ signs)


def test_with_one_layer_or_others_that_are_constant_it_is_the_mmd() -> None:
    source, target = rows(6), rows(4, seed=1, shift=1.0)
    expected = mmd(source, target, bandwidths=WIDTHS[0])
    assert_close(joint_mmd([source], [target], bandwidths=WIDTHS[:1]), expected)
    constant = [torch.full((6, 3), 0.2).double(), torch.full((4, 3), 0.2).double()]
    actual = joint_mmd([source, constant[0]], [target, constant[1]], bandwidths=WIDTHS)
    assert_close(actual, expected)


def test_layers_alike_one_by_one_but_not_together_are_apart() -> None:
    first = torch.tensor([[0.0], [1.0]]).double()
    alike, crossed = [first, first], [first, first.flip(0)]
    for a, b in zip(alike, crossed, strict=True):
        assert_close(mmd(a, b, bandwidths=ONE), torch.zeros(()).double())
    # k is 1, e^-1/2 or e^-1 by the number of layers that differ
    expected = (1 + math.exp(-1)) - 2 * math.exp(-1 / 2)
    assert joint_mmd(alike, crossed, bandwidths=[ONE, ONE]).item() == pytest.approx(expected)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 6), m=st.integers(1, 6), seed=st.integers(0, 99))
def test_is_a_squared_distance_blind_to_order_and_translation(n: int, m: int, seed: int) -> None:
    source, target = layers(n, seed), layers(m, seed + 1)
    actual = joint_mmd(source, target, bandwidths=WIDTHS)
    assert actual >= -1e-12
    assert_close(joint_mmd(target, source, bandwidths=WIDTHS), actual)
    assert_close(joint_mmd(source, source, bandwidths=WIDTHS), torch.zeros(()).double())
    moved = [[x.flip(0) + 3 for x in side] for side in (source, target)]
    assert_close(joint_mmd(*moved, bandwidths=WIDTHS), actual)


def test_gradient() -> None:
    sides = [x.requires_grad_() for x in (*layers(4), *layers(3, seed=1))]
    assert gradcheck(lambda a, b, c, d: joint_mmd([a, b], [c, d], bandwidths=WIDTHS), sides)


def composed(
    source: Sequence[Tensor], target: Sequence[Tensor], *, bandwidths: Sequence[Tensor]
) -> Tensor:
    layers = zip(source, target, bandwidths, strict=True)
    kernels = [
        module.gaussian(module.pairwise_squared_distances(torch.cat([s, t])), w)
        for s, t, w in layers
    ]
    kernel, n = torch.stack(kernels).prod(0), len(source[0])
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(("n", "m"), [(7, 5), (8, 8), (13, 3), (2, 9), (1, 1)])
@pytest.mark.parametrize("tile", [4, 512])
def test_tiles_give_the_whole_matrix_to_rounding(
    monkeypatch: pytest.MonkeyPatch, tile: int, n: int, m: int, number: int
) -> None:
    monkeypatch.setattr(module, "KERNEL_TILE", tile)
    source, target = (
        [x.requires_grad_() for x in (*layers(k, seed, shift), rows(k, 2, seed + 9))][:number]
        for k, seed, shift in ((n, 0, 0.0), (m, 1, 0.5))
    )
    values = []
    for form in (composed, joint_mmd):
        value = form(source, target, bandwidths=[*WIDTHS, ONE][:number])
        values.append((value, *torch.autograd.grad(value, source + target)))
    for whole, tiled in zip(*values, strict=True):
        assert_close(tiled, whole, rtol=0, atol=1e-12)
        assert tiled.any()


def test_the_gradient_of_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KERNEL_TILE", 2)
    sides = [x.requires_grad_() for x in (*layers(4), *layers(3, seed=1))]
    assert gradcheck(lambda a, b, c, d: joint_mmd([a, b], [c, d], bandwidths=WIDTHS), sides)


@pytest.mark.parametrize("tile", [3, 512])
def test_half_precision_lowers_nothing(monkeypatch: pytest.MonkeyPatch, tile: int) -> None:
    monkeypatch.setattr(module, "KERNEL_TILE", tile)
    sides = [x.bfloat16().requires_grad_() for x in (*layers(5), *layers(4, seed=1, shift=0.5))]
    values = []
    for a, b, c, d in ([x.float() for x in sides], sides):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = joint_mmd([a, b], [c, d], bandwidths=[w.float() for w in WIDTHS])
        values.append((value, *torch.autograd.grad(value, sides)))
    assert_close(*values)
